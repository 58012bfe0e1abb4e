//! Pieces of messages: bounded lists, quoted texts, what was found.

/// Names or values listed in a message, and characters of each.
const MAX_LISTED: usize = 20;
const MAX_LISTED_CHARS: usize = 60;

/// No atom died, so a `oneOf` was left with a number of matches other than one.
pub(crate) fn ambiguous() -> String {
    "the value must match exactly one alternative, and does not".into()
}

pub(crate) fn found(byte: Option<u8>) -> String {
    match byte {
        None => "the end of the text".into(),
        Some(b'"') => "a string".into(),
        Some(b'{') => "an object".into(),
        Some(b'[') => "an array".into(),
        Some(b'-' | b'0'..=b'9') => "a number".into(),
        Some(b't') => "true".into(),
        Some(b'f') => "false".into(),
        Some(b'n') => "null".into(),
        Some(byte @ 0x21..=0x7e) => format!("'{}'", char::from(byte)),
        Some(byte) => format!("the byte 0x{byte:02x}"),
    }
}

pub(crate) fn join(mut phrases: Vec<String>, word: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    phrases.retain(|phrase| seen.insert(phrase.clone()));
    let more = phrases.len() > MAX_LISTED;
    phrases.truncate(MAX_LISTED);
    let joined = phrases.join(word);
    if more {
        format!("{joined}{word}...")
    } else {
        joined
    }
}

pub(crate) fn one_of<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> String {
    if texts.clone().count() == 1 {
        list(texts)
    } else {
        format!("one of {}", list(texts))
    }
}

/// Quoted, in order, without repetition, bounded.
pub(crate) fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut seen = std::collections::HashSet::new();
    let distinct: Vec<&str> = texts.filter(|text| seen.insert(*text)).collect();
    let shown: Vec<String> = distinct
        .iter()
        .take(MAX_LISTED)
        .map(|text| quote(text))
        .collect();
    match distinct.len().saturating_sub(MAX_LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_LISTED_CHARS) {
        None => serde_json::Value::from(text).to_string(),
        Some((cut, _)) => serde_json::Value::from(format!("{}...", &text[..cut])).to_string(),
    }
}
