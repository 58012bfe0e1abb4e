//! The JSON grammar, byte by byte: values, separators, numbers and the three words.

use std::sync::Arc;

use serde_json::Number;

use super::{
    ArgumentChecker, Automaton, MAX_NUMBER_BYTES, MAX_WHITESPACE, atoms::Minus, formula::Kind,
    text::Text,
};
use crate::Mismatch;

/// Where in the grammar the next byte falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lex {
    Value,
    /// After `[`.
    FirstItem,
    /// After `{`.
    FirstKey,
    Key,
    Colon,
    /// After a member or an item.
    After,
    Text(Text),
    Number(Digits),
    Word(&'static [u8]),
    Done,
}

/// The last part of a number that was read (RFC 8259 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digits {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Digits {
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus | Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Integer | Self::Fraction | Self::Exponent
        )
    }
}

/// Why a byte was refused; the message is made from it and from the state at that byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The grammar allows no such byte; what it allows.
    Syntax(&'static str),
    Kind,
    Depth,
    Whitespace,
    Number,
    NumberSize,
    Text,
    Control,
    Utf8,
    Escape,
    Surrogate,
    /// No property has this name, or begins with it.
    Key,
    DuplicateKey,
    NoMoreKeys,
    Missing,
    TooManyItems,
    TooFewItems,
    End,
}

impl ArgumentChecker {
    /// A checker at the start of a text.
    pub fn new(automaton: Arc<Automaton>) -> Self {
        Self {
            automaton,
            offset: 0,
            lex: Lex::Value,
            spaces: 0,
            keep_text: false,
            chars: 0,
            depth: 0,
            hash: 0,
            frames: Vec::new(),
            atoms: Vec::new(),
            wants: Vec::new(),
            bits: Vec::new(),
            hashes: Vec::new(),
            keys: Vec::new(),
            scratch: Vec::new(),
            failed: None,
        }
    }

    /// Reads more of the text.
    ///
    /// Where one call ends and the next begins makes no difference. After an error every further
    /// call returns the same error.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use serde_json::json;
    /// use strict_schema::{ArgumentChecker, Automaton};
    ///
    /// let automaton = Automaton::compile(&json!({
    ///     "type": "object",
    ///     "properties": {"unit": {"type": "string", "enum": ["C", "F"]}},
    ///     "required": ["unit"],
    ///     "additionalProperties": false
    /// }))?;
    /// let mut checker = ArgumentChecker::new(Arc::new(automaton));
    /// checker.push(br#"{"unit": "#)?;
    /// let mismatch = checker.push(br#""Kelvin"}"#).unwrap_err();
    /// assert_eq!(mismatch.offset, 10);
    /// assert_eq!(mismatch.pointer, "/unit");
    /// assert_eq!(mismatch.message, r#"expected one of "C", "F""#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        if let Some(failed) = &self.failed {
            return Err((**failed).clone());
        }
        let mut at = 0;
        while at < bytes.len() {
            if self.lex == Lex::Text(Text::Plain) {
                let run = self.skip_free_text(&bytes[at..]);
                self.offset += run;
                at += run;
                if at == bytes.len() {
                    break;
                }
            }
            let byte = bytes[at];
            if let Err(cause) = self.step(byte) {
                let mismatch = self.explain(cause, Some(byte));
                self.failed = Some(Box::new(mismatch.clone()));
                return Err(mismatch);
            }
            at += 1;
            self.offset += 1;
        }
        Ok(())
    }

    /// Whether the bytes so far are a whole valid document (trailing whitespace may follow; after
    /// a number that is not in a container, digits may, too).
    pub fn is_complete(&self) -> bool {
        if self.failed.is_some() {
            return false;
        }
        match self.lex {
            Lex::Done => true,
            Lex::Number(digits) if self.frames.len() == 1 => {
                digits.may_end() && self.clone().finish_number().is_ok()
            }
            _ => false,
        }
    }

    /// The text has ended: an error that says what is missing unless it is complete.
    pub fn finish(&self) -> Result<(), Mismatch> {
        if let Some(failed) = &self.failed {
            return Err((**failed).clone());
        }
        if self.is_complete() {
            return Ok(());
        }
        let mut ended = self.clone();
        if let Lex::Number(digits) = ended.lex
            && digits.may_end()
            && let Err(cause) = ended.finish_number()
        {
            return Err(ended.explain(cause, None));
        }
        Err(ended.explain(Cause::End, None))
    }

    /// Bytes accepted so far; after an error, the offset of the refused byte.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes of memory this call's state takes, heap included; the shared automaton is not.
    pub fn state_bytes(&self) -> usize {
        fn heap<T>(vector: &Vec<T>) -> usize {
            vector.capacity() * size_of::<T>()
        }
        size_of::<Self>()
            + heap(&self.frames)
            + heap(&self.atoms)
            + heap(&self.wants)
            + heap(&self.bits)
            + heap(&self.hashes)
            + heap(&self.keys)
            + heap(&self.scratch)
    }

    #[inline]
    fn step(&mut self, byte: u8) -> Result<(), Cause> {
        match self.lex {
            Lex::Text(text) => return self.text_byte(text, byte),
            Lex::Number(digits) => {
                if let Some(next) = digits.next(byte) {
                    return self.digit(next, byte);
                }
                if !digits.may_end() {
                    return Err(Cause::Syntax("a digit"));
                }
                self.finish_number()?;
            }
            Lex::Word(rest) => {
                let Some((&first, rest)) = rest.split_first() else {
                    return Err(Cause::Syntax("a value"));
                };
                if first != byte {
                    return Err(Cause::Syntax("the rest of true, false or null"));
                }
                if rest.is_empty() {
                    return self.close(Cause::Kind);
                }
                self.lex = Lex::Word(rest);
                return Ok(());
            }
            _ => {}
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            self.spaces += 1;
            return if self.spaces > MAX_WHITESPACE {
                Err(Cause::Whitespace)
            } else {
                Ok(())
            };
        }
        self.spaces = 0;
        self.structure(byte)
    }

    fn structure(&mut self, byte: u8) -> Result<(), Cause> {
        match (self.lex, byte) {
            (Lex::FirstItem, b']') => self.end_array(),
            (Lex::Value | Lex::FirstItem, _) => self.value(byte),
            (Lex::FirstKey, b'}') => self.end_object(),
            (Lex::FirstKey | Lex::Key, b'"') => self.start_key(),
            (Lex::FirstKey, _) => Err(Cause::Syntax("a property name in double quotes or '}'")),
            (Lex::Key, _) => Err(Cause::Syntax("a property name in double quotes")),
            (Lex::Colon, b':') => {
                self.lex = Lex::Value;
                Ok(())
            }
            (Lex::Colon, _) => Err(Cause::Syntax("':'")),
            (Lex::After, _) => self.after(byte),
            _ => Err(Cause::Syntax("the end of the text")),
        }
    }

    fn value(&mut self, byte: u8) -> Result<(), Cause> {
        let (kind, lex) = match byte {
            b'"' => (Kind::String, Lex::Text(Text::Plain)),
            b'{' => (Kind::Object, Lex::FirstKey),
            b'[' => (Kind::Array, Lex::FirstItem),
            b't' => (Kind::True, Lex::Word(b"rue")),
            b'f' => (Kind::False, Lex::Word(b"alse")),
            b'n' => (Kind::Null, Lex::Word(b"ull")),
            b'-' => (Kind::Number, Lex::Number(Digits::Minus)),
            b'0' => (Kind::Number, Lex::Number(Digits::Zero)),
            b'1'..=b'9' => (Kind::Number, Lex::Number(Digits::Integer)),
            _ => return Err(Cause::Kind),
        };
        self.scratch.clear();
        if kind == Kind::Number {
            self.scratch.push(byte);
        }
        self.keep_text = false;
        self.chars = 0;
        self.depth = 0;
        self.open(kind, byte)?;
        self.lex = lex;
        Ok(())
    }

    fn after(&mut self, byte: u8) -> Result<(), Cause> {
        let Some(frame) = self.frames.last() else {
            return Err(Cause::Syntax("the end of the text"));
        };
        let count = frame.count;
        match (frame.kind, byte) {
            (Kind::Object, b'}') => self.end_object(),
            (Kind::Object, b',') => {
                self.lex = Lex::Key;
                self.kill_where(Cause::NoMoreKeys, |checker, state| {
                    !checker.automaton.objects[state.atom as usize].takes_more(count)
                })
            }
            (Kind::Object, _) => Err(Cause::Syntax("',' or '}'")),
            (_, b']') => self.end_array(),
            (_, b',') => {
                self.lex = Lex::Value;
                self.kill_where(Cause::TooManyItems, |checker, state| {
                    checker.automaton.arrays[state.atom as usize]
                        .item(count)
                        .is_none()
                })
            }
            _ => Err(Cause::Syntax("',' or ']'")),
        }
    }

    fn end_array(&mut self) -> Result<(), Cause> {
        let count = self.frames.last().map_or(0, |frame| frame.count);
        self.kill_where(Cause::TooFewItems, |checker, state| {
            u64::from(count) < checker.automaton.arrays[state.atom as usize].min
        })?;
        self.close(Cause::TooFewItems)
    }

    fn end_object(&mut self) -> Result<(), Cause> {
        let count = self.frames.last().map_or(0, |frame| frame.count);
        self.kill_where(Cause::Missing, |checker, state| {
            let atom = &checker.automaton.objects[state.atom as usize];
            let seen = &checker.bits[state.bits as usize..];
            u64::from(count) < atom.min
                || atom
                    .required
                    .iter()
                    .zip(seen)
                    .any(|(required, seen)| required & !seen != 0)
        })?;
        self.close(Cause::Missing)
    }

    fn digit(&mut self, next: Digits, byte: u8) -> Result<(), Cause> {
        if self.scratch.len() >= MAX_NUMBER_BYTES {
            return Err(Cause::NumberSize);
        }
        self.scratch.push(byte);
        self.lex = Lex::Number(next);
        let mantissa = matches!(next, Digits::Integer | Digits::Fraction);
        if mantissa && byte != b'0' && self.scratch[0] == b'-' {
            return self.kill_where(Cause::Number, |checker, state| {
                checker.automaton.numbers[state.atom as usize].minus == Minus::ZeroOnly
            });
        }
        Ok(())
    }

    /// The byte after a number has come; the number is judged.
    fn finish_number(&mut self) -> Result<(), Cause> {
        // Without an exponent no number of this length leaves the range of a double.
        let exponent = self
            .scratch
            .iter()
            .any(|byte| byte.eq_ignore_ascii_case(&b'e'));
        if exponent || self.atoms.len() > self.top_atoms() {
            let Ok(number) = serde_json::from_slice::<Number>(&self.scratch) else {
                return Err(Cause::NumberSize);
            };
            self.kill_where(Cause::Number, |checker, state| {
                !checker.automaton.numbers[state.atom as usize].accepts(&number)
            })?;
        }
        self.close(Cause::Number)
    }
}
