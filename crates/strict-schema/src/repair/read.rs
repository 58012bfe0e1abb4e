//! A JSON reader that forgives what models do, and says whether it had to.
//!
//! Forgiven: trailing commas, single quotes, Python's literals, raw line breaks and tabs in
//! strings, and an end of text inside strings, arrays and objects. A number or a word at such an
//! end is not forgiven (it may have gone on), nor is a name without a value, a duplicate name,
//! or an integer that a double would change.

use serde_json::{Map, Number, Value};

/// Arrays and objects within each other.
const MAX_DEPTH: usize = 64;

pub(super) struct Reading {
    pub(super) value: Value,
    /// Something was forgiven.
    pub(super) touched: bool,
}

/// The text as one value with nothing but whitespace around it.
pub(super) fn whole(text: &str) -> Option<Reading> {
    let mut reader = Reader::new(text, 0);
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    (reader.at == text.len()).then_some(Reading {
        value,
        touched: reader.touched,
    })
}

/// The value that begins at `at`, and where it ends.
pub(super) fn value_at(text: &str, at: usize) -> Option<(Reading, usize)> {
    let mut reader = Reader::new(text, at);
    let value = reader.value(0)?;
    let reading = Reading {
        value,
        touched: reader.touched,
    };
    Some((reading, reader.at))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    touched: bool,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, at: usize) -> Self {
        Self {
            text,
            at,
            touched: false,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The text has ended within an array or object: closed here.
    fn cut(&mut self) -> bool {
        let cut = self.at == self.text.len();
        self.touched |= cut;
        cut
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth),
            b'[' if depth < MAX_DEPTH => self.array(depth),
            quote @ (b'"' | b'\'') => self.string(quote).map(Value::String),
            b'-' | b'0'..=b'9' => self.number(depth),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut members = Map::new();
        loop {
            self.space();
            if self.cut() {
                break;
            }
            if self.peek() == Some(b'}') {
                self.touched |= !members.is_empty();
                self.at += 1;
                break;
            }
            let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''))?;
            let name = self.string(quote)?;
            self.space();
            if self.peek() != Some(b':') {
                return None;
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            if members.insert(name, value).is_some() {
                return None;
            }
            if !self.separator(b'}')? {
                break;
            }
        }
        Some(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space();
            if self.cut() {
                break;
            }
            if self.peek() == Some(b']') {
                self.touched |= !items.is_empty();
                self.at += 1;
                break;
            }
            items.push(self.value(depth + 1)?);
            if !self.separator(b']')? {
                break;
            }
        }
        Some(Value::Array(items))
    }

    /// After a member: true for a comma, false for the end of the container.
    fn separator(&mut self, close: u8) -> Option<bool> {
        self.space();
        if self.cut() {
            return Some(false);
        }
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            return Some(true);
        }
        (byte == close).then_some(false)
    }

    fn string(&mut self, quote: u8) -> Option<String> {
        self.touched |= quote == b'\'';
        self.at += 1;
        let mut out = String::new();
        let mut broken = false;
        loop {
            let start = self.at;
            while self
                .peek()
                .is_some_and(|byte| byte != quote && byte != b'\\' && byte >= 0x20)
            {
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            match self.peek() {
                None => {
                    self.touched = true;
                    // With a raw line break in it, what follows is as likely not the string's.
                    return (!broken).then_some(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(byte @ (b'\n' | b'\r' | b'\t')) => {
                    self.touched = true;
                    broken |= byte != b'\t';
                    self.at += 1;
                    out.push(char::from(byte));
                }
                Some(byte) if byte == quote => {
                    self.at += 1;
                    return Some(out);
                }
                Some(_) => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        self.at += 1;
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'\'' => {
                self.touched = true;
                '\''
            }
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high);
                }
                if self.text.get(self.at..self.at + 2) != Some("\\u") {
                    return None;
                }
                self.at += 2;
                let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low);
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self, depth: usize) -> Option<Value> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        {
            self.at += 1;
        }
        // In a container that was cut off, more digits may be missing.
        if depth > 0 && self.at == self.text.len() {
            return None;
        }
        number(&self.text[start..self.at]).map(Value::Number)
    }

    fn word(&mut self) -> Option<Value> {
        let rest = &self.text[self.at..];
        let (word, value) = [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
            ("True", Value::Bool(true)),
            ("False", Value::Bool(false)),
            ("None", Value::Null),
        ]
        .into_iter()
        .find(|(word, _)| rest.starts_with(word))?;
        let after = rest[word.len()..].chars().next();
        if after.is_some_and(|after| after.is_alphanumeric() || after == '_') {
            return None;
        }
        self.touched |= word.starts_with(|first: char| first.is_uppercase());
        self.at += word.len();
        Some(value)
    }
}

/// A JSON number that keeps its value: integers beyond 64 bits would not.
pub(super) fn number(text: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(text).ok()?;
    if !number.is_f64() || text == "-0" {
        return Some(number);
    }
    if text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_digit())
    {
        return None;
    }
    // serde_json's own reading of fractions may be off in the last bit.
    Number::from_f64(text.parse().ok()?)
}
