//! Where the parts of a rewritten schema were in the original.
//!
//! A rewrite that moves something records it here, parents before children. A
//! finding in the rewritten schema is then carried back by the longest recorded
//! prefix of its pointer.

use std::collections::HashMap;

use crate::path;

/// Moved places: pointer in the rewritten schema to pointer in the original.
#[derive(Default, Debug)]
pub(crate) struct Moves(HashMap<String, String>);

impl Moves {
    /// Records that what is now at `new` was at `old`, both pointers into the
    /// rewritten schema as it is at this moment.
    pub(crate) fn add(&mut self, new: String, old: &str) {
        let original = self.original(old);
        self.set(new, original);
    }

    /// Records that what is now at `new` was at `original` in the original.
    pub(crate) fn set(&mut self, new: String, original: String) {
        self.0.insert(new, original);
    }

    /// Records that a key of the root was a key of the node at `old`.
    pub(crate) fn add_key(&mut self, key: &str, old: &str) {
        self.add(path::join("", key), &path::join(old, key));
    }

    /// The recorded place itself, without what lies below it.
    pub(crate) fn get(&self, pointer: &str) -> Option<&str> {
        self.0.get(pointer).map(String::as_str)
    }

    /// The place in the original of a place in the rewritten schema.
    pub(crate) fn original(&self, pointer: &str) -> String {
        if !self.0.is_empty() {
            let mut end = pointer.len();
            loop {
                if let Some(old) = self.0.get(&pointer[..end]) {
                    return format!("{old}{}", &pointer[end..]);
                }
                match pointer[..end].rfind('/') {
                    Some(slash) => end = slash,
                    None => break,
                }
            }
        }
        pointer.to_owned()
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
