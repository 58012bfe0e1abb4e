//! The one argument of a custom tool that a model server knows as a function:
//! `{"input": "…"}`, read as it comes.

use serde_json::{Value, json};

use crate::tools::unescape::{Took, Unescape};

/// The name of the argument.
pub const INPUT: &str = "input";

/// Reads the wrapping object and gives the text inside.
#[derive(Debug, Clone, Default)]
pub struct Unwrap {
    at: At,
    read: usize,
}

#[derive(Debug, Clone, Default)]
enum At {
    #[default]
    Start,
    /// So many characters of `"input"` are there.
    Key(usize),
    BeforeColon,
    BeforeValue,
    Inside(Unescape),
    AfterValue,
    End,
}

/// The wrapping is not what it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoInput {
    /// Bytes before the first wrong one.
    pub offset: usize,
    pub expected: &'static str,
}

impl Unwrap {
    /// Takes the next piece; the input's text is appended to `out`.
    pub fn push(&mut self, piece: &str, out: &mut String) -> Result<(), NoInput> {
        const KEY: &[u8] = b"\"input\"";
        for c in piece.chars() {
            let blank = matches!(c, ' ' | '\t' | '\r' | '\n');
            let expected = match &mut self.at {
                At::Start | At::BeforeColon | At::BeforeValue | At::AfterValue | At::End
                    if blank =>
                {
                    None
                }
                At::Key(0) if blank => None,
                At::Start if c == '{' => {
                    self.at = At::Key(0);
                    None
                }
                At::Key(at) if KEY.get(*at).copied() == u8::try_from(c).ok() => {
                    *at += 1;
                    if *at == KEY.len() {
                        self.at = At::BeforeColon;
                    }
                    None
                }
                At::BeforeColon if c == ':' => {
                    self.at = At::BeforeValue;
                    None
                }
                At::BeforeValue if c == '"' => {
                    self.at = At::Inside(Unescape::default());
                    None
                }
                At::Inside(string) => match string.take(c, out) {
                    Ok(Took::Inside) => None,
                    Ok(Took::End) => {
                        self.at = At::AfterValue;
                        None
                    }
                    Err(_) => Some("a valid JSON string"),
                },
                At::AfterValue if c == '}' => {
                    self.at = At::End;
                    None
                }
                At::Start => Some("'{'"),
                At::Key(_) => Some("the key \"input\""),
                At::BeforeColon => Some("':'"),
                At::BeforeValue => Some("a string"),
                At::AfterValue => Some("'}'"),
                At::End => Some("nothing more"),
            };
            if let Some(expected) = expected {
                return Err(NoInput {
                    offset: self.read,
                    expected,
                });
            }
            self.read += c.len_utf8();
        }
        Ok(())
    }

    /// Whether the object is whole.
    pub fn is_complete(&self) -> bool {
        matches!(self.at, At::End)
    }
}

/// An input as the function's arguments.
pub fn wrap(input: &str) -> String {
    json!({ INPUT: input }).to_string()
}

/// The schema of the wrapping object. With `pattern`, the input has to match.
pub fn schema(description: &str, pattern: Option<&str>) -> Value {
    let mut input = json!({"type": "string", "description": description});
    if let Some(pattern) = pattern {
        input["pattern"] = json!(pattern);
    }
    json!({
        "type": "object",
        "properties": {INPUT: input},
        "required": [INPUT],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_wrong_byte_is_named() {
        for (text, offset) in [
            ("x", 0),
            ("{\"code\"", 2),
            ("{\"input\": 3", 10),
            ("{\"input\": \"é\", ", 14),
            ("{\"input\":\"\"}}", 12),
        ] {
            let mut out = String::new();
            let error = Unwrap::default().push(text, &mut out).unwrap_err();
            assert_eq!(error.offset, offset, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_input_comes_through_in_any_pieces(text in any::<String>(), every in 1usize..9) {
            let wrapped = wrap(&text);
            let mut unwrap = Unwrap::default();
            let mut out = String::new();
            let chars: Vec<char> = wrapped.chars().collect();
            for piece in chars.chunks(every) {
                prop_assert!(!unwrap.is_complete());
                let piece: String = piece.iter().collect();
                prop_assert_eq!(unwrap.push(&piece, &mut out), Ok(()));
            }
            prop_assert!(unwrap.is_complete());
            prop_assert_eq!(out, text);
        }
    }
}
