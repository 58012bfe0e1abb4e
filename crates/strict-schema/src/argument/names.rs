//! Names of members: which are allowed, and that none comes twice.

use super::{
    ArgumentChecker, MAX_KEY_BYTES, MAX_TRACKED_KEYS,
    checker::{Cause, Lex},
    text::Text,
};

/// FNV-1a, 128 bits: two different names of one document do not meet by chance.
const HASH_START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const HASH_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl ArgumentChecker {
    pub(crate) fn start_key(&mut self) -> Result<(), Cause> {
        let Some(frame) = self.frames.last() else {
            return Err(Cause::Syntax("a value"));
        };
        let count = frame.count;
        self.keys.truncate(frame.key as usize);
        self.depth = 0;
        self.hash = HASH_START;
        self.lex = Lex::Text(Text::Plain);
        for at in self.top_atoms()..self.atoms.len() {
            let names = self.automaton.objects[self.atoms[at].atom as usize]
                .names
                .len();
            self.atoms[at].range = (0, names);
        }
        self.kill_where(Cause::NoMoreKeys, |checker, state| {
            !checker.automaton.objects[state.atom as usize].takes_more(count)
        })
    }

    pub(crate) fn feed_key(&mut self, byte: u8) -> Result<(), Cause> {
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        if frame.open {
            self.hash = (self.hash ^ u128::from(byte)).wrapping_mul(HASH_PRIME);
        }
        let (from, key) = (frame.atoms as usize, frame.key as usize);
        let (now, depth) = (self.now(), self.depth);
        let mut lost = false;
        for at in from..self.atoms.len() {
            let state = &self.atoms[at];
            let atom = &self.automaton.objects[state.atom as usize];
            let range = atom.names.narrow(state.range, depth, byte);
            let dead = atom.extra.is_none() && !self.has_unseen(state, range);
            // The range before the byte is kept in the dead, for the message.
            if dead {
                self.atoms[at].died = now;
                lost = true;
            } else {
                self.atoms[at].range = range;
            }
        }
        if self.keys.len() - key < MAX_KEY_BYTES {
            self.keys.push(byte);
        }
        if lost {
            self.survive(Cause::Key)?;
        }
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn end_key(&mut self) -> Result<(), Cause> {
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        if frame.open {
            let tracked = &self.hashes[frame.hashes as usize..];
            if tracked.contains(&self.hash) {
                return Err(Cause::DuplicateKey);
            }
            if tracked.len() < MAX_TRACKED_KEYS {
                self.hashes.push(self.hash);
            }
        }
        let (now, depth) = (self.now(), self.depth);
        let (mut lost, mut seen_before) = (false, false);
        for at in frame.atoms as usize..self.atoms.len() {
            let state = &self.atoms[at];
            let atom = &self.automaton.objects[state.atom as usize];
            let child = match atom.names.ends_at(state.range, depth) {
                Some(index) => {
                    let word = &mut self.bits[state.bits as usize + index / 64];
                    let bit = 1 << (index % 64);
                    let seen = *word & bit != 0;
                    *word |= bit;
                    seen_before |= seen;
                    (!seen).then(|| atom.children[index])
                }
                None => atom.extra,
            };
            match child {
                Some(node) if !self.automaton.nodes[node as usize].is_never => {
                    self.atoms[at].child = node;
                }
                _ => {
                    self.atoms[at].died = now;
                    lost = true;
                }
            }
        }
        self.lex = Lex::Colon;
        match (lost, seen_before) {
            (false, _) => Ok(()),
            (true, false) => self.survive(Cause::Key),
            (true, true) => self.survive(Cause::DuplicateKey),
        }
    }
}
