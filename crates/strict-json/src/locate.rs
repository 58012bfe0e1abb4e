//! Where in a text a JSON pointer points, for messages that an editor can follow.
//!
//! Works on text that has been parsed already and is therefore well-formed; on anything else it
//! finds nothing, and never loops.

use serde::Serialize;

use crate::pointer::unescaped;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// Where the value at `pointer` begins; of a key that comes twice, the first.
pub fn locate(text: &str, pointer: &str) -> Option<Position> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
    };
    scanner.space();
    for token in pointer.split('/').skip(1) {
        scanner.enter(&unescaped(token))?;
    }
    Some(position(text, scanner.at))
}

/// The place of a byte offset.
pub fn position(text: &str, offset: usize) -> Position {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    Position {
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        column: 1 + String::from_utf8_lossy(&before[line_start..])
            .chars()
            .count(),
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// From the start of a container to the start of its member `token`.
    fn enter(&mut self, token: &str) -> Option<()> {
        let array = match self.peek()? {
            b'{' => false,
            b'[' => true,
            _ => return None,
        };
        let wanted: Option<usize> = if array { token.parse().ok() } else { None };
        let mut index = 0;
        self.at += 1;
        loop {
            self.space();
            let here = if array {
                if self.peek()? == b']' {
                    return None;
                }
                wanted == Some(index)
            } else {
                let start = self.at;
                if self.peek()? != b'"' {
                    return None;
                }
                self.string();
                let key: String = serde_json::from_slice(&self.bytes[start..self.at]).ok()?;
                self.space();
                if self.peek()? != b':' {
                    return None;
                }
                self.at += 1;
                self.space();
                key == token
            };
            if here {
                return self.peek().map(|_| ());
            }
            self.value();
            self.space();
            if self.peek()? != b',' {
                return None;
            }
            self.at += 1;
            index += 1;
        }
    }

    /// Past one value; nesting is counted, not recursed into.
    fn value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                b',' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Past one string, from its opening quote.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += match byte {
                b'\\' => 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ => 1,
            };
        }
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n  \"a\": [1, {\"x/y\": true}, \"é,]\"],\n  \"e\\\"\": {\"~\": null}\n}";

    fn at(pointer: &str) -> Option<(usize, usize)> {
        locate(TEXT, pointer).map(|place| (place.line, place.column))
    }

    #[test]
    fn values_are_found_by_their_pointers() {
        assert_eq!(at(""), Some((1, 1)));
        assert_eq!(at("/a"), Some((2, 8)));
        assert_eq!(at("/a/1"), Some((2, 12)));
        assert_eq!(at("/a/1/x~1y"), Some((2, 20)));
        assert_eq!(at("/a/2"), Some((2, 27)));
        assert_eq!(at("/e\"/~0"), Some((3, 16)));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for pointer in ["/b", "/a/3", "/a/x", "/a/0/y", "/e\"/~0/z"] {
            assert_eq!(at(pointer), None, "{pointer}");
        }
        for broken in ["", "{", "{\"a\"", "{\"a\":", "[", "[1,", "[\"", "[\"\\"] {
            assert_eq!(locate(broken, "/a"), None, "{broken}");
            assert_eq!(locate(broken, "/7"), None, "{broken}");
        }
    }
}
