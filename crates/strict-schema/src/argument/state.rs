//! The values that are open at this byte, and the atoms that live in each.
//!
//! One stack of frames for the JSON syntax; beside it stacks of the atoms running in each frame
//! and of the schemas (`wants`) that the frame's value has to answer for. An atom of a container
//! names the node it wants for its current child; when the child's formula for that node turns
//! false, the atom dies, and so on up to the root. Easy to break: atoms of one frame stay sorted
//! by id, and the dead are only removed from the top frame, after the byte has been taken;
//! messages are made from those that died at the failing byte.

use super::{
    ArgumentChecker, MAX_DEPTH,
    atoms::{Literals, Minus, any_clear},
    checker::{Cause, Lex},
    compile::ANY,
    formula::{AtomId, Expr, Kind, NodeId},
};

#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// The value can be valid although every atom here is dead.
    pub(crate) free: bool,
    /// Undeclared names are possible, so duplicates must be looked for among hashes.
    pub(crate) open: bool,
    pub(crate) wants: u32,
    pub(crate) atoms: u32,
    pub(crate) bits: u32,
    pub(crate) hashes: u32,
    /// Where the current name starts in `keys`.
    pub(crate) key: u32,
    /// Finished members or items.
    pub(crate) count: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) node: NodeId,
    pub(crate) dead: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct AtomState {
    pub(crate) atom: AtomId,
    /// 0 while alive, else a mark of the byte it died at.
    pub(crate) died: u32,
    /// What the current child must be, for arrays and objects.
    pub(crate) child: NodeId,
    /// Literals that still fit: of an enum, or of the names of properties.
    pub(crate) range: (u32, u32),
    /// Where the seen-bits of an object start.
    pub(crate) bits: u32,
    /// States of the pattern and of the format's filter.
    pub(crate) dfa: [u16; 2],
}

impl ArgumentChecker {
    /// A mark for this byte that is never 0.
    pub(crate) fn now(&self) -> u32 {
        (self.offset as u32) | 0x8000_0000
    }

    pub(crate) fn top_kind(&self) -> Option<Kind> {
        self.frames.last().map(|frame| frame.kind)
    }

    pub(crate) fn top_atoms(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.atoms as usize)
    }

    pub(crate) fn atoms_of(&self, frame: usize) -> std::ops::Range<usize> {
        let from = self.frames[frame].atoms as usize;
        let to = self
            .frames
            .get(frame + 1)
            .map_or(self.atoms.len(), |next| next.atoms as usize);
        from..to
    }

    /// Enters a value whose first byte says `kind`.
    pub(crate) fn open(&mut self, kind: Kind, first: u8) -> Result<(), Cause> {
        self.choose_item()?;
        if matches!(kind, Kind::Array | Kind::Object) && self.frames.len() >= MAX_DEPTH {
            return Err(Cause::Depth);
        }
        let wants = self.wants.len();
        let mut free = self.collect_wants();
        let mut lost = false;
        let mut at = wants;
        while at < self.wants.len() {
            let node = self.wants[at].node;
            match self.automaton.nodes[node as usize].of(kind).expr {
                Expr::Always(false) => {
                    self.wants.swap_remove(at);
                    lost |= self.kill_askers(self.frames.len(), node);
                    if self.frames.is_empty() {
                        return Err(Cause::Kind);
                    }
                }
                Expr::Always(true) => {
                    // Nothing left to ask; only the kind mattered.
                    self.wants.swap_remove(at);
                    free = true;
                }
                _ => at += 1,
            }
        }
        if lost && !self.settle(self.frames.len() - 1, wants) {
            return Err(Cause::Kind);
        }
        self.push_frame(kind, wants, free);
        match kind {
            Kind::Number => self.start_number(first),
            _ => Ok(()),
        }
    }

    /// In an array: which schema each atom wants for the item that begins.
    fn choose_item(&mut self) -> Result<(), Cause> {
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        if frame.kind != Kind::Array {
            return Ok(());
        }
        let (from, count, now) = (frame.atoms as usize, frame.count, self.now());
        let mut lost = false;
        for state in self.atoms[from..]
            .iter_mut()
            .filter(|state| state.died == 0)
        {
            if let Some(node) = self.automaton.arrays[state.atom as usize].item(count) {
                state.child = node;
            } else {
                state.died = now;
                lost = true;
            }
        }
        if lost && !self.settle(self.frames.len() - 1, self.wants.len()) {
            return Err(Cause::TooManyItems);
        }
        Ok(())
    }

    /// Pushes the distinct nodes the next value has to answer for; true if it may be anything.
    fn collect_wants(&mut self) -> bool {
        let start = self.wants.len();
        let Some(parent) = self.frames.last() else {
            if self.automaton.root != ANY {
                self.wants.push(Want {
                    node: self.automaton.root,
                    dead: false,
                });
            }
            return self.automaton.root == ANY;
        };
        let mut free = parent.free;
        for state in &self.atoms[parent.atoms as usize..] {
            if state.died != 0 {
                continue;
            }
            if state.child == ANY {
                free = true;
            } else if !self.wants[start..]
                .iter()
                .any(|want| want.node == state.child)
            {
                self.wants.push(Want {
                    node: state.child,
                    dead: false,
                });
            }
        }
        free
    }

    fn push_frame(&mut self, kind: Kind, wants: usize, free: bool) {
        let automaton = &*self.automaton;
        let atoms = self.atoms.len();
        let bits = self.bits.len();
        let mut open = free;
        for at in wants..self.wants.len() {
            let formula = automaton.nodes[self.wants[at].node as usize].of(kind);
            for &atom in &formula.atoms {
                // One want has each atom once.
                if at > wants && self.atoms[atoms..].iter().any(|state| state.atom == atom) {
                    continue;
                }
                let mut state = AtomState {
                    atom,
                    died: 0,
                    child: ANY,
                    range: (0, 0),
                    bits: 0,
                    dfa: [0, 0],
                };
                match kind {
                    Kind::String => {
                        let atom = &automaton.strings[atom as usize];
                        state.range.1 = atom.literals.as_ref().map_or(0, Literals::len);
                        state.dfa = [
                            atom.pattern.as_ref().map_or(0, |dfa| dfa.start),
                            atom.format.map_or(0, |format| format.filter.start),
                        ];
                        self.keep_text |= atom.format.is_some();
                    }
                    Kind::Object => {
                        let atom = &automaton.objects[atom as usize];
                        open |= atom.extra.is_some();
                        state.bits = self.bits.len() as u32;
                        self.bits.resize(self.bits.len() + atom.words(), 0);
                    }
                    _ => {}
                }
                self.atoms.push(state);
            }
        }
        if self.wants.len() > wants + 1 {
            self.atoms[atoms..].sort_unstable_by_key(|state| state.atom);
        }
        self.frames.push(Frame {
            kind,
            free,
            open,
            wants: wants as u32,
            atoms: atoms as u32,
            bits: bits as u32,
            hashes: self.hashes.len() as u32,
            key: self.keys.len() as u32,
            count: 0,
        });
    }

    fn start_number(&mut self, first: u8) -> Result<(), Cause> {
        let negative = first == b'-';
        self.kill_where(Cause::Number, |checker, state| {
            let minus = checker.automaton.numbers[state.atom as usize].minus;
            minus == if negative { Minus::Never } else { Minus::Must }
        })
    }

    /// Kills the atoms of the top frame that `condition` names; an error if that ends all hope.
    #[inline]
    pub(crate) fn kill_where(
        &mut self,
        cause: Cause,
        condition: impl Fn(&Self, &AtomState) -> bool,
    ) -> Result<(), Cause> {
        let now = self.now();
        let mut lost = false;
        for at in self.top_atoms()..self.atoms.len() {
            if self.atoms[at].died == 0 && condition(self, &self.atoms[at]) {
                self.atoms[at].died = now;
                lost = true;
            }
        }
        if lost { self.survive(cause) } else { Ok(()) }
    }

    /// After deaths in the top frame.
    #[cold]
    pub(crate) fn survive(&mut self, cause: Cause) -> Result<(), Cause> {
        if self.settle(self.frames.len() - 1, self.wants.len()) {
            self.bury();
            Ok(())
        } else {
            Err(cause)
        }
    }

    /// Removes the dead from the top frame.
    fn bury(&mut self) {
        let from = self.top_atoms();
        let mut kept = from;
        for at in from..self.atoms.len() {
            if self.atoms[at].died == 0 {
                self.atoms.swap(kept, at);
                kept += 1;
            }
        }
        self.atoms.truncate(kept);
    }

    /// Kills the atoms of the frame under `frame` that want `node` for their child.
    fn kill_askers(&mut self, frame: usize, node: NodeId) -> bool {
        if frame == 0 {
            return false;
        }
        let now = self.now();
        let mut lost = false;
        let range = self.atoms_of(frame - 1);
        for state in &mut self.atoms[range] {
            if state.died == 0 && state.child == node {
                state.died = now;
                lost = true;
            }
        }
        lost
    }

    /// Carries deaths in `frame`, whose wants end at `end`, upwards; false if the root can no
    /// longer be valid.
    fn settle(&mut self, mut frame: usize, mut end: usize) -> bool {
        loop {
            let kind = self.frames[frame].kind;
            let from = self.frames[frame].wants as usize;
            let mut lost = false;
            for at in from..end {
                if self.wants[at].dead {
                    continue;
                }
                let node = self.wants[at].node;
                let states = &self.atoms[self.atoms_of(frame)];
                let lives = |atom| lives(states, atom);
                if !self.automaton.nodes[node as usize]
                    .of(kind)
                    .expr
                    .possible(&lives)
                {
                    self.wants[at].dead = true;
                    if frame == 0 {
                        return false;
                    }
                    lost |= self.kill_askers(frame, node);
                }
            }
            if !lost {
                return true;
            }
            frame -= 1;
            end = from;
        }
    }

    /// Leaves the value of the top frame, whose last byte has been taken.
    pub(crate) fn close(&mut self, cause: Cause) -> Result<(), Cause> {
        let top = self.frames.len() - 1;
        let (kind, wants) = (self.frames[top].kind, self.frames[top].wants as usize);
        let mut lost = false;
        for at in wants..self.wants.len() {
            if self.wants[at].dead {
                continue;
            }
            let node = self.wants[at].node;
            let states = &self.atoms[self.atoms_of(top)];
            let lives = |atom| lives(states, atom);
            if !self.automaton.nodes[node as usize]
                .of(kind)
                .expr
                .holds(&lives)
            {
                if top == 0 {
                    return Err(cause);
                }
                lost |= self.kill_askers(top, node);
            }
        }
        if lost && !self.settle(top - 1, wants) {
            return Err(cause);
        }
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        self.atoms.truncate(frame.atoms as usize);
        self.wants.truncate(frame.wants as usize);
        self.bits.truncate(frame.bits as usize);
        self.hashes.truncate(frame.hashes as usize);
        self.keys.truncate(frame.key as usize);
        self.leave();
        Ok(())
    }

    /// A value inside the top frame has ended.
    pub(crate) fn leave(&mut self) {
        match self.frames.last_mut() {
            Some(parent) => {
                parent.count += 1;
                self.lex = Lex::After;
                self.bury();
            }
            None => self.lex = Lex::Done,
        }
    }

    /// Whether the object atom still takes a member whose name is in `range`.
    pub(crate) fn has_unseen(&self, state: &AtomState, range: (u32, u32)) -> bool {
        any_clear(&self.bits[state.bits as usize..], range.0, range.1)
    }
}

fn lives(states: &[AtomState], atom: AtomId) -> bool {
    states
        .binary_search_by_key(&atom, |state| state.atom)
        .is_ok_and(|at| states[at].died == 0)
}
