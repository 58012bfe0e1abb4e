//! Strings and property names: escapes, UTF-8, and what each decoded byte does to the atoms.
//!
//! Atoms see decoded text, so `"\u0061"` is `"a"` everywhere. An escape is judged when it is
//! whole; that some character must still be possible is judged at its backslash.

use super::{
    ArgumentChecker,
    atoms::StringAtom,
    checker::{Cause, Lex},
    dfa::DEAD,
    format::MAX_FORMAT_BYTES,
    formula::Kind,
    state::AtomState,
};

/// Where in a string the next byte falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Plain,
    /// Within a UTF-8 sequence: bytes left, and the range the next one lies in.
    Utf8 {
        left: u8,
        low: u8,
        high: u8,
    },
    Escape,
    /// In `\uXXXX`: digits left, their value so far, and the high surrogate before it (or 0).
    Hex {
        left: u8,
        value: u16,
        high: u16,
    },
    /// A high surrogate must be followed by a `\u`.
    LowBackslash {
        high: u16,
    },
    LowU {
        high: u16,
    },
}

impl ArgumentChecker {
    /// Length of the run of plain ASCII that no atom looks at.
    #[inline]
    pub(crate) fn skip_free_text(&self, bytes: &[u8]) -> usize {
        if self.top_kind() != Some(Kind::String) || self.atoms.len() > self.top_atoms() {
            return 0;
        }
        bytes
            .iter()
            .position(|&byte| !matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=0x7f))
            .unwrap_or(bytes.len())
    }

    pub(crate) fn text_byte(&mut self, text: Text, byte: u8) -> Result<(), Cause> {
        match text {
            Text::Plain => self.plain(byte),
            Text::Utf8 { left, low, high } => {
                if !(low..=high).contains(&byte) {
                    return Err(Cause::Utf8);
                }
                self.lex = Lex::Text(match left {
                    1 => Text::Plain,
                    _ => Text::Utf8 {
                        left: left - 1,
                        low: 0x80,
                        high: 0xbf,
                    },
                });
                self.feed(byte, false)
            }
            Text::Escape => self.escape(byte),
            Text::Hex { left, value, high } => self.hex(left, value, high, byte),
            Text::LowBackslash { high } if byte == b'\\' => {
                self.lex = Lex::Text(Text::LowU { high });
                Ok(())
            }
            Text::LowU { high } if byte == b'u' => {
                self.lex = Lex::Text(Text::Hex {
                    left: 4,
                    value: 0,
                    high,
                });
                Ok(())
            }
            Text::LowBackslash { .. } | Text::LowU { .. } => Err(Cause::Surrogate),
        }
    }

    fn plain(&mut self, byte: u8) -> Result<(), Cause> {
        // Unicode 16, table 3-7: which bytes may follow which lead byte.
        let (left, low, high) = match byte {
            b'"' => return self.end_text(),
            b'\\' => {
                self.lex = Lex::Text(Text::Escape);
                return self.expect_character();
            }
            0..=0x1f => return Err(Cause::Control),
            0x20..=0x7f => return self.feed(byte, true),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return Err(Cause::Utf8),
        };
        self.lex = Lex::Text(Text::Utf8 { left, low, high });
        self.feed(byte, true)
    }

    fn escape(&mut self, byte: u8) -> Result<(), Cause> {
        self.lex = Lex::Text(Text::Plain);
        let decoded = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.lex = Lex::Text(Text::Hex {
                    left: 4,
                    value: 0,
                    high: 0,
                });
                return Ok(());
            }
            _ => return Err(Cause::Escape),
        };
        self.feed(decoded, true)
    }

    fn hex(&mut self, left: u8, value: u16, high: u16, byte: u8) -> Result<(), Cause> {
        let digit = char::from(byte).to_digit(16).ok_or(Cause::Escape)? as u16;
        let value = value << 4 | digit;
        let low_surrogate = match left {
            // The first digit of a low surrogate is d, the second c to f.
            4 if high != 0 && value != 0xd => return Err(Cause::Surrogate),
            3 => (0xdc..=0xdf).contains(&value),
            _ => high != 0,
        };
        if left <= 3 && low_surrogate != (high != 0) {
            return Err(Cause::Surrogate);
        }
        if left > 1 {
            self.lex = Lex::Text(Text::Hex {
                left: left - 1,
                value,
                high,
            });
            return Ok(());
        }
        if high == 0 && (0xd800..0xdc00).contains(&value) {
            self.lex = Lex::Text(Text::LowBackslash { high: value });
            return Ok(());
        }
        let code = if high == 0 {
            u32::from(value)
        } else {
            0x1_0000 + (u32::from(high - 0xd800) << 10) + u32::from(value - 0xdc00)
        };
        let Some(character) = char::from_u32(code) else {
            return Err(Cause::Surrogate);
        };
        self.lex = Lex::Text(Text::Plain);
        let mut buffer = [0; 4];
        for (index, &byte) in character
            .encode_utf8(&mut buffer)
            .as_bytes()
            .iter()
            .enumerate()
        {
            self.feed(byte, index == 0)?;
        }
        Ok(())
    }

    /// Before an escape: some further character must be possible.
    fn expect_character(&mut self) -> Result<(), Cause> {
        let (depth, chars) = (self.depth, self.chars);
        if self.top_kind() == Some(Kind::String) {
            return self.kill_where(Cause::Text, |checker, state| {
                !checker.automaton.strings[state.atom as usize].goes_on(state, chars, depth)
            });
        }
        self.kill_where(Cause::Key, |checker, state| {
            let atom = &checker.automaton.objects[state.atom as usize];
            let ended = u32::from(atom.names.ends_at(state.range, depth).is_some());
            atom.extra.is_none()
                && !checker.has_unseen(state, (state.range.0 + ended, state.range.1))
        })
    }

    /// One decoded byte.
    #[inline]
    fn feed(&mut self, byte: u8, starts_character: bool) -> Result<(), Cause> {
        if self.top_kind() == Some(Kind::String) {
            self.feed_value(byte, starts_character)
        } else {
            self.feed_key(byte)
        }
    }

    fn feed_value(&mut self, byte: u8, starts_character: bool) -> Result<(), Cause> {
        let from = self.top_atoms();
        if from == self.atoms.len() {
            return Ok(());
        }
        let now = self.now();
        let (chars, depth) = (self.chars, self.depth);
        let too_long = self.keep_text && self.scratch.len() >= MAX_FORMAT_BYTES;
        let mut lost = false;
        let automaton = &*self.automaton;
        for state in &mut self.atoms[from..] {
            let atom = &automaton.strings[state.atom as usize];
            if !atom.take(state, byte, depth)
                || (starts_character && atom.max.is_some_and(|max| chars >= max))
                || (too_long && atom.format.is_some())
            {
                state.died = now;
                lost = true;
            }
        }
        if lost {
            self.survive(Cause::Text)?;
        }
        self.chars += u64::from(starts_character);
        self.depth += 1;
        if self.keep_text && !too_long {
            self.scratch.push(byte);
        }
        Ok(())
    }

    fn end_text(&mut self) -> Result<(), Cause> {
        if self.top_kind() != Some(Kind::String) {
            return self.end_key();
        }
        let (chars, depth) = (self.chars, self.depth);
        self.kill_where(Cause::Text, |checker, state| {
            let atom = &checker.automaton.strings[state.atom as usize];
            !atom.ends(state, chars, depth, &checker.scratch)
        })?;
        self.close(Cause::Text)
    }
}

impl StringAtom {
    /// One decoded byte; false if no accepted string goes on with it.
    #[inline]
    fn take(&self, state: &mut AtomState, byte: u8, depth: usize) -> bool {
        if let Some(set) = &self.literals {
            let range = set.narrow(state.range, depth, byte);
            if range.0 == range.1 {
                return false;
            }
            state.range = range;
        }
        if let Some(dfa) = &self.pattern {
            let next = dfa.next(state.dfa[0], byte);
            if next == DEAD {
                return false;
            }
            state.dfa[0] = next;
        }
        if let Some(format) = self.format {
            let next = format.filter.next(state.dfa[1], byte);
            if next == DEAD {
                return false;
            }
            state.dfa[1] = next;
        }
        true
    }

    /// Whether some character may follow.
    fn goes_on(&self, state: &AtomState, chars: u64, depth: usize) -> bool {
        self.max.is_none_or(|max| chars < max)
            && self.literals.as_ref().is_none_or(|set| {
                state.range.1 - state.range.0 > u32::from(set.ends_at(state.range, depth).is_some())
            })
            && self
                .pattern
                .as_ref()
                .is_none_or(|dfa| dfa.goes_on(state.dfa[0]))
            && self
                .format
                .is_none_or(|format| format.filter.goes_on(state.dfa[1]))
    }

    /// Whether the string may end here.
    pub(crate) fn ends(&self, state: &AtomState, chars: u64, depth: usize, text: &[u8]) -> bool {
        chars >= self.min
            && self
                .literals
                .as_ref()
                .is_none_or(|set| set.ends_at(state.range, depth).is_some())
            && self
                .pattern
                .as_ref()
                .is_none_or(|dfa| dfa.accepts(state.dfa[0]))
            && self.format.is_none_or(|format| {
                std::str::from_utf8(text).is_ok_and(|text| format.accepts(text))
            })
    }
}
