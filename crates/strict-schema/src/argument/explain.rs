//! Messages: made once, from the state at the refused byte.

use super::{
    ArgumentChecker,
    atoms::ObjectAtom,
    checker::{Cause, Lex},
    formula::{Expr, Formula, Kind, NodeId},
    phrase::{ambiguous, found, join, list, one_of, quote},
    state::AtomState,
};
use crate::{Mismatch, pointer::escape};

impl ArgumentChecker {
    #[cold]
    pub(crate) fn explain(&self, cause: Cause, byte: Option<u8>) -> Mismatch {
        Mismatch {
            offset: self.offset,
            pointer: self.pointer(cause),
            message: self.message(cause, byte),
        }
    }

    fn pointer(&self, cause: Cause) -> String {
        // The container itself is meant, unless a value of its was about to begin.
        let inside = matches!(self.lex, Lex::Value | Lex::FirstItem)
            && !matches!(cause, Cause::TooManyItems | Cause::TooFewItems);
        let mut pointer = String::new();
        for (index, frame) in self.frames.iter().enumerate() {
            let next = self.frames.get(index + 1);
            if next.is_none() && !inside {
                break;
            }
            match frame.kind {
                Kind::Array => {
                    pointer.push('/');
                    pointer.push_str(&frame.count.to_string());
                }
                Kind::Object => {
                    let end = next.map_or(self.keys.len(), |next| next.key as usize);
                    let name = String::from_utf8_lossy(&self.keys[frame.key as usize..end]);
                    pointer.push('/');
                    pointer.push_str(&escape(&name));
                }
                _ => {}
            }
        }
        pointer
    }

    fn message(&self, cause: Cause, byte: Option<u8>) -> String {
        match cause {
            Cause::Syntax(expected) => {
                format!("not valid JSON: expected {expected}, found {}", found(byte))
            }
            Cause::Kind => self.wrong_kind(byte),
            Cause::Depth => format!("nested deeper than {} levels", super::MAX_DEPTH),
            Cause::Whitespace => {
                format!(
                    "more than {} bytes of whitespace in a row",
                    super::MAX_WHITESPACE
                )
            }
            Cause::NumberSize => format!(
                "the number is longer than {} digits or too large for a double",
                super::MAX_NUMBER_BYTES
            ),
            Cause::Control => {
                "not valid JSON: a control character in a string must be escaped, as \\n or \\u0000"
                    .into()
            }
            Cause::Utf8 => "the text is not valid UTF-8".into(),
            Cause::Escape => "not valid JSON: no such escape in a string".into(),
            Cause::Surrogate => {
                "not valid JSON: a \\u escape of half a surrogate pair stands alone".into()
            }
            Cause::Number => self.wrong_number(),
            Cause::Text => self.wrong_text(byte),
            Cause::Key => self.wrong_key(byte),
            Cause::DuplicateKey => format!("property '{}' is given twice", self.key()),
            Cause::NoMoreKeys => self.no_more_keys(),
            Cause::Missing => self.missing(),
            Cause::TooManyItems => self.too_many_items(),
            Cause::TooFewItems => self.too_few_items(),
            Cause::End => self.ended(),
        }
    }

    fn wrong_kind(&self, byte: Option<u8>) -> String {
        let mut phrases = Vec::new();
        for node in self.candidates() {
            let node = &self.automaton.nodes[node as usize];
            for (formula, plain) in [
                (node.of(Kind::Object), "an object"),
                (node.of(Kind::Array), "an array"),
            ] {
                if formula.expr != Expr::Always(false) {
                    phrases.push(plain.to_owned());
                }
            }
            phrases.extend(self.texts_wanted(node.of(Kind::String)));
            phrases.extend(self.numbers_wanted(node.of(Kind::Number)));
            let [on, off, null] = [Kind::True, Kind::False, Kind::Null]
                .map(|kind| node.of(kind).expr != Expr::Always(false));
            match (on, off) {
                (true, true) => phrases.push("true or false".into()),
                (true, false) => phrases.push("true".into()),
                (false, true) => phrases.push("false".into()),
                (false, false) => {}
            }
            if null {
                phrases.push("null".into());
            }
        }
        let expected = if phrases.is_empty() {
            "a value".to_owned()
        } else {
            join(phrases, " or ")
        };
        format!("expected {expected}, found {}", found(byte))
    }

    /// The nodes the value that was about to begin had to fit.
    fn candidates(&self) -> Vec<NodeId> {
        let Some(frame) = self.frames.last() else {
            return vec![self.automaton.root];
        };
        let mut nodes: Vec<NodeId> = self.atoms[frame.atoms as usize..]
            .iter()
            .filter(|state| state.died == 0 || state.died == self.now())
            .filter_map(|state| match frame.kind {
                Kind::Array => self.automaton.arrays[state.atom as usize].item(frame.count),
                _ => Some(state.child),
            })
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    fn texts_wanted(&self, formula: &Formula) -> Option<String> {
        if formula.expr == Expr::Always(false) {
            return None;
        }
        let sets: Option<Vec<_>> = formula
            .atoms
            .iter()
            .map(|&atom| self.automaton.strings[atom as usize].literals.as_ref())
            .collect();
        Some(match sets {
            Some(sets) if !sets.is_empty() => one_of(
                sets.iter()
                    .flat_map(|set| (0..set.0.len()).map(|at| set.text(at))),
            ),
            _ => "a string".into(),
        })
    }

    fn numbers_wanted(&self, formula: &Formula) -> Option<String> {
        match (&formula.expr, &*formula.atoms) {
            (Expr::Always(false), _) => None,
            (_, [atom]) => Some(self.automaton.numbers[*atom as usize].wanted.clone()),
            _ => Some("a number".into()),
        }
    }

    /// The atoms of the current value that died at this byte.
    fn culprits(&self) -> impl Iterator<Item = &AtomState> {
        let now = self.now();
        self.atoms[self.top_atoms()..]
            .iter()
            .filter(move |state| state.died == now)
    }

    fn wrong_number(&self) -> String {
        let wanted: Vec<String> = self
            .culprits()
            .map(|state| self.automaton.numbers[state.atom as usize].wanted.clone())
            .collect();
        if wanted.is_empty() {
            return ambiguous();
        }
        let number = String::from_utf8_lossy(&self.scratch);
        format!("expected {}, found {number}", join(wanted, " or "))
    }

    fn wrong_text(&self, byte: Option<u8>) -> String {
        let closing = byte == Some(b'"') && self.lex == Lex::Text(super::text::Text::Plain);
        let continuation = byte.is_some_and(|byte| (0x80..0xc0).contains(&byte));
        let mut texts = Vec::new();
        let mut phrases = Vec::new();
        for state in self.culprits() {
            let atom = &self.automaton.strings[state.atom as usize];
            let pattern_fits = || {
                atom.pattern
                    .as_ref()
                    .is_none_or(|dfa| closing && dfa.accepts(state.dfa[0]))
            };
            if let Some(set) = &atom.literals {
                texts.extend((0..set.0.len()).map(|at| set.text(at)));
            } else if closing && self.chars < atom.min {
                phrases.push(format!("a string of at least {} characters", atom.min));
            } else if let Some(max) = atom.max
                && !closing
                && !continuation
                && self.chars >= max
            {
                phrases.push(format!("a string of at most {max} characters"));
            } else if let Some(format) = atom.format
                && pattern_fits()
            {
                phrases.push(format!("a string in the format {}", format.name));
            } else if let Some(dfa) = &atom.pattern {
                phrases.push(format!(
                    "a string that matches the pattern {}",
                    quote(&dfa.pattern)
                ));
            }
        }
        if !texts.is_empty() {
            phrases.push(one_of(texts.into_iter()));
        }
        if phrases.is_empty() {
            return ambiguous();
        }
        format!("expected {}", join(phrases, " or "))
    }

    fn key(&self) -> String {
        let from = self.frames.last().map_or(0, |frame| frame.key as usize);
        String::from_utf8_lossy(&self.keys[from..]).into_owned()
    }

    fn wrong_key(&self, byte: Option<u8>) -> String {
        let whole = self.lex == Lex::Colon;
        let mut key = self.key();
        for state in self.culprits().filter(|_| !whole) {
            let names = &self.automaton.objects[state.atom as usize].names;
            let range = byte.map_or((0, 0), |byte| names.narrow(state.range, self.depth, byte));
            if range.1 == range.0 + 1 {
                let name = names.text(range.0 as usize);
                return format!("property '{name}' is given twice{}", self.allowed());
            }
        }
        if !whole {
            key.push_str("...");
        }
        format!("property '{key}' is not allowed here{}", self.allowed())
    }

    /// "; allowed: ..." with the names that could still come.
    fn allowed(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for state in self.culprits() {
            let atom = &self.automaton.objects[state.atom as usize];
            for &index in &atom.declared {
                let name = atom.names.text(index as usize);
                if self.has_unseen(state, (index, index + 1)) && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.is_empty() {
            String::new()
        } else {
            format!("; allowed: {}", list(names.into_iter()))
        }
    }

    fn no_more_keys(&self) -> String {
        let count = self.frames.last().map_or(0, |frame| frame.count);
        let limited = self.culprits().any(|state| {
            let atom = &self.automaton.objects[state.atom as usize];
            atom.max.is_some_and(|max| u64::from(count) >= max)
        });
        if limited {
            format!("no more than {count} properties are allowed here")
        } else if count == 0 {
            "this object may have no properties: expected '}'".into()
        } else {
            "all allowed properties are given: expected '}'".into()
        }
    }

    fn missing(&self) -> String {
        let fewest = self
            .culprits()
            .map(|state| {
                let atom = &self.automaton.objects[state.atom as usize];
                (self.missing_of(state, atom), atom.min)
            })
            .min_by_key(|(names, _)| names.len());
        match fewest {
            None => ambiguous(),
            Some((names, min)) if names.is_empty() => {
                format!("at least {min} properties are needed here")
            }
            Some((names, _)) if names.len() == 1 => {
                format!("required property '{}' is missing", names[0])
            }
            Some((names, _)) => {
                format!(
                    "required properties are missing: {}",
                    list(names.into_iter())
                )
            }
        }
    }

    fn missing_of<'a>(&self, state: &AtomState, atom: &'a ObjectAtom) -> Vec<&'a str> {
        atom.declared
            .iter()
            .filter(|&&index| {
                atom.required[index as usize / 64] >> (index % 64) & 1 == 1
                    && self.has_unseen(state, (index, index + 1))
            })
            .map(|&index| atom.names.text(index as usize))
            .collect()
    }

    fn too_many_items(&self) -> String {
        let most = self
            .culprits()
            .map(|state| {
                let atom = &self.automaton.arrays[state.atom as usize];
                atom.max.unwrap_or(u64::MAX).min(match atom.rest {
                    None => atom.prefix.len() as u64,
                    Some(_) => u64::MAX,
                })
            })
            .max();
        match most {
            Some(0) => "no items are allowed here: expected ']'".into(),
            Some(1) => "at most 1 item is allowed here: expected ']'".into(),
            Some(most) => format!("at most {most} items are allowed here: expected ']'"),
            None => ambiguous(),
        }
    }

    fn too_few_items(&self) -> String {
        let count = self.frames.last().map_or(0, |frame| frame.count);
        match self
            .culprits()
            .map(|state| self.automaton.arrays[state.atom as usize].min)
            .min()
        {
            Some(1) => "at least 1 item is needed here, found none".into(),
            Some(least) => format!("at least {least} items are needed here, found {count}"),
            None => ambiguous(),
        }
    }

    fn ended(&self) -> String {
        let place = match (self.lex, self.top_kind()) {
            (Lex::Text(_), Some(Kind::String)) => "inside a string",
            (Lex::Text(_), _) => "inside a property name",
            (Lex::Number(_), _) => "inside a number",
            (Lex::Word(_), _) => "inside a word",
            (_, Some(Kind::Array)) => "before the array is closed",
            (_, Some(_)) => "before the object is closed",
            (_, None) => "before any value",
        };
        format!("the text ends {place}")
    }
}
