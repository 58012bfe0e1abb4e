//! A JSON string as it comes: characters in, text out, whatever the pieces.

/// Where the reading of one string's inside is. Begins after the opening
/// quotation mark.
#[derive(Debug, Clone, Default)]
pub struct Unescape {
    state: State,
    /// The first half of a surrogate pair.
    high: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Plain,
    Backslash,
    Hex {
        digits: u8,
        value: u32,
    },
}

/// What a character did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It belongs to the string.
    Inside,
    /// It was the closing quotation mark.
    End,
}

/// No JSON string has that character there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoString;

impl Unescape {
    /// Takes the next character; what it means is appended to `out`.
    pub fn take(&mut self, c: char, out: &mut String) -> Result<Took, NoString> {
        match self.state {
            State::Plain => {
                if c == '\\' {
                    self.state = State::Backslash;
                    return Ok(Took::Inside);
                }
                self.flush_half(out);
                match c {
                    '"' => return Ok(Took::End),
                    c if c < ' ' => return Err(NoString),
                    c => out.push(c),
                }
            }
            State::Backslash => {
                self.state = State::Plain;
                if c == 'u' {
                    self.state = State::Hex {
                        digits: 0,
                        value: 0,
                    };
                    return Ok(Took::Inside);
                }
                self.flush_half(out);
                out.push(match c {
                    '"' | '\\' | '/' => c,
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    _ => return Err(NoString),
                });
            }
            State::Hex { digits, value } => {
                let value = value * 16 + c.to_digit(16).ok_or(NoString)?;
                if digits < 3 {
                    self.state = State::Hex {
                        digits: digits + 1,
                        value,
                    };
                } else {
                    self.state = State::Plain;
                    self.unit(value, out);
                }
            }
        }
        Ok(Took::Inside)
    }

    /// A UTF-16 unit. A half without its other half becomes U+FFFD, as it does
    /// for every reader that has no other way.
    fn unit(&mut self, unit: u32, out: &mut String) {
        match (self.high.take(), unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (unit - 0xDC00);
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (high, unit) => {
                if high.is_some() {
                    out.push(char::REPLACEMENT_CHARACTER);
                }
                if (0xD800..=0xDBFF).contains(&unit) {
                    self.high = Some(unit);
                } else {
                    out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
            }
        }
    }

    fn flush_half(&mut self, out: &mut String) {
        if self.high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, NoString> {
        let mut out = String::new();
        let mut reader = Unescape::default();
        for (at, c) in text.char_indices() {
            if reader.take(c, &mut out)? == Took::End {
                assert_eq!(at + 1, text.len(), "the end is the last character");
                return Ok(out);
            }
        }
        Err(NoString)
    }

    #[test]
    fn escapes_and_halves_of_pairs() {
        let table = [
            (r#"a\n\"\\\/\u00e9""#, "a\n\"\\/é"),
            (r#"\ud83d\ude00!""#, "😀!"),
            (r#"\ud83dx""#, "\u{fffd}x"),
            (r#"\ud83d\n""#, "\u{fffd}\n"),
            (r#"\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#"\ude00""#, "\u{fffd}"),
            (r#"\ud83d""#, "\u{fffd}"),
        ];
        for (json, text) in table {
            assert_eq!(read(json).as_deref(), Ok(text), "{json}");
        }
        for bad in ["\\x\"", "a\nb\"", "\\u12g4\"", "open"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a string is JSON");
            prop_assert_eq!(read(&json[1..]), Ok(text));
        }
    }
}
