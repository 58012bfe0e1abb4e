//! The text of the scripted answers, as arithmetic.
//!
//! Token `i` is a function of `i`, so a reader can prove that nothing is lost, doubled or moved,
//! and a continuation can start at exactly the next byte of any prefix, inside a number too.

use std::fmt::Write;

use super::kinds::Shape;
use super::script::Script;

/// Single characters, and sequences of several code points that a careless splitter tears apart.
const GLYPHS: [&str; 8] = ["é", "漢", "字", "🦀", "👩‍💻", "🇫🇷", "e\u{301}", "👍🏽"];

/// Writes token `index` of the answer's text.
pub(super) fn write_token(script: &Script, index: usize, out: &mut impl Write) {
    let written = match script.shape {
        Shape::Numbers => write!(out, "{index} "),
        Shape::Emoji => write!(out, "{index}{} ", GLYPHS[index % GLYPHS.len()]),
        Shape::Filler => {
            let fill = script.token_bytes - 9;
            write!(out, "{index:08}{:x<fill$} ", "")
        }
    };
    written.expect("the sinks are in memory");
}

pub(super) fn token(script: &Script, index: usize) -> String {
    let mut text = String::new();
    write_token(script, index, &mut text);
    text
}

/// Tokens `0..tokens` as one text.
pub(super) fn full_text(script: &Script, tokens: usize) -> String {
    let mut text = String::new();
    for index in 0..tokens {
        write_token(script, index, &mut text);
    }
    text
}

/// Where an answer goes on: in token `index`, after its first `skip` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) index: usize,
    pub(super) skip: usize,
}

/// Finds the byte after `prefix`. A prefix that is not the answer's own beginning goes on after
/// its last whole number; without one the answer starts over.
pub(super) fn position_after(script: &Script, prefix: &str) -> Position {
    walk(script, prefix, 0)
        .or_else(|| {
            let (at, number) = last_number(prefix)?;
            walk(script, &prefix[at..], number)
        })
        .unwrap_or_default()
}

/// Follows `text` token by token from token `first`; `None` where it leaves the answer.
fn walk(script: &Script, mut text: &str, first: usize) -> Option<Position> {
    let mut expected = String::new();
    for index in first.. {
        expected.clear();
        write_token(script, index, &mut expected);
        match text.strip_prefix(expected.as_str()) {
            Some(rest) => text = rest,
            None if expected.starts_with(text) => {
                return Some(Position {
                    index,
                    skip: text.len(),
                });
            }
            None => return None,
        }
    }
    None
}

/// The last number that something follows, else the digits at the end.
fn last_number(text: &str) -> Option<(usize, usize)> {
    let without_end = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let whole = number_at_end(without_end.trim_end_matches(|c: char| !c.is_ascii_digit()));
    whole.or_else(|| number_at_end(text))
}

fn number_at_end(text: &str) -> Option<(usize, usize)> {
    let start = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    Some((start, text[start..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(shape: Shape) -> Script {
        Script {
            shape,
            token_bytes: 16,
            ..Script::default()
        }
    }

    #[test]
    fn every_prefix_of_every_shape_is_continued_at_its_next_byte() {
        for shape in [Shape::Numbers, Shape::Emoji, Shape::Filler] {
            let script = shaped(shape);
            let full = full_text(&script, 120);
            for (at, _) in full.char_indices() {
                let Position { index, skip } = position_after(&script, &full[..at]);
                let mut rest = token(&script, index).split_off(skip);
                for index in index + 1..120 {
                    write_token(&script, index, &mut rest);
                }
                assert_eq!(rest, full[at..], "{shape:?} cut at {at}");
            }
        }
    }

    #[test]
    fn a_foreign_prefix_goes_on_after_its_last_whole_number() {
        let script = shaped(Shape::Numbers);
        let at = |index, skip| Position { index, skip };
        assert_eq!(position_after(&script, "so far: 41 42 4"), at(43, 1));
        assert_eq!(position_after(&script, "so far: 41 42"), at(42, 2));
        assert_eq!(position_after(&script, "page 12"), at(12, 2));
        assert_eq!(position_after(&script, "no number"), at(0, 0));
        assert_eq!(position_after(&script, "7 of 9 wonders"), at(0, 0));
    }

    #[test]
    fn filler_tokens_have_the_asked_size() {
        let script = Script {
            token_bytes: 10,
            ..shaped(Shape::Filler)
        };
        assert_eq!(full_text(&script, 2), "00000000x 00000001x ");
    }
}
