//! How a script is written: as a query string inside a model name, or as JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::script::Script;
use super::steps::Step;

impl Script {
    /// Reads `tokens=200&delay_ms=5`; `+` and `%XX` are decoded. Steps (`say`, `call`, `custom`)
    /// may repeat; `then` begins the next request's script.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut attempts = query
            .split("&then&")
            .map(fields)
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let mut first = attempts.next().unwrap_or_default();
        let later: Vec<Value> = attempts.map(Value::Object).collect();
        if !later.is_empty() {
            first.insert("then".to_owned(), later.into());
        }
        Self::from_json(Value::Object(first))
    }

    /// Reads the fields as JSON, or as one string in the form of [`Script::from_query`].
    pub fn from_json(value: Value) -> Result<Self, String> {
        if let Value::String(query) = value {
            return Self::from_query(&query);
        }
        let script: Self =
            serde_json::from_value(value).map_err(|error| format!("bad script: {error}"))?;
        script.check()?;
        Ok(script)
    }
}

/// The fields of one request's script, as JSON.
fn fields(query: &str) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    let mut steps = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "1"));
        if name == "then" {
            return Err("`then` stands between two scripts".to_owned());
        }
        let value = decode(value)?;
        if let Some(step) = Step::from_pair(name, &value)? {
            steps.push(json!(step));
            continue;
        }
        let value = value
            .parse::<u64>()
            .map_or_else(|_| Value::String(value), Value::from);
        if fields.insert(name.to_owned(), value).is_some() {
            return Err(format!("the script names `{name}` twice"));
        }
    }
    if !steps.is_empty() && fields.insert("steps".to_owned(), steps.into()).is_some() {
        return Err("the script has steps in two notations".to_owned());
    }
    Ok(fields)
}

pub(super) fn decode(value: &str) -> Result<String, String> {
    let broken = || format!("bad percent-encoding in the script's value `{value}`");
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = rest.next().zip(rest.next()).ok_or_else(broken)?;
                let digit = |hex: u8| char::from(hex).to_digit(16).ok_or_else(broken);
                (digit(high)? * 16 + digit(low)?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

/// A query cannot say whether `1` is a number, a flag or a text: the field decides.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Flag(bool),
    Number(u64),
    Text(String),
}

pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Loose::deserialize(deserializer)? {
        Loose::Flag(flag) => Ok(flag),
        Loose::Number(number @ (0 | 1)) => Ok(number == 1),
        Loose::Text(text) if text == "true" => Ok(true),
        Loose::Text(text) if text == "false" => Ok(false),
        _ => Err(serde::de::Error::custom("a flag is 1, 0, true or false")),
    }
}

pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Loose::deserialize(deserializer)? {
        Loose::Flag(flag) => flag.to_string(),
        Loose::Number(number) => number.to_string(),
        Loose::Text(text) => text,
    })
}

pub(super) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = Option::<Loose>::deserialize(deserializer)?;
    Ok(value.map(|value| match value {
        Loose::Flag(flag) => flag.to_string(),
        Loose::Number(number) => number.to_string(),
        Loose::Text(text) => text,
    }))
}

/// A JSON list, or its elements separated by commas.
pub(super) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let element = |word: &str| match word.parse::<u64>() {
        Ok(number) => T::deserialize(Value::from(number)).or_else(|_| T::deserialize(json!(word))),
        Err(_) => T::deserialize(json!(word)),
    };
    let elements: Result<Vec<T>, serde_json::Error> = match Value::deserialize(deserializer)? {
        Value::String(words) => words
            .split(',')
            .filter(|word| !word.is_empty())
            .map(element)
            .collect(),
        Value::Array(values) => values.into_iter().map(T::deserialize).collect(),
        single => T::deserialize(single).map(|element| vec![element]),
    };
    elements.map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{Break, Generate, Ignored, Shape};
    use super::super::steps::Call;
    use super::*;

    #[test]
    fn a_query_names_fields_of_every_kind() {
        let script = Script::from_query(
            "tokens=20&shape=emoji&crlf=1&logprobs=true&refusal=I+can%27t&tool_names=7&stall_after=3",
        )
        .unwrap();
        let expected = Script {
            tokens: Some(20),
            shape: Shape::Emoji,
            crlf: true,
            logprobs: true,
            refusal: Some("I can't".to_owned()),
            tool_names: "7".to_owned(),
            stall_after: Some(3),
            ..Script::default()
        };
        assert_eq!(script, expected);
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (query, named) in [
            ("token=5", "token"),
            ("tokens=many", "many"),
            ("tokens=1&tokens=2", "twice"),
            ("crlf=2", "flag"),
            ("refusal=%zz", "percent"),
            ("tokens=10000001", "limit"),
            ("coalesce=0", "coalesce"),
            ("status=99", "status"),
            ("call=f", "call"),
            ("call64=f:%21", "base64url"),
            ("say=a&tools=1", "steps"),
            ("break=fence", "generate"),
            ("generate=calls&break=fense", "fense"),
            ("cut_at=5,3", "ascending"),
            ("cut_at=3&cut_bytes=1", "exclude"),
            ("say=a&then&say=b&fail_first=1", "one request"),
            ("then&say=a", "then"),
        ] {
            let error = Script::from_query(query).unwrap_err();
            assert!(error.contains(named), "{query}: {error}");
        }
    }

    #[test]
    fn steps_attempts_and_lists() {
        let script = Script::from_query(
            "key=7&call=crm/find:{\"id\":1}&say=a+b%26&custom64=sql:U0VMRUNUIDE&cut_at=1,2\
             &then&status=500&then&generate=calls&ignores=tools,format&break=fence&refuse_keywords=pattern",
        )
        .unwrap();
        assert_eq!(script.key, "7");
        assert_eq!(script.cut_at, [1, 2]);
        let call = |name: &str, namespace: Option<&str>, arguments: &str| Call {
            name: name.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            arguments: arguments.to_owned(),
        };
        let expected = [
            Step::Call(call("find", Some("crm"), r#"{"id":1}"#)),
            Step::Say("a b&".to_owned()),
            Step::Custom(call("sql", None, "SELECT 1")),
        ];
        assert_eq!(script.steps, expected);
        let [second, third] = script.then.as_slice() else {
            panic!("{script:?}")
        };
        assert_eq!((second.status, second.steps.len()), (Some(500), 0));
        assert_eq!(third.generate, Generate::Calls);
        assert_eq!(third.ignores, [Ignored::Tools, Ignored::Format]);
        assert_eq!(third.breaks, [Break::Fence]);
        assert_eq!(third.refuse_keywords, ["pattern"]);
        let json = json!(script);
        assert_eq!(Script::from_json(json), Ok(script));
    }

    #[test]
    fn a_script_survives_json() {
        let script = Script {
            tokens: Some(3),
            crlf: true,
            ..Script::default()
        };
        let json = serde_json::to_value(&script).unwrap();
        assert_eq!(Script::from_json(json), Ok(script));
    }
}
