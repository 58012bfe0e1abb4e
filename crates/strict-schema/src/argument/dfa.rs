//! `pattern` as a table: one lookup per byte, and death known at the first impossible byte.
//!
//! The regular expression is read in the ECMA 262 sense that JSON Schema asks for and searched
//! unanchored. The table is rebuilt from regex-automata's DFA because that one only reports a
//! match one byte late and keeps running where nothing can match any more: here state 0 means
//! "no string with this prefix matches" and state 1 means "every string with this prefix does".

use std::collections::HashMap;

use regex_automata::{
    Anchored, Input, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start::Config as StartConfig},
};

/// Bytes that building one DFA may take, and that its tables may take.
const DFA_SIZE_LIMIT: usize = 1 << 20;
const DETERMINIZE_SIZE_LIMIT: usize = 2 << 20;
const NFA_SIZE_LIMIT: usize = 1 << 20;
const MAX_STATES: usize = 1 << 15;

pub(crate) const DEAD: u16 = 0;
pub(crate) const ALWAYS: u16 = 1;

/// A search for one regular expression, byte by byte.
#[derive(Debug)]
pub(crate) struct Dfa {
    classes: [u8; 256],
    stride: usize,
    table: Vec<u16>,
    accepts_at_end: Vec<bool>,
    /// Whether any byte at all may follow; without this, an escape could begin in vain.
    goes_on: Vec<bool>,
    pub(crate) start: u16,
    pub(crate) pattern: String,
    /// What building it took: states of the expression times states of the table, about.
    pub(crate) work: usize,
}

impl Dfa {
    /// `None` where the pattern is not linear-time, or too large.
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        let translated = jsonschema_regex::to_rust_regex(pattern).ok()?;
        Self::from_rust(&translated, pattern)
    }

    pub(crate) fn from_rust(translated: &str, pattern: &str) -> Option<Self> {
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .nfa_size_limit(Some(NFA_SIZE_LIMIT))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build(translated)
            .ok()?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Unanchored)
                    .dfa_size_limit(Some(DFA_SIZE_LIMIT))
                    .determinize_size_limit(Some(DETERMINIZE_SIZE_LIMIT)),
            )
            .build_from_nfa(&nfa)
            .ok()?;
        let mut table = Self::extract(&dfa, pattern)?;
        table.work = nfa.states().len() * table.accepts_at_end.len();
        Some(table)
    }

    fn extract(dfa: &dense::DFA<Vec<u32>>, pattern: &str) -> Option<Self> {
        let mut classes = [0_u8; 256];
        for byte in 0..=255_u8 {
            classes[usize::from(byte)] = dfa.byte_classes().get(byte);
        }
        let stride = usize::from(*classes.iter().max()?) + 1;
        let mut representative = vec![0_u8; stride];
        for byte in 0..=255_u8 {
            representative[usize::from(classes[usize::from(byte)])] = byte;
        }
        let config = StartConfig::from_input_forward(&Input::new("").anchored(Anchored::No));
        let start = dfa.start_state(&config).ok()?;

        let mut ids: HashMap<StateID, u16> = HashMap::new();
        let mut states = vec![start];
        ids.insert(start, 2);
        let mut table = vec![DEAD; stride];
        table.resize(2 * stride, ALWAYS);
        let mut accepts_at_end = vec![false, true];
        let mut at = 0;
        while at < states.len() {
            let state = states[at];
            at += 1;
            accepts_at_end.push(dfa.is_match_state(dfa.next_eoi_state(state)));
            for &byte in &representative {
                let next = dfa.next_state(state, byte);
                let id = if dfa.is_match_state(next) {
                    ALWAYS
                } else if dfa.is_dead_state(next) {
                    DEAD
                } else if dfa.is_quit_state(next) {
                    return None;
                } else if let Some(&id) = ids.get(&next) {
                    id
                } else {
                    if states.len() + 2 >= MAX_STATES {
                        return None;
                    }
                    let id = (states.len() + 2) as u16;
                    ids.insert(next, id);
                    states.push(next);
                    id
                };
                table.push(id);
            }
        }
        let mut built = Self {
            classes,
            stride,
            table,
            goes_on: Vec::new(),
            accepts_at_end,
            start: 2,
            pattern: pattern.to_owned(),
            work: 0,
        };
        built.prune();
        Some(built)
    }

    /// Sends every transition from which no match can be reached to the dead state.
    fn prune(&mut self) {
        let count = self.accepts_at_end.len();
        let mut sources: Vec<Vec<u16>> = vec![Vec::new(); count];
        for (at, &to) in self.table.iter().enumerate() {
            let from = (at / self.stride) as u16;
            if sources[usize::from(to)].last() != Some(&from) {
                sources[usize::from(to)].push(from);
            }
        }
        let mut live = self.accepts_at_end.clone();
        let mut work: Vec<u16> = (0..count)
            .filter(|&state| live[state])
            .map(|state| state as u16)
            .collect();
        while let Some(state) = work.pop() {
            for &from in &sources[usize::from(state)] {
                if !live[usize::from(from)] {
                    live[usize::from(from)] = true;
                    work.push(from);
                }
            }
        }
        for to in &mut self.table {
            if !live[usize::from(*to)] {
                *to = DEAD;
            }
        }
        if !live[usize::from(self.start)] {
            self.start = DEAD;
        }
        self.goes_on = self
            .table
            .chunks(self.stride)
            .map(|row| row.iter().any(|&to| to != DEAD))
            .collect();
    }

    #[inline]
    pub(crate) fn next(&self, state: u16, byte: u8) -> u16 {
        let class = usize::from(self.classes[usize::from(byte)]);
        self.table[usize::from(state) * self.stride + class]
    }

    pub(crate) fn accepts(&self, state: u16) -> bool {
        self.accepts_at_end[usize::from(state)]
    }

    pub(crate) fn goes_on(&self, state: u16) -> bool {
        self.goes_on[usize::from(state)]
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let end = text
            .bytes()
            .fold(self.start, |state, byte| self.next(state, byte));
        self.accepts(end)
    }

    /// Bytes of the tables.
    pub(crate) fn size(&self) -> usize {
        self.table.len() * 2 + self.accepts_at_end.len() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offset of the first byte that no matching string can have there; `None` if none.
    fn dies_at(pattern: &str, text: &str) -> Option<usize> {
        let dfa = Dfa::new(pattern).expect("a supported pattern");
        let mut state = dfa.start;
        for (at, byte) in text.bytes().enumerate() {
            state = dfa.next(state, byte);
            if state == DEAD {
                return Some(at);
            }
        }
        None
    }

    #[test]
    fn anchored_patterns_die_at_the_first_impossible_byte() {
        assert_eq!(dies_at("^abc", "abd"), Some(2));
        assert_eq!(dies_at("^abc", "abcd"), None);
        assert_eq!(dies_at("^abc$", "abcd"), Some(3));
        assert_eq!(dies_at("abc$", "xxabcd"), None);
        assert_eq!(dies_at("^[a-z]{2,3}$", "abcd"), Some(3));
        assert_eq!(dies_at("^(a|b)|^c", "d"), Some(0));
    }

    #[test]
    fn search_is_unanchored_and_classes_are_ecma() {
        let matches = |pattern: &str, text: &str| Dfa::new(pattern).expect("ok").matches(text);
        assert!(matches("b", "abc"));
        assert!(!matches("^b", "abc"));
        assert!(matches("", ""));
        assert!(matches(r"^\d+$", "123"));
        assert!(!matches(r"^\d+$", "١٢"), "ECMA's \\d is ASCII");
        assert!(matches("^.$", "é"));
        assert!(!matches("^a$", "a\n"));
        assert!(matches("^é+$", "éé"));
        assert!(matches("^.{0,500}$", &"é".repeat(500)));
    }

    #[test]
    fn lookaround_backreferences_and_giants_are_refused() {
        assert!(Dfa::new("(?=a)b").is_none());
        assert!(Dfa::new(r"(a)\1").is_none());
        assert!(Dfa::new(r"(?:a|b){200000}").is_none());
        assert!(Dfa::new("[ab]*a[ab]{40}").is_none());
        assert!(Dfa::new("(").is_none());
    }
}
