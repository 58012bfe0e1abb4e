//! The tokens of llguidance's dialect of Lark, by the same expressions: the
//! longest that fits is taken.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub enum Token<'t> {
    /// A rule or a terminal.
    Name(&'t str),
    /// `"…"`, with its flag.
    Text(&'t str),
    /// `/…/`, with its flags.
    Pattern(&'t str),
    Number,
    Newline,
    /// `<…>` or `@…`.
    Special,
    /// `%json` with its value.
    Schema(Value),
    /// `%regex` or `%llguidance` with its value.
    Value,
    /// A sign, an operator or another keyword.
    Sign(&'t str),
}

const SIGNS: [&str; 24] = [
    "->",
    ":",
    ",",
    ".",
    "..",
    "%declare",
    "%ignore",
    "%import",
    "%override",
    "%lark",
    "%if",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "~",
    "|",
    "&",
    "=",
    "#",
    "_",
    "::",
];
const VALUES: [&str; 3] = ["%json", "%regex", "%llguidance"];

#[derive(Clone, Copy)]
enum Kind {
    Skip,
    Name,
    Text,
    Pattern,
    Number,
    Newline,
    Special,
    Operator,
}

static KINDS: LazyLock<Vec<(Kind, Regex)>> = LazyLock::new(|| {
    let kinds = [
        (Kind::Skip, r"((#|//)[^\n]*)|[ \t]+"),
        (Kind::Operator, r"[+*?]"),
        (Kind::Name, r"!?[_?]?[a-z][_a-z0-9\-]*"),
        (Kind::Name, r"_?[A-Z][_A-Z0-9\-]*"),
        (
            Kind::Text,
            r#""(\\([\"\\/bfnrt]|u[a-fA-F0-9]{4}|x[a-fA-F0-9]{2})|[^\"\\\x00-\x1F\x7F])*"i?"#,
        ),
        (Kind::Pattern, r"/(\\.|[^/\\])+/[imslux]*"),
        (Kind::Number, r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?"),
        (Kind::Number, r"0[xX][0-9a-fA-F]+"),
        (Kind::Newline, r"(\r?\n)+[ \t]*"),
        (Kind::Special, r"<[^<>\s]+>|@[a-zA-Z0-9_\-]+"),
    ];
    kinds
        .into_iter()
        .map(|(kind, pattern)| {
            let anchored = format!(r"\A(?:{pattern})");
            (kind, Regex::new(&anchored).expect("a token's expression"))
        })
        .collect()
});

/// All tokens, each with its line. The error is the line that cannot be read.
pub fn tokens(definition: &str) -> Result<Vec<(Token<'_>, usize)>, usize> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < definition.len() {
        let rest = &definition[at..];
        let (token, length) = next(rest).ok_or(line)?;
        tokens.extend(token.map(|token| (token, line)));
        line += rest[..length].matches('\n').count();
        at += length;
    }
    Ok(tokens)
}

/// The first token of `rest`, if it is more than white space, and how long it
/// is.
fn next(rest: &str) -> Option<(Option<Token<'_>>, usize)> {
    if let Some(word) = VALUES.iter().find(|word| rest.starts_with(**word)) {
        let mut values = serde_json::Deserializer::from_str(&rest[word.len()..]).into_iter();
        let value: Value = values.next()?.ok()?;
        let token = match *word {
            "%json" => Token::Schema(value),
            _ => Token::Value,
        };
        return Some((Some(token), word.len() + values.byte_offset()));
    }
    let sign = SIGNS
        .iter()
        .filter(|sign| rest.starts_with(**sign))
        .max_by_key(|sign| sign.len());
    let kind = KINDS
        .iter()
        .filter_map(|(kind, regex)| Some((*kind, regex.find(rest)?.end())))
        .max_by_key(|(_, length)| *length);
    let (kind, length) = match (kind, sign) {
        (Some((kind, length)), Some(sign)) if length > sign.len() => (kind, length),
        (_, Some(sign)) => return Some((Some(Token::Sign(sign)), sign.len())),
        (found, None) => found?,
    };
    let text = &rest[..length];
    let token = match kind {
        Kind::Skip => None,
        Kind::Name => Some(Token::Name(text)),
        Kind::Text => Some(Token::Text(text)),
        Kind::Pattern => Some(Token::Pattern(text)),
        Kind::Number => Some(Token::Number),
        Kind::Newline => Some(Token::Newline),
        Kind::Special => Some(Token::Special),
        Kind::Operator => Some(Token::Sign(text)),
    };
    Some((token, length))
}
