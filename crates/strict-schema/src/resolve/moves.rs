//! Where the parts of a rewritten schema were in the original.
//!
//! A rewrite that moves something records it here, parents before children. A
//! finding in the rewritten schema is then carried back by the longest recorded
//! prefix of its pointer.

use crate::path;

/// Moved places: pointer in the rewritten schema, pointer in the original.
#[derive(Default, Debug)]
pub(crate) struct Moves(Vec<(String, String)>);

impl Moves {
    /// Records that what is now at `new` was at `old`, both pointers of the
    /// rewritten schema as it is at this moment.
    pub(crate) fn add(&mut self, new: String, old: &str) {
        let original = self.original(old);
        self.add_original(new, original);
    }

    /// The same for an `old` that is a pointer into the original.
    pub(crate) fn add_original(&mut self, new: String, original: String) {
        self.0.push((new, original));
    }

    /// The place in the original of a place in the rewritten schema.
    pub(crate) fn original(&self, pointer: &str) -> String {
        let longest = self
            .0
            .iter()
            .rev()
            .filter(|(new, _)| {
                pointer
                    .strip_prefix(new.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            // Of equal ones the latest: `max_by_key` keeps the last of equals.
            .rev()
            .max_by_key(|(new, _)| new.len());
        match longest {
            None => pointer.to_owned(),
            Some((new, old)) => format!("{old}{}", &pointer[new.len()..]),
        }
    }

    /// Records the move of one key of the node at `pointer`.
    pub(crate) fn add_key(&mut self, pointer: &str, key: &str, old: &str) {
        self.add(path::join(pointer, key), old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_and_moves_compose() {
        let mut moves = Moves::default();
        moves.add("/$defs/A".into(), "/properties/a");
        moves.add("/$defs/A/anyOf/0".into(), "/$defs/A");
        assert_eq!(moves.original("/$defs/A/items"), "/properties/a/items");
        assert_eq!(
            moves.original("/$defs/A/anyOf/0/items"),
            "/properties/a/items"
        );
        assert_eq!(moves.original("/$defs/AB"), "/$defs/AB");
        assert_eq!(moves.original(""), "");
    }
}
