//! What decides the way of a request, read in one pass over its body that
//! keeps nothing else.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::{request, spelling};
use crate::http::error::ApiError;

/// The keys that make a request more than one for text.
const MORE: &[&str] = &[
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
];

/// The head of a request.
#[derive(Debug)]
pub struct Head<'a> {
    pub model: Cow<'a, str>,
    /// It has tools, an output format, or a choice among tools.
    pub asks_for_more_than_text: bool,
    /// A key that is a known one but for its case, and that known one.
    misspelt: Option<(String, &'static str)>,
}

impl Head<'_> {
    /// Refuses what a model server could read as something else.
    pub fn check(&self) -> Result<(), ApiError> {
        match &self.misspelt {
            Some((key, known)) => Err(spelling::refusal(key, known)),
            None => Ok(()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Read)
    }
}

/// Strings of a body that are not copied where they have no escapes.
/// Transparent, or errors could not name the key.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Head<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Head<'de>, M::Error> {
        let mut model = None;
        let mut seen: u8 = 0;
        let mut asks_for_more_than_text = false;
        let mut misspelt = None;
        while let Some(Text(key)) = map.next_key()? {
            if key == "model" {
                if model.is_some() {
                    return Err(Error::duplicate_field("model"));
                }
                let Text(name) = map.next_value()?;
                model = Some(name);
            } else if let Some(at) = MORE.iter().position(|more| *more == key) {
                if seen & (1 << at) != 0 {
                    return Err(Error::duplicate_field(MORE[at]));
                }
                seen |= 1 << at;
                asks_for_more_than_text |= map.next_value::<Option<IgnoredAny>>()?.is_some();
            } else {
                if misspelt.is_none() {
                    misspelt = request::meant(&key).map(|known| (key.into_owned(), known));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Head {
            model: model.ok_or_else(|| Error::missing_field("model"))?,
            asks_for_more_than_text,
            misspelt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    #[test]
    fn what_decides_is_found_and_the_rest_is_skipped() {
        let head = |text: &'static str| json::parse::<Head<'_>>(text.as_bytes());
        let one =
            head(r#"{"messages": [{"Tools": 1}], "model": "m", "top_k": 5}"#).expect("a head");
        assert!(matches!(one.model, Cow::Borrowed("m")));
        assert!(!one.asks_for_more_than_text && one.check().is_ok());
        for more in MORE {
            let text = format!(r#"{{"model": "m", "{more}": []}}"#);
            let one: Head<'_> = json::parse(text.as_bytes()).expect("a head");
            assert!(one.asks_for_more_than_text, "{more}");
            let text = format!(r#"{{"model": "m", "{more}": null}}"#);
            let one: Head<'_> = json::parse(text.as_bytes()).expect("a head");
            assert!(!one.asks_for_more_than_text, "{more}");
        }
        assert!(
            head(r#"{"model": "m", "Model": "n"}"#)
                .expect("a head")
                .check()
                .is_err()
        );
        assert!(
            head(r#"{"model": "m", "tool\u017f": []}"#)
                .expect("a head")
                .check()
                .is_err()
        );
        for wrong in [
            r#"{"messages": []}"#,
            r#"{"model": 5}"#,
            r#"{"model": "m", "model": "m"}"#,
            r#"{"model": "m", "tools": [], "tools": []}"#,
        ] {
            assert!(head(wrong).is_err(), "{wrong}");
        }
    }
}
