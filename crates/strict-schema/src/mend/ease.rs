//! What goes when a part of a schema says less than before: references to nothing, and keywords
//! that become stricter when what stands below them becomes looser.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::keyword::{Keyword, Shape};
use crate::reference::{MAX_CHAIN, Target};

/// Taking a reference away can take the target of another one away (a schema below `not`): looks
/// at the whole schema, before every keyword that turns around goes.
const MAX_LOOKS: usize = 8;

/// Keywords that refer to a schema.
pub(super) const REFERENCES: [Keyword; 2] = [Keyword::Ref, Keyword::DynamicRef];

/// Takes away each reference that leads nowhere, to another document, or round in a circle: it
/// allows anything. `is_looser`: the schema says less than its original already.
pub(super) fn drop_lost_references(schema: &mut Value, mut is_looser: bool) {
    for look in 0.. {
        let lost = lost_references(schema);
        if lost.is_empty() && !is_looser {
            return;
        }
        let mut ease = Ease {
            lost: &lost,
            around: if look < MAX_LOOKS {
                Around::References
            } else {
                Around::All
            },
        };
        ease.node(schema);
        // Only what went just now can have been the target of a reference that is still there.
        is_looser = false;
        if matches!(ease.around, Around::All) {
            let lost = lost_references(schema);
            let mut ease = Ease {
                lost: &lost,
                around: Around::All,
            };
            ease.node(schema);
            return;
        }
    }
}

/// Removes what became stricter, now that what stands below `keyword` says less.
pub(super) fn settle(map: &mut Map<String, Value>, keyword: Keyword) {
    let dropped: &[&str] = match keyword {
        Keyword::Not => &["not"],
        Keyword::If => &["if", "then", "else"],
        Keyword::Contains => &["maxContains"],
        // Two branches may hold now, where one did.
        Keyword::OneOf => {
            if let Some(at) = map.keys().position(|key| key == "oneOf")
                && let Some(branches) = map.shift_remove("oneOf")
                && !map.contains_key("anyOf")
            {
                map.shift_insert(at, "anyOf".to_owned(), branches);
            }
            &[]
        }
        _ => &[],
    };
    for key in dropped {
        map.shift_remove(*key);
    }
    // They count what the others have looked at.
    map.shift_remove("unevaluatedProperties");
    map.shift_remove("unevaluatedItems");
}

/// Keywords that [`settle`] has something to do for.
fn turns_around(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Not | Keyword::If | Keyword::Contains | Keyword::OneOf
    )
}

struct Ease<'l> {
    lost: &'l HashSet<String>,
    around: Around,
}

/// What a keyword is settled for, beside what it lost itself.
#[derive(Clone, Copy)]
enum Around {
    /// References below it: something that says less now may stand behind them.
    References,
    All,
}

/// What is known of a schema after the walk.
#[derive(Clone, Copy, Default)]
struct Seen {
    is_looser: bool,
    has_reference: bool,
}

impl Seen {
    fn or(self, other: Self) -> Self {
        Self {
            is_looser: self.is_looser | other.is_looser,
            has_reference: self.has_reference | other.has_reference,
        }
    }
}

impl Ease<'_> {
    fn node(&mut self, schema: &mut Value) -> Seen {
        let Value::Object(map) = schema else {
            return Seen::default();
        };
        let mut seen = Seen::default();
        for keyword in REFERENCES {
            if let Some(Value::String(reference)) = map.get(keyword.name()) {
                if self.lost.contains(reference) {
                    map.shift_remove(keyword.name());
                    seen.is_looser = true;
                } else {
                    seen.has_reference = true;
                }
            }
        }
        let keys: Vec<String> = map.keys().cloned().collect();
        for key in keys {
            let (Some(keyword), Some(value)) = (Keyword::of(&key), map.get_mut(&key)) else {
                continue;
            };
            let below = match (keyword.shape(), value) {
                (Shape::Map, Value::Object(named)) => self.all(named.values_mut()),
                (Shape::List, Value::Array(branches)) => self.all(branches.iter_mut()),
                (Shape::Schema | Shape::SchemaOrList, schema) => self.node(schema),
                _ => Seen::default(),
            };
            seen = seen.or(below);
            if turns_around(keyword) && self.unsettles(below) {
                settle(map, keyword);
                seen.is_looser = true;
            }
        }
        if self.unsettles(seen) {
            map.shift_remove("unevaluatedProperties");
            map.shift_remove("unevaluatedItems");
        }
        seen
    }

    fn all<'v>(&mut self, schemas: impl Iterator<Item = &'v mut Value>) -> Seen {
        schemas.fold(Seen::default(), |seen, schema| seen.or(self.node(schema)))
    }

    fn unsettles(&self, below: Seen) -> bool {
        match self.around {
            Around::References => below.is_looser || below.has_reference,
            Around::All => true,
        }
    }
}

/// The references that lead nowhere, or are part of too long a chain. Each is looked up once,
/// however many chains it is in.
fn lost_references(schema: &Value) -> HashSet<String> {
    let mut known = HashSet::new();
    references(schema, &mut known);
    let next: HashMap<&str, Next<'_>> = known
        .iter()
        .map(|reference| (*reference, Next::of(schema, reference)))
        .collect();
    let is_lost = |reference: &str| {
        let mut at = reference;
        for _ in 0..MAX_CHAIN {
            match next.get(at) {
                Some(Next::Schema) => return false,
                Some(Next::Reference(further)) => at = further,
                Some(Next::Nothing) | None => return true,
            }
        }
        true
    };
    let lost = known.iter().filter(|reference| is_lost(reference));
    lost.map(|reference| (*reference).to_owned()).collect()
}

/// What a reference points to.
enum Next<'s> {
    Schema,
    Reference(&'s str),
    Nothing,
}

impl<'s> Next<'s> {
    fn of(schema: &'s Value, reference: &str) -> Self {
        match Target::of(reference).node(schema) {
            None => Self::Nothing,
            Some(node) => match node.get("$ref").and_then(Value::as_str) {
                Some(further) => Self::Reference(further),
                None => Self::Schema,
            },
        }
    }
}

/// The references of a schema and of those below it.
pub(super) fn references<'s>(schema: &'s Value, known: &mut HashSet<&'s str>) {
    let Value::Object(map) = schema else { return };
    for (key, value) in map {
        let Some(keyword) = Keyword::of(key) else {
            continue;
        };
        match (keyword.shape(), value) {
            (Shape::Map, Value::Object(named)) => {
                for schema in named.values() {
                    references(schema, known);
                }
            }
            (Shape::List, Value::Array(branches)) => {
                for branch in branches {
                    references(branch, known);
                }
            }
            (Shape::Schema | Shape::SchemaOrList, schema) => references(schema, known),
            (_, Value::String(reference)) if REFERENCES.contains(&keyword) => {
                known.insert(reference);
            }
            _ => {}
        }
    }
}

/// Changes the references of a schema and of those below it.
pub(super) fn redirect(schema: &mut Value, to: &impl Fn(&str) -> Option<String>) {
    let Value::Object(map) = schema else { return };
    for (key, value) in map.iter_mut() {
        let Some(keyword) = Keyword::of(key) else {
            continue;
        };
        match (keyword.shape(), value) {
            (Shape::Map, Value::Object(named)) => {
                for schema in named.values_mut() {
                    redirect(schema, to);
                }
            }
            (Shape::List, Value::Array(branches)) => {
                for branch in branches {
                    redirect(branch, to);
                }
            }
            (Shape::Schema | Shape::SchemaOrList, schema) => redirect(schema, to),
            (_, Value::String(reference)) if REFERENCES.contains(&keyword) => {
                if let Some(changed) = to(reference) {
                    *reference = changed;
                }
            }
            _ => {}
        }
    }
}
