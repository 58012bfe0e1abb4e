//! Fields of model servers' answers, whatever type they come in.
//!
//! Servers write numbers where the API has strings, strings where it has
//! numbers, and null anywhere. A field whose type cannot be read is as good as
//! absent: it never costs the answer that it stands in.
//!
//! Flow: [`read`] parses a document into a struct whose fields use [`text`],
//! [`number`], [`object`] and [`list`]. What serde refuses nevertheless is
//! mended once ([`mend`]) and read again.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor, value},
};
use serde_json::Value;

/// Introduces a lone half of a character in a mended document: a noncharacter,
/// which stands twice where it was meant.
const ESCAPE: char = '\u{10ffff}';
/// The half is written as the private character that is this far from it.
const HALVES: u32 = 0x10_f000 - 0xd800;

/// What came of reading a document.
#[derive(Debug)]
pub struct Read<T> {
    /// `None`: the document is JSON, but no object.
    pub value: Option<T>,
    /// Its texts may hold halves of characters; see [`Halves`].
    pub halved: bool,
}

/// Reads a JSON object. An error is a text that is no JSON, even mended.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<Read<T>, serde_json::Error> {
    let strict = (|| {
        let mut reader = serde_json::Deserializer::from_str(json);
        let value = object(&mut reader)?;
        reader.end()?;
        Ok(value)
    })();
    let error = match strict {
        Ok(value) => {
            return Ok(Read {
                value,
                halved: false,
            });
        }
        Err(error) => error,
    };
    let mended = mend(json);
    // A value holds each key once, which a struct insists on.
    match serde_json::from_str::<Value>(&mended).and_then(object) {
        Ok(value) => Ok(Read {
            value,
            halved: mended.contains(ESCAPE),
        }),
        Err(_) => Err(error),
    }
}

/// A string; a number or a boolean is what it looks like.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    from.deserialize_any(Odd::default())
}

/// A whole number that is not negative: also as a string, or with a fraction,
/// which is rounded.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from.deserialize_any(Odd::default())
}

/// An object.
pub fn object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let object: Option<Object<T>> = from.deserialize_any(Odd::default())?;
    Ok(object.map(|object| object.0))
}

/// A list of objects; one object is a list of one. Members that are none are
/// left out.
pub fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Option<List<T>> = from.deserialize_any(Odd::default())?;
    Ok(list.map(|list| list.0).unwrap_or_default())
}

/// [`number`], of a value.
pub fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().and_then(rounded)),
        Value::String(text) => Reads::text(Cow::Borrowed(text)),
        _ => None,
    }
}

/// [`text`], of a value.
pub fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides"
)]
fn rounded(number: f64) -> Option<u64> {
    let number = number.round();
    (0.0..=9_007_199_254_740_992.0)
        .contains(&number)
        .then_some(number as u64)
}

/// What can be read of a value of any type; the defaults read nothing.
trait Reads<'de>: Sized {
    fn text(_: Cow<'_, str>) -> Option<Self> {
        None
    }
    fn number(_: f64) -> Option<Self> {
        None
    }
    /// A number or a boolean, as JSON writes it.
    fn word(_: &dyn fmt::Display) -> Option<Self> {
        None
    }
    fn seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Reads<'_> for String {
    fn text(text: Cow<'_, str>) -> Option<Self> {
        Some(text.into_owned())
    }

    fn word(word: &dyn fmt::Display) -> Option<Self> {
        Some(word.to_string())
    }
}

impl Reads<'_> for u64 {
    fn text(text: Cow<'_, str>) -> Option<Self> {
        let text = text.trim();
        let whole = text.parse().ok();
        whole.or_else(|| text.parse().ok().and_then(rounded))
    }

    fn number(number: f64) -> Option<Self> {
        rounded(number)
    }
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Reads<'de> for Object<T> {
    fn map<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        let read = T::deserialize(value::MapAccessDeserializer::new(map));
        read.map(|object| Some(Self(object)))
    }
}

struct List<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Reads<'de> for List<T> {
    fn seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = seq.next_element_seed(Odd::<Object<T>>::default())? {
            list.extend(member.map(|object| object.0));
        }
        Ok(Some(Self(list)))
    }

    fn map<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        let member = Object::map(map)?;
        Ok(member.map(|Object(member)| Self(vec![member])))
    }
}

/// Reads a value of any type.
struct Odd<T>(PhantomData<T>);

impl<T> Default for Odd<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Reads<'de>> DeserializeSeed<'de> for Odd<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Reads<'de>> Visitor<'de> for Odd<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::word(&value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "counts and indexes are smaller")]
        let number = T::number(value as f64);
        Ok(number.or_else(|| T::word(&value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "counts and indexes are smaller")]
        let number = T::number(value as f64);
        Ok(number.or_else(|| T::word(&value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(T::number(value).or_else(|| T::word(&value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(T::text(Cow::Borrowed(value)))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(T::text(Cow::Owned(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        T::seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::map(map)
    }
}

/// A document with what keeps it from being JSON set right: lone halves of
/// characters are marked for [`Halves`], control characters in strings are
/// escaped, and the numbers that only JavaScript and Python have become null.
fn mend(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 16);
    let mut rest = json;
    let mut inside = false;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '"' => {
                inside = !inside;
                out.push(c);
            }
            '\\' if inside => match half(rest) {
                Some(high @ 0xd800..=0xdbff) => {
                    if let Some(low @ 0xdc00..=0xdfff) = half(&rest[6..]) {
                        taken = 12;
                        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        push(char::from_u32(code).unwrap_or(ESCAPE), &mut out);
                    } else {
                        taken = 6;
                        push_half(high, &mut out);
                    }
                }
                Some(low) => {
                    taken = 6;
                    push_half(low, &mut out);
                }
                None => {
                    taken += rest[1..].chars().next().map_or(0, char::len_utf8);
                    out.push_str(&rest[..taken]);
                }
            },
            c if inside && c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if inside => push(c, &mut out),
            'N' | 'I' | '-' => {
                let odd = ["NaN", "Infinity", "-Infinity"];
                match odd.iter().find(|word| rest.starts_with(**word)) {
                    Some(word) => {
                        taken = word.len();
                        out.push_str("null");
                    }
                    None => out.push(c),
                }
            }
            _ => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

/// The half of a character that is escaped here.
fn half(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u32::from_str_radix(digits, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

fn push(c: char, out: &mut String) {
    if c == ESCAPE {
        out.push(ESCAPE);
    }
    out.push(c);
}

fn push_half(half: u32, out: &mut String) {
    out.push(ESCAPE);
    out.extend(char::from_u32(half + HALVES));
}

/// Joins characters whose halves came in two pieces of a text. `K` tells the
/// texts of an answer apart.
#[derive(Debug)]
pub struct Halves<K> {
    /// First halves at the ends of texts.
    open: Vec<(K, u32)>,
}

impl<K> Default for Halves<K> {
    fn default() -> Self {
        Self { open: Vec::new() }
    }
}

impl<K: Copy + PartialEq> Halves<K> {
    /// The next piece of a text, with its halves joined. A half that stays
    /// alone becomes U+FFFD.
    pub fn join(&mut self, key: K, piece: String, halved: bool) -> String {
        if piece.is_empty() || !halved && self.open.is_empty() {
            return piece;
        }
        let mut open = self.take(key);
        let mut out = String::with_capacity(piece.len() + 4);
        let mut chars = piece.chars();
        while let Some(c) = chars.next() {
            let unit = match c {
                ESCAPE if halved => match chars.next() {
                    Some(ESCAPE) | None => None,
                    Some(marked) => Some(u32::from(marked) - HALVES),
                },
                _ => None,
            };
            match (open.take(), unit) {
                (Some(high), Some(low @ 0xdc00..=0xdfff)) => {
                    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    out.extend(char::from_u32(code));
                    continue;
                }
                (Some(_), _) => out.push(char::REPLACEMENT_CHARACTER),
                (None, _) => {}
            }
            match unit {
                Some(high @ 0xd800..=0xdbff) => open = Some(high),
                Some(_) => out.push(char::REPLACEMENT_CHARACTER),
                None => out.push(c),
            }
        }
        self.open.extend(open.map(|high| (key, high)));
        out
    }

    /// The text goes on no further: whether a half stays alone in it.
    pub fn end(&mut self, key: K) -> bool {
        !self.open.is_empty() && self.take(key).is_some()
    }

    /// Texts that end in half a character.
    pub fn open(&self) -> Vec<K> {
        self.open.iter().map(|(key, _)| *key).collect()
    }

    fn take(&mut self, key: K) -> Option<u32> {
        let at = self.open.iter().position(|(open, _)| *open == key)?;
        Some(self.open.swap_remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(default)]
    struct Fields {
        #[serde(deserialize_with = "text")]
        t: Option<String>,
        #[serde(deserialize_with = "number")]
        n: Option<u64>,
        #[serde(deserialize_with = "object")]
        o: Option<Box<Fields>>,
        #[serde(deserialize_with = "list")]
        l: Vec<Fields>,
    }

    fn fields(json: &str) -> Fields {
        read(json).expect("JSON").value.expect("an object")
    }

    #[test]
    fn any_type_may_stand_anywhere() {
        let texts = [
            ("\"a\"", Some("a")),
            ("5", Some("5")),
            ("-1.5", Some("-1.5")),
            ("true", Some("true")),
            ("null", None),
            ("[1,{}]", None),
            ("{\"x\":[]}", None),
        ];
        for (json, expected) in texts {
            let read = fields(&format!("{{\"t\":{json}}}"));
            assert_eq!(read.t.as_deref(), expected, "{json}");
        }
        let numbers = [
            ("7", Some(7)),
            ("\" 7 \"", Some(7)),
            ("7.4", Some(7)),
            ("\"6.6\"", Some(7)),
            ("-1", None),
            ("\"x\"", None),
            ("1e300", None),
            ("null", None),
            ("true", None),
            ("[7]", None),
        ];
        for (json, expected) in numbers {
            assert_eq!(fields(&format!("{{\"n\":{json}}}")).n, expected, "{json}");
            let value: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(number_of(&value), expected, "{json}");
        }
        let read = fields(r#"{"o":[{}],"l":[null,{"n":1},"x",{"n":2}]}"#);
        assert_eq!(read.o, None);
        assert_eq!(
            read.l.iter().map(|f| f.n).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        assert_eq!(fields(r#"{"l":{"n":3}}"#).l.len(), 1);
        assert_eq!(fields(r#"{"l":null,"o":null}"#), Fields::default());
        for json in ["null", "[]", "5", "\"x\""] {
            assert!(read_any(json).is_none(), "{json}");
        }
    }

    fn read_any(json: &str) -> Option<Fields> {
        read(json).expect("JSON").value
    }

    #[test]
    fn what_is_nearly_json_is_read() {
        assert_eq!(fields("{\"t\":\"a\nb\"}").t.as_deref(), Some("a\nb"));
        let odd = "{\"n\":NaN,\"o\":{\"n\":-Infinity},\"t\":\"NaN\",\"l\":[{\"n\":Infinity}]}";
        assert_eq!(fields(odd).t.as_deref(), Some("NaN"));
        // The last of two wins.
        assert_eq!(fields(r#"{"n":1,"n":2}"#).n, Some(2));
        for broken in ["{", "{\"t\":", "nope", "{} {}"] {
            assert!(read::<Fields>(broken).is_err(), "{broken}");
        }
    }

    fn joined(pieces: &[&str]) -> String {
        let mut halves = Halves::default();
        let mut out = String::new();
        for piece in pieces {
            let json = format!("{{\"t\":\"{piece}\"}}");
            let read: Read<Fields> = read(&json).expect("JSON");
            let text = read.value.and_then(|f| f.t).unwrap_or_default();
            out.push_str(&halves.join(0, text, read.halved));
        }
        if halves.end(0) {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        out
    }

    #[test]
    fn halves_are_joined_or_replaced() {
        let table: &[(&[&str], &str)] = &[
            (&["a\\ud83d", "\\ude00b"], "a😀b"),
            (&["a\\ud83d", "b"], "a\u{fffd}b"),
            (&["a\\ud83d"], "a\u{fffd}"),
            (&["\\ude00"], "\u{fffd}"),
            (&["\\ud83d\\ud83d", "\\ude00"], "\u{fffd}😀"),
            (&["\\ud83dx\\ud83d\\ude00\\n"], "\u{fffd}x😀\n"),
            (&["\\ud83d", "", "\\ude00"], "😀"),
            // The marks themselves are ordinary characters.
            (
                &["\u{10ffff}\\ud83d", "\u{10ffff}\u{10f000}"],
                "\u{10ffff}\u{fffd}\u{10ffff}\u{10f000}",
            ),
            (&["\\udbff\\udfff\\ud83d", "\\ude00"], "\u{10ffff}😀"),
        ];
        for (pieces, expected) in table {
            assert_eq!(joined(pieces), *expected, "{pieces:?}");
        }
    }

    proptest! {
        /// However a text's escapes are cut into pieces, it is the same text.
        #[test]
        fn cuts_between_halves_change_nothing(text in any::<String>(), cuts in prop::collection::vec(any::<bool>(), 64)) {
            let mut pieces = vec![String::new()];
            for (at, unit) in text.encode_utf16().enumerate() {
                if cuts[at % cuts.len()] {
                    pieces.push(String::new());
                }
                let last = pieces.last_mut().expect("one at least");
                let _ = write!(last, "\\u{unit:04x}");
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(joined(&pieces), text);
        }

        #[test]
        fn nothing_makes_it_panic(text in "[\\\\\"u{}:,a-f0-9dD8NIy\u{10ffff} -]{0,40}") {
            let _ = read::<Fields>(&text);
            let _ = mend(&text);
        }
    }

    #[test]
    fn values_are_read_the_same_way() {
        assert_eq!(text_of(&json!(5)).as_deref(), Some("5"));
        assert_eq!(text_of(&json!({})), None);
    }
}
