//! How a script is written: as a query string inside a model name, or as JSON.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::script::Script;

impl Script {
    /// Reads `tokens=200&delay_ms=5`; `+` and `%XX` are decoded.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut fields = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "1"));
            let value = decode(value)?;
            let value = value
                .parse::<u64>()
                .map_or_else(|_| Value::String(value), Value::from);
            if fields.insert(name.to_owned(), value).is_some() {
                return Err(format!("the script names `{name}` twice"));
            }
        }
        Self::from_json(Value::Object(fields))
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

fn decode(value: &str) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::super::script::Shape;
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
        ] {
            let error = Script::from_query(query).unwrap_err();
            assert!(error.contains(named), "{query}: {error}");
        }
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
