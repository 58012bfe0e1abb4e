//! What a schema asks of a value: a formula over atoms, one for each kind of JSON value.
//!
//! An atom is one group of keywords about one kind (a string's lengths and pattern, an object's
//! properties, ...). JSON's syntax is deterministic, so alternatives need no backtracking: all
//! atoms of a value run side by side over the same bytes, each dies when its keywords are
//! violated, and the formula says whether the value can still be valid. Formulas hold no
//! negation, so a formula that is false for the living atoms stays false. `oneOf` is the one
//! exception: while bytes come it counts as `anyOf`, and only a finished value is counted.

/// The kind of a JSON value, known from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Null,
    Kind::True,
    Kind::False,
    Kind::Number,
    Kind::String,
    Kind::Array,
    Kind::Object,
];

/// Index of a node of the automaton: one schema.
pub(crate) type NodeId = u32;
/// Index of an atom among the atoms of its kind.
pub(crate) type AtomId = u32;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Always(bool),
    Atom(AtomId),
    /// The same kind's formula of another node; gone once the automaton is linked.
    Ref(NodeId),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    One(Vec<Expr>),
}

impl Expr {
    pub(crate) fn all(parts: Vec<Self>) -> Self {
        let mut kept: Vec<Self> = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Always(true) => {}
                Self::Always(false) => return part,
                Self::All(inner) => inner.into_iter().for_each(|part| push_new(&mut kept, part)),
                other => push_new(&mut kept, other),
            }
        }
        match kept.len() {
            0 => Self::Always(true),
            1 => kept.remove(0),
            _ => Self::All(kept),
        }
    }

    pub(crate) fn any(parts: Vec<Self>) -> Self {
        let mut kept: Vec<Self> = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Always(false) => {}
                Self::Always(true) => return part,
                Self::Any(inner) => inner.into_iter().for_each(|part| push_new(&mut kept, part)),
                other => push_new(&mut kept, other),
            }
        }
        match kept.len() {
            0 => Self::Always(false),
            1 => kept.remove(0),
            _ => Self::Any(kept),
        }
    }

    /// Exactly one. Equal parts are kept apart on purpose: two equal alternatives never hold.
    pub(crate) fn one(mut parts: Vec<Self>) -> Self {
        parts.retain(|part| *part != Self::Always(false));
        match parts.len() {
            0 => Self::Always(false),
            1 => parts.remove(0),
            _ if parts
                .iter()
                .filter(|part| **part == Self::Always(true))
                .count()
                > 1 =>
            {
                Self::Always(false)
            }
            _ => Self::One(parts),
        }
    }

    /// Whether the value can still become valid, given which atoms live.
    pub(crate) fn possible(&self, lives: &impl Fn(AtomId) -> bool) -> bool {
        match self {
            Self::Always(value) => *value,
            Self::Atom(atom) => lives(*atom),
            Self::Ref(_) => true,
            Self::All(parts) => parts.iter().all(|part| part.possible(lives)),
            Self::Any(parts) | Self::One(parts) => parts.iter().any(|part| part.possible(lives)),
        }
    }

    /// Whether the finished value is valid, given which atoms accepted it.
    pub(crate) fn holds(&self, accepted: &impl Fn(AtomId) -> bool) -> bool {
        match self {
            Self::Always(value) => *value,
            Self::Atom(atom) => accepted(*atom),
            Self::Ref(_) => true,
            Self::All(parts) => parts.iter().all(|part| part.holds(accepted)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(accepted)),
            Self::One(parts) => parts.iter().filter(|part| part.holds(accepted)).count() == 1,
        }
    }

    /// Rebuilds the formula bottom-up; `leaf` maps atoms and references.
    pub(crate) fn map(&self, leaf: &mut impl FnMut(&Self) -> Self) -> Self {
        let mut each = |parts: &[Self]| parts.iter().map(|part| part.map(leaf)).collect();
        match self {
            Self::All(parts) => Self::all(each(parts)),
            Self::Any(parts) => Self::any(each(parts)),
            Self::One(parts) => Self::one(each(parts)),
            Self::Always(_) => self.clone(),
            Self::Atom(_) | Self::Ref(_) => leaf(self),
        }
    }

    /// The atoms, ascending.
    pub(crate) fn atoms(&self) -> Vec<AtomId> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    fn collect(&self, found: &mut Vec<AtomId>) {
        match self {
            Self::Atom(atom) => found.push(*atom),
            Self::All(parts) | Self::Any(parts) | Self::One(parts) => {
                for part in parts {
                    part.collect(found);
                }
            }
            Self::Always(_) | Self::Ref(_) => {}
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::One(parts) => {
                1 + parts.iter().map(Self::size).sum::<usize>()
            }
            _ => 1,
        }
    }
}

fn push_new(parts: &mut Vec<Expr>, part: Expr) {
    // Linear, but formulas are bounded where they are built (`MAX_ALTERNATIVES`).
    if !parts.contains(&part) {
        parts.push(part);
    }
}

/// A linked formula with its atoms, ascending.
#[derive(Debug)]
pub(crate) struct Formula {
    pub(crate) expr: Expr,
    pub(crate) atoms: Box<[AtomId]>,
}

/// One schema, by kind of value.
#[derive(Debug)]
pub(crate) struct Node {
    /// No value at all is valid.
    pub(crate) is_never: bool,
    pub(crate) kinds: [Formula; 7],
}

impl Node {
    pub(crate) fn of(&self, kind: Kind) -> &Formula {
        &self.kinds[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_simplify_and_decide() {
        let atom = Expr::Atom;
        assert_eq!(Expr::all(vec![Expr::Always(true), atom(1)]), atom(1));
        assert_eq!(
            Expr::any(vec![atom(1), Expr::Always(true)]),
            Expr::Always(true)
        );
        assert_eq!(Expr::any(vec![atom(1), Expr::any(vec![atom(1)])]), atom(1));
        let one = Expr::one(vec![atom(1), atom(2)]);
        assert!(one.possible(&|_| true));
        assert!(!one.holds(&|_| true));
        assert!(one.holds(&|atom| atom == 2));
        assert_eq!(
            Expr::one(vec![Expr::Always(true), Expr::Always(true)]),
            Expr::Always(false)
        );
    }
}
