//! The atoms of formulas: what one group of keywords asks of one kind of value.

use std::{fmt, sync::Arc};

use serde_json::Number;

use super::{
    dfa::{DEAD, Dfa},
    format::Format,
    formula::NodeId,
};

/// A sorted set of byte strings that is narrowed byte by byte: the names of an object's
/// properties, or the strings of an `enum`.
#[derive(Debug, Default)]
pub(crate) struct Literals(pub(crate) Box<[Box<[u8]>]>);

impl Literals {
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<Box<[u8]>> = texts
            .into_iter()
            .map(|text| text.as_bytes().into())
            .collect();
        all.sort_unstable();
        all.dedup();
        Self(all.into())
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    pub(crate) fn text(&self, index: usize) -> &str {
        std::str::from_utf8(&self.0[index]).unwrap_or_default()
    }

    pub(crate) fn position(&self, text: &str) -> Option<usize> {
        self.0
            .binary_search_by(|entry| (**entry).cmp(text.as_bytes()))
            .ok()
    }

    /// Those of `range`, which share `depth` bytes, that go on with `byte`.
    #[inline]
    pub(crate) fn narrow(&self, (lo, hi): (u32, u32), depth: usize, byte: u8) -> (u32, u32) {
        if hi - lo == 1 {
            let kept = self.0[lo as usize].get(depth) == Some(&byte);
            return (lo, if kept { hi } else { lo });
        }
        // `None` (the text that ends here) sorts before every byte.
        let range = &self.0[lo as usize..hi as usize];
        let from = range.partition_point(|text| text.get(depth) < Some(&byte));
        let to = from + range[from..].partition_point(|text| text.get(depth) == Some(&byte));
        (lo + from as u32, lo + to as u32)
    }

    /// The index of the text of `range` that ends at `depth`: the first one, by the order.
    pub(crate) fn ends_at(&self, (lo, hi): (u32, u32), depth: usize) -> Option<usize> {
        (lo < hi && self.0[lo as usize].len() == depth).then_some(lo as usize)
    }
}

#[derive(Debug, Default)]
pub(crate) struct StringAtom {
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    pub(crate) literals: Option<Literals>,
    pub(crate) pattern: Option<Arc<Dfa>>,
    pub(crate) format: Option<&'static Format>,
}

impl StringAtom {
    pub(crate) fn is_free(&self) -> bool {
        self.min == 0
            && self.max.is_none()
            && self.literals.is_none()
            && self.pattern.is_none()
            && self.format.is_none()
    }

    /// Whether some string is accepted, as far as the keywords one by one can tell.
    pub(crate) fn is_possible(&self) -> bool {
        self.max.is_none_or(|max| self.min <= max)
            && self
                .literals
                .as_ref()
                .is_none_or(|literals| literals.len() > 0)
            && self.pattern.as_ref().is_none_or(|dfa| dfa.start != DEAD)
    }

    pub(crate) fn accepts(&self, text: &str) -> bool {
        let length = text.chars().count() as u64;
        length >= self.min
            && self.max.is_none_or(|max| length <= max)
            && self
                .literals
                .as_ref()
                .is_none_or(|set| set.position(text).is_some())
            && self.pattern.as_ref().is_none_or(|dfa| dfa.matches(text))
            && self.format.is_none_or(|format| format.accepts(text))
    }
}

/// What a leading minus leaves possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Minus {
    #[default]
    Free,
    /// `-0` and its spellings only.
    ZeroOnly,
    Never,
    /// Only negative numbers are accepted.
    Must,
}

/// A number's keywords. The verdict is the `jsonschema` crate's, on the same number that a JSON
/// parser makes of the text, so that both always agree on bounds, `multipleOf` and big numbers.
#[derive(Default)]
pub(crate) struct NumberAtom {
    pub(crate) integer: bool,
    pub(crate) minus: Minus,
    pub(crate) exact: Option<jsonschema::Validator>,
    /// What is asked, in words, for messages.
    pub(crate) wanted: String,
    pub(crate) possible: bool,
}

impl NumberAtom {
    pub(crate) fn accepts(&self, number: &Number) -> bool {
        match &self.exact {
            Some(exact) => exact.is_valid(&serde_json::Value::Number(number.clone())),
            None => !self.integer || is_integer(number),
        }
    }
}

impl fmt::Debug for NumberAtom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumberAtom")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// JSON Schema from draft 6 on: an integer is a number without a fractional part, so 1.0 is one.
pub(crate) fn is_integer(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|value| value.fract() == 0.0)
}

#[derive(Debug, Default)]
pub(crate) struct ArrayAtom {
    pub(crate) prefix: Vec<NodeId>,
    /// Schema of the items after the prefix; `None` if there may be none.
    pub(crate) rest: Option<NodeId>,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
}

impl ArrayAtom {
    pub(crate) fn item(&self, index: u32) -> Option<NodeId> {
        if self.max.is_some_and(|max| u64::from(index) >= max) {
            return None;
        }
        self.prefix.get(index as usize).copied().or(self.rest)
    }
}

#[derive(Debug, Default)]
pub(crate) struct ObjectAtom {
    pub(crate) names: Literals,
    /// Schemas of the properties, in the order of `names`.
    pub(crate) children: Vec<NodeId>,
    /// Bits over `names`.
    pub(crate) required: Vec<u64>,
    /// The names in the order the schema declares them, for messages.
    pub(crate) declared: Vec<u32>,
    /// Schema of the other properties; `None` if there may be none.
    pub(crate) extra: Option<NodeId>,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
}

impl ObjectAtom {
    pub(crate) fn words(&self) -> usize {
        self.names.0.len().div_ceil(64)
    }

    /// Whether a member may follow `count` members.
    pub(crate) fn takes_more(&self, count: u32) -> bool {
        self.max.is_none_or(|max| u64::from(count) < max)
            && (self.extra.is_some() || count < self.names.len())
    }
}

/// Whether some bit of `lo..hi` is clear.
#[inline]
pub(crate) fn any_clear(bits: &[u64], lo: u32, hi: u32) -> bool {
    let mut at = lo;
    while at < hi {
        let word = bits[(at / 64) as usize] >> (at % 64);
        let here = (64 - at % 64).min(hi - at);
        let mask = if here == 64 {
            u64::MAX
        } else {
            (1 << here) - 1
        };
        if word & mask != mask {
            return true;
        }
        at += here;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_narrow_to_the_texts_with_the_prefix() {
        let set = Literals::new(["ab", "a", "b", "abc", "é"]);
        let all = (0, set.len());
        let a = set.narrow(all, 0, b'a');
        assert_eq!(a, (0, 3));
        assert_eq!(set.ends_at(a, 1), Some(0));
        let ab = set.narrow(a, 1, b'b');
        assert_eq!(ab, (1, 3));
        assert_eq!(set.ends_at(ab, 2), Some(1));
        assert_eq!(set.ends_at(set.narrow(ab, 2, b'c'), 3), Some(2));
        let (lo, hi) = set.narrow(all, 0, b'x');
        assert_eq!(lo, hi);
    }

    #[test]
    fn clear_bits_are_found_across_words() {
        let mut bits = [u64::MAX; 3];
        assert!(!any_clear(&bits, 0, 192));
        bits[1] &= !(1 << 10);
        assert!(any_clear(&bits, 70, 80));
        assert!(any_clear(&bits, 0, 192));
        assert!(!any_clear(&bits, 75, 192));
        assert!(!any_clear(&bits, 5, 5));
    }
}
