//! The two ways in which an answer writes its vectors: lists of numbers, and
//! base64 of little-endian 32-bit floats, as OpenAI's API has it.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::chat::head::Text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Float,
    Base64,
}

/// How the first vector of an answer is written, as soon as that can be seen.
pub fn of(begun: &[u8]) -> Option<Encoding> {
    const KEY: &[u8] = b"\"embedding\"";
    memmem::find_iter(begun, KEY).find_map(|at| {
        // Elsewhere it is a value: `"object": "embedding"`.
        let value = begun[at + KEY.len()..]
            .trim_ascii_start()
            .strip_prefix(b":")?;
        match value.trim_ascii_start().first()? {
            b'[' => Some(Encoding::Float),
            b'"' => Some(Encoding::Base64),
            _ => None,
        }
    })
}

/// The answer with every vector in the encoding that is wanted. Whatever else it
/// has stays as it is; so do vectors that are neither of the two.
pub fn convert(answer: &[u8], wanted: Encoding) -> Result<Vec<u8>, serde_json::Error> {
    let members: Members<'_> = serde_json::from_slice(answer)?;
    let mut out = Vec::with_capacity(answer.len());
    let mut to = serde_json::Serializer::new(&mut out);
    let mut map = to.serialize_map(None)?;
    for (key, value) in &members.0 {
        if key == "data" {
            let items: Vec<Members<'_>> = serde_json::from_str(value.get())?;
            let items: Vec<Item<'_>> = items.into_iter().map(|item| Item(item, wanted)).collect();
            map.serialize_entry(key, &items)?;
        } else {
            map.serialize_entry(key, value)?;
        }
    }
    map.end()?;
    Ok(out)
}

/// An object's members, in their order and untouched.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// One embedding, to be written in the encoding.
struct Item<'a>(Members<'a>, Encoding);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(Members(members), wanted) = self;
        let mut map = to.serialize_map(Some(members.len()))?;
        for (key, value) in members {
            match (&**key, wanted) {
                ("embedding", Encoding::Base64) => match floats(value) {
                    Some(floats) => map.serialize_entry(key, &base64(&floats))?,
                    None => map.serialize_entry(key, value)?,
                },
                ("embedding", Encoding::Float) => match decoded(value) {
                    Some(floats) => map.serialize_entry(key, &floats)?,
                    None => map.serialize_entry(key, value)?,
                },
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

/// `None` for what is no list of numbers, or has one that is beyond a 32-bit
/// float.
fn floats(value: &RawValue) -> Option<Vec<f32>> {
    let floats: Vec<f32> = serde_json::from_str(value.get()).ok()?;
    finite(&floats).then_some(floats)
}

/// Whether all are numbers that JSON can write.
fn finite(floats: &[f32]) -> bool {
    floats.iter().all(|float| float.is_finite())
}

fn base64(floats: &[f32]) -> String {
    let bytes: Vec<u8> = floats
        .iter()
        .flat_map(|float| float.to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}

/// `None` for what is not base64 of whole, finite floats.
fn decoded(value: &RawValue) -> Option<Vec<f32>> {
    let text: Cow<'_, str> = serde_json::from_str(value.get()).ok()?;
    let bytes = STANDARD.decode(text.as_bytes()).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    let floats: Vec<f32> = floats.iter().copied().map(f32::from_le_bytes).collect();
    (rest.is_empty() && finite(&floats)).then_some(floats)
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> serde::de::Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(
                self,
                mut map: M,
            ) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(answer: &str, wanted: Encoding) -> String {
        let out = convert(answer.as_bytes(), wanted).expect("an answer");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn both_ways_and_nothing_else_is_touched() {
        let floats = r#"{"x":1.50,"data":[{"embedding":[0.1,-2.5,1e-7],"index":0,"é":[1.0]}],"usage":{"prompt_tokens":1}}"#;
        let base64 = r#"{"x":1.50,"data":[{"embedding":"zczMPQAAIMCVv9Yz","index":0,"é":[1.0]}],"usage":{"prompt_tokens":1}}"#;
        assert_eq!(converted(floats, Encoding::Base64), base64);
        assert_eq!(converted(base64, Encoding::Float), floats);
    }

    #[test]
    fn what_is_no_vector_stays() {
        for odd in [
            r#"{"data":[{"embedding":[1.0,null]}]}"#,
            r#"{"data":[{"embedding":{"indices":[1],"values":[2.5]}}]}"#,
            r#"{"data":[{"embedding":"not base64"}]}"#,
            r#"{"data":[{"embedding":"zczM"}]}"#,
            // Infinity
            r#"{"data":[{"embedding":"AACAfw=="}]}"#,
            // Finite, and infinite as a 32-bit float.
            r#"{"data":[{"embedding":[1.0,1e39]}]}"#,
            r#"{"error":{}}"#,
        ] {
            for wanted in [Encoding::Float, Encoding::Base64] {
                assert_eq!(converted(odd, wanted), odd, "{wanted:?}");
            }
        }
        assert!(convert(b"[1]", Encoding::Float).is_err());
        assert!(convert(br#"{"data":5}"#, Encoding::Float).is_err());
    }

    #[test]
    fn the_first_vector_tells_the_encoding() {
        for (begun, expected) in [
            (
                r#"{"object":"list","data":[{"object":"embedding","embedding":[0"#,
                Some(Encoding::Float),
            ),
            (r#"{"data":[{"embedding" : "AA"#, Some(Encoding::Base64)),
            (r#"{"data":[{"object":"embedding","embed"#, None),
            (r#"{"data":[{"embedding":"#, None),
            (
                r#"{"model":"\"embedding\":[","data":[{"embedding":"A"#,
                Some(Encoding::Base64),
            ),
            ("", None),
        ] {
            assert_eq!(of(begun.as_bytes()), expected, "{begun}");
        }
    }
}
