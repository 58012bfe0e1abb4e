//! In how many ways an expression can read one character.
//!
//! A step of llguidance asks each part of an intersection for pairs of a class
//! and what follows it, and makes an expression of every combination whose
//! classes meet. A part has no more pairs that one character is in than it has
//! different classes with that character, so the product of these numbers says
//! how many there will be.

use std::collections::{HashMap, HashSet};

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{
    MAX_OVERLAP,
    read::{Body, Grammar},
    too_many_ways,
};

/// Bytes of the patterns that '&' and '~' join, at all their places together:
/// each is parsed wherever it is named.
const MAX_READ: usize = 1 << 20;
/// Ways that are counted for what is defined elsewhere: no terminal of the
/// imported ones has more.
const IMPORTED: u64 = 2;
/// Nesting of a pattern, as regex-syntax has it.
const MAX_PATTERN_NESTING: usize = 250;

/// Ranges of one class.
type Ranges = Vec<(u32, u32)>;

#[derive(Default)]
pub struct Overlap<'g> {
    classes: HashSet<Ranges>,
    extra: u64,
    names: HashSet<&'g str>,
}

/// What was counted of a grammar so far.
#[derive(Default)]
pub struct Counted {
    /// The products of what '&' joins, by where it stands. Each is counted once:
    /// what is joined may name it again, and itself.
    products: HashMap<usize, u64>,
    /// Bytes of the patterns that were read, each time that they were.
    read: usize,
}

impl<'g> Overlap<'g> {
    /// The number for an expression of a grammar. The error is a sentence: it is
    /// so large that nothing needs to be counted.
    pub fn of(
        grammar: &'g Grammar<'_>,
        body: &'g Body<'_>,
        counted: &mut Counted,
    ) -> Result<u64, String> {
        let mut overlap = Self::default();
        overlap.body(grammar, body, counted)?;
        Ok(overlap.ways())
    }

    /// The number for a pattern of a schema, which may begin and end anywhere
    /// where it has no anchors.
    pub fn of_pattern(pattern: &str) -> u64 {
        let mut overlap = Self::default();
        overlap.pattern(pattern, "");
        let starts = pattern.starts_with('^');
        let ends = pattern.ends_with('$');
        overlap.ways().saturating_add((!(starts && ends)).into())
    }

    fn ways(&self) -> u64 {
        let mut ends: Vec<(u32, bool)> = self
            .classes
            .iter()
            .flatten()
            .flat_map(|(from, to)| [(*from, true), (*to + 1, false)])
            .collect();
        // At one place, what ends comes before what begins.
        ends.sort_unstable();
        let (mut open, mut most) = (0_u64, 0);
        for (_, begins) in ends {
            open = if begins { open + 1 } else { open - 1 };
            most = most.max(open);
        }
        most.saturating_add(self.extra)
    }

    fn body(
        &mut self,
        grammar: &'g Grammar<'_>,
        body: &'g Body<'_>,
        counted: &mut Counted,
    ) -> Result<(), String> {
        match body {
            Body::Join(parts) => {
                for part in parts {
                    self.body(grammar, part, counted)?;
                }
            }
            Body::Group(inner) => self.body(grammar, inner, counted)?,
            Body::And(parts) => {
                let place = std::ptr::from_ref(body).addr();
                let product = match counted.products.get(&place) {
                    Some(known) => *known,
                    None => product(grammar, parts, place, counted)?,
                };
                self.extra = self.extra.saturating_add(product);
            }
            // The classes of what is not something do not meet.
            Body::Not(_) => self.extra = self.extra.saturating_add(1),
            Body::Name(name) => match grammar.rules.get(name) {
                Some(body) => {
                    if self.names.insert(name) {
                        self.body(grammar, body, counted)?;
                    }
                }
                None => self.extra = self.extra.saturating_add(IMPORTED),
            },
            Body::Text(text) => {
                let (quoted, flags) = match text.strip_suffix('i') {
                    Some(quoted) => (quoted, "i"),
                    None => (*text, ""),
                };
                let plain: String = serde_json::from_str(quoted).unwrap_or(quoted.to_owned());
                counted.read(text)?;
                self.pattern(&regex_syntax::escape(&plain), flags);
            }
            Body::Pattern(text) => {
                let end = text.rfind('/').unwrap_or(text.len());
                let flags = text.get(end + 1..).unwrap_or_default();
                counted.read(text)?;
                self.pattern(text.get(1..end).unwrap_or_default(), flags);
            }
            // Neither can stand in a terminal.
            Body::Schema(_) | Body::Grammar(_) => {}
        }
        Ok(())
    }

    /// Adds the classes of a pattern; what is no pattern, the engine refuses.
    fn pattern(&mut self, pattern: &str, flags: &str) {
        let flagged = match flags {
            "" => pattern.to_owned(),
            _ => format!("(?{flags}){pattern}"),
        };
        let parsed = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(&flagged);
        match parsed {
            Ok(hir) => self.hir(&hir, 0),
            Err(_) => self.extra = self.extra.saturating_add(pattern.len() as u64),
        }
    }

    fn hir(&mut self, hir: &Hir, depth: usize) {
        if depth > MAX_PATTERN_NESTING {
            self.extra = u64::MAX;
            return;
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => {
                    for character in text.chars().map(u32::from) {
                        self.classes.insert(vec![(character, character)]);
                    }
                }
                Err(_) => {
                    for byte in literal.0.iter().copied().map(u32::from) {
                        self.classes.insert(vec![(byte, byte)]);
                    }
                }
            },
            HirKind::Class(Class::Unicode(class)) => {
                let ranges = class.iter().map(|r| (r.start().into(), r.end().into()));
                self.classes.insert(ranges.collect());
            }
            HirKind::Class(Class::Bytes(class)) => {
                let ranges = class.iter().map(|r| (r.start().into(), r.end().into()));
                self.classes.insert(ranges.collect());
            }
            HirKind::Repetition(repetition) => self.hir(&repetition.sub, depth + 1),
            HirKind::Capture(capture) => self.hir(&capture.sub, depth + 1),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                for part in parts {
                    self.hir(part, depth + 1);
                }
            }
        }
    }
}

/// The product of what '&' joins at one place. Until it is known, the place counts
/// for one: what names itself there, the engine refuses.
fn product<'g>(
    grammar: &'g Grammar<'_>,
    parts: &'g [Body<'_>],
    place: usize,
    counted: &mut Counted,
) -> Result<u64, String> {
    counted.products.insert(place, 1);
    let mut product = 1_u64;
    for part in parts {
        let ways = Overlap::of(grammar, part, counted)?;
        product = product.saturating_mul(ways.max(1));
        if product > MAX_OVERLAP {
            return Err(too_many_ways("The Lark grammar", "what '&' joins"));
        }
    }
    counted.products.insert(place, product);
    Ok(product)
}

impl Counted {
    fn read(&mut self, pattern: &str) -> Result<(), String> {
        self.read += pattern.len();
        if self.read > MAX_READ {
            return Err(format!(
                "The Lark grammar is too complex: the patterns that '&' and '~' join have more \
                 than {MAX_READ} bytes, counted wherever they are named."
            ));
        }
        Ok(())
    }
}
