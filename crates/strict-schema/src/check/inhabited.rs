//! Does a finite document satisfy a recursive schema?
//!
//! Requiring every property can turn an optional recursion into an endless one:
//! a tree node whose `child` is a tree node. A model that is held to such a
//! schema never finishes. The answer is the least fixpoint over the definitions:
//! begin with "none has a finite document" and let each one show that it has.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::reference::Target;
use crate::types::TypeSet;

/// Looks at nodes before the answer is assumed to be yes. Enough for every real
/// schema; a constructed one is not worth more.
const BUDGET: usize = 200_000;

/// The JSON pointer of a part that no finite document satisfies, when the whole
/// schema has none. For schemas whose references and shape were found good.
pub(super) fn endless(schema: &Value) -> Option<String> {
    let root = schema.as_object()?;
    let mut open: Vec<(&str, &str, &Value)> = vec![("", "", schema)];
    for keyword in ["$defs", "definitions"] {
        let definitions = root.get(keyword).and_then(Value::as_object);
        // Definitions usually come before what they use: the last ones first.
        open.extend(
            definitions
                .into_iter()
                .flatten()
                .map(|(n, v)| (keyword, n.as_str(), v)),
        );
    }
    let mut search = Search {
        finite: HashSet::new(),
        budget: BUDGET,
    };
    loop {
        let before = open.len();
        let mut index = open.len();
        while index > 0 {
            index -= 1;
            let (keyword, name, node) = open[index];
            if search.finite(node, 0) {
                if keyword.is_empty() {
                    return None;
                }
                search.finite.insert((keyword, name));
                open.swap_remove(index);
            }
            if search.budget == 0 {
                return None;
            }
        }
        if open.len() == before {
            break;
        }
    }
    let culprit = open
        .iter()
        .find(|(keyword, ..)| !keyword.is_empty())
        .unwrap_or(&open[0]);
    Some(match culprit {
        ("", ..) => String::new(),
        (keyword, name, _) => crate::path::join(&format!("/{keyword}"), name),
    })
}

struct Search<'a> {
    /// Definitions that a finite document satisfies.
    finite: HashSet<(&'a str, &'a str)>,
    budget: usize,
}

impl Search<'_> {
    fn finite(&mut self, node: &Value, depth: usize) -> bool {
        self.budget = self.budget.saturating_sub(1);
        let Some(map) = node.as_object() else {
            return true;
        };
        if self.budget == 0 || depth > 400 {
            return true;
        }
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            return match Target::of(reference) {
                Target::Root => false,
                Target::Definition { keyword, name } => {
                    self.finite.contains(&(keyword, name.as_ref()))
                }
                Target::Elsewhere(_) | Target::Foreign => true,
            };
        }
        if let Some(branches) = map.get("anyOf").and_then(Value::as_array)
            && !branches.iter().any(|branch| self.finite(branch, depth + 1))
        {
            return false;
        }
        match map.get("type").and_then(TypeSet::read) {
            Some(TypeSet::OBJECT) => self.object(map, depth),
            Some(TypeSet::ARRAY) => {
                let least = map.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                least == 0
                    || map
                        .get("items")
                        .is_none_or(|items| self.finite(items, depth + 1))
            }
            _ => true,
        }
    }

    fn object(&mut self, map: &Map<String, Value>, depth: usize) -> bool {
        let Some(properties) = map.get("properties").and_then(Value::as_object) else {
            return true;
        };
        let required = map.get("required").and_then(Value::as_array);
        // In a strict schema every property is required; nothing else gets here.
        required.is_none_or(Vec::is_empty)
            || properties
                .values()
                .all(|property| self.finite(property, depth + 1))
    }
}
