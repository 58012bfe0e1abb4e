//! Which objects a schema takes, as far as one object schema can say it.
//!
//! [`Objects`] is what is known of them: never more than the schema says, for what is not known is
//! allowed. Schemas that all hold ([`Objects::and`]) add to what is known; of alternatives
//! ([`Objects::either`]) only what all of them say is left. The trap there: a property that one
//! alternative declares may be anything in another that is open.
//!
//! Nothing is copied before the end, and what is copied is charged to the [`Writer`]'s space. A
//! definition can be reached on many ways, so reading is charged as well; what is over the budget
//! is not known.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::root::take;
use crate::keyword::Keyword;
use crate::limits::Limits;
use crate::malformed::is_never;
use crate::reference::Target;
use crate::types::TypeSet;

/// Schemas that are read, all together.
const MAX_BRANCHES: usize = 256;
/// Properties that are looked at, all together.
const MAX_LOOKS: usize = 400_000;

/// What the root of a schema becomes.
pub(super) struct Merged {
    pub properties: Map<String, Value>,
    pub required: Vec<Value>,
    /// What other properties may be; `None` for anything.
    pub rest: Option<Value>,
}

/// Reads the root of `schema`. `alone`: nothing beside a `$ref` has a meaning. No more is written
/// than there is `space`.
pub(super) fn read(schema: &Value, alone: bool, space: Limits) -> Merged {
    let mut reader = Reader {
        base: schema,
        alone,
        branches: MAX_BRANCHES,
        looks: MAX_LOOKS,
        open: vec![schema],
    };
    let empty = Map::new();
    let root = schema.as_object().unwrap_or(&empty);
    // A root that takes no object at all says nothing that could be written.
    let known = reader.map(root).unwrap_or_default();
    Writer { space }.write(known)
}

/// What is known of the objects that a schema takes.
#[derive(Default)]
struct Objects<'s> {
    properties: Vec<(&'s str, Known<'s>)>,
    /// Where in `properties` a name is.
    places: HashMap<&'s str, usize>,
    required: Vec<&'s str>,
    /// Of each property that is not in `properties`.
    rest: Known<'s>,
}

/// What is known of a value.
#[derive(Clone, Default)]
enum Known<'s> {
    #[default]
    Nothing,
    /// There is no such value.
    Never,
    Schema(&'s Value),
    All(Vec<Known<'s>>),
    Any(Vec<Known<'s>>),
}

struct Reader<'s> {
    base: &'s Value,
    alone: bool,
    branches: usize,
    looks: usize,
    /// The targets that are being read: one of them once more says nothing new.
    open: Vec<&'s Value>,
}

impl<'s> Reader<'s> {
    /// `None`: it takes no object.
    fn schema(&mut self, schema: &'s Value) -> Option<Objects<'s>> {
        let map = match schema {
            Value::Bool(false) => return None,
            Value::Object(_) if is_never(schema) => return None,
            Value::Object(map) => map,
            _ => return Some(Objects::default()),
        };
        if let Some(types) = map.get("type").and_then(TypeSet::read)
            && !types.meets(TypeSet::OBJECT)
        {
            return None;
        }
        match self.branches.checked_sub(1) {
            Some(left) => self.branches = left,
            None => return Some(Objects::default()),
        }
        self.map(map)
    }

    fn map(&mut self, map: &'s Map<String, Value>) -> Option<Objects<'s>> {
        let reference = map.get("$ref").and_then(Value::as_str);
        if self.alone
            && let Some(reference) = reference
        {
            return self.target(reference);
        }
        let mut known = self.own(map);
        if let Some(reference) = reference {
            let target = self.target(reference)?;
            known = self.and(known, target);
        }
        for part in list(map, "allOf") {
            let part = self.schema(part)?;
            known = self.and(known, part);
        }
        for keyword in ["anyOf", "oneOf"] {
            let branches = list(map, keyword);
            if branches.is_empty() {
                continue;
            }
            let taking: Vec<_> = branches.iter().filter_map(|one| self.schema(one)).collect();
            if taking.is_empty() {
                return None;
            }
            let either = self.either(taking);
            known = self.and(known, either);
        }
        Some(known)
    }

    fn target(&mut self, reference: &'s str) -> Option<Objects<'s>> {
        let Some(target) = Target::of(reference).node(self.base) else {
            return Some(Objects::default());
        };
        if self.open.iter().any(|open| std::ptr::eq(*open, target)) {
            return Some(Objects::default());
        }
        self.open.push(target);
        let known = self.schema(target);
        self.open.pop();
        known
    }

    /// What a schema says beside its reference and its unions.
    fn own(&mut self, map: &'s Map<String, Value>) -> Objects<'s> {
        let mut known = Objects::default();
        let properties = map.get("properties").and_then(Value::as_object);
        let required = list(map, "required");
        if !self.afford(properties.map_or(0, Map::len) + required.len()) {
            return known;
        }
        for (name, schema) in properties.into_iter().flatten() {
            known.declare(name, Known::of(schema));
        }
        known.require(required.iter().filter_map(Value::as_str));
        let has_patterns = map
            .get("patternProperties")
            .and_then(Value::as_object)
            .is_some_and(|patterns| !patterns.is_empty());
        if !has_patterns && let Some(rest) = map.get("additionalProperties") {
            known.rest = Known::of(rest);
        }
        known
    }

    /// What is known where both hold.
    fn and(&mut self, mut one: Objects<'s>, other: Objects<'s>) -> Objects<'s> {
        if !self.afford(one.weight() + other.weight()) {
            return one;
        }
        for (name, known) in &mut one.properties {
            if !other.places.contains_key(name) {
                known.join(other.of_others());
            }
        }
        let of_others = one.of_others();
        for (name, mut known) in other.properties {
            if let Some(&place) = one.places.get(name) {
                one.properties[place].1.join(known);
            } else {
                known.join(of_others.clone());
                one.declare(name, known);
            }
        }
        one.require(other.required.into_iter());
        one.rest = match (one.rest, other.rest) {
            (Known::Never, _) | (_, Known::Never) => Known::Never,
            (Known::Nothing, rest) | (rest, _) => rest,
        };
        one
    }

    /// What is known where one of them holds.
    fn either(&mut self, mut all: Vec<Objects<'s>>) -> Objects<'s> {
        if all.len() == 1 {
            return all.pop().unwrap_or_default();
        }
        let mut known = Objects::default();
        let weight = all.iter().map(Objects::weight).sum::<usize>();
        if !self.afford(weight.saturating_mul(all.len())) {
            return known;
        }
        for one in &all {
            for (name, _) in &one.properties {
                if !known.places.contains_key(name) {
                    let options = all.iter().map(|one| one.get(name).clone());
                    known.declare(name, Known::either(options));
                }
            }
        }
        if let Some((first, others)) = all.split_first() {
            let others: Vec<HashSet<&str>> = others
                .iter()
                .map(|one| one.required.iter().copied().collect())
                .collect();
            let of_all = first.required.iter().copied();
            known.require(of_all.filter(|name| others.iter().all(|one| one.contains(name))));
        }
        known.rest = match Known::either(all.into_iter().map(|one| one.rest)) {
            Known::Any(_) => Known::Nothing,
            rest => rest,
        };
        known
    }

    fn afford(&mut self, looks: usize) -> bool {
        let left = self.looks.checked_sub(looks);
        self.looks = left.unwrap_or(0);
        left.is_some()
    }
}

impl<'s> Objects<'s> {
    fn declare(&mut self, name: &'s str, known: Known<'s>) {
        self.places.insert(name, self.properties.len());
        self.properties.push((name, known));
    }

    fn require(&mut self, names: impl Iterator<Item = &'s str>) {
        let mut known: HashSet<&str> = self.required.iter().copied().collect();
        self.required
            .extend(names.filter(|name| known.insert(name)));
    }

    /// What a property of this name is.
    fn get(&self, name: &str) -> &Known<'s> {
        match self.places.get(name) {
            Some(&place) => &self.properties[place].1,
            None => &self.rest,
        }
    }

    /// What a property is that only a schema beside this one declares. Two closed objects that
    /// know nothing of each other are meant to be one.
    fn of_others(&self) -> Known<'s> {
        match &self.rest {
            Known::Never => Known::Nothing,
            rest => rest.clone(),
        }
    }

    fn weight(&self) -> usize {
        1 + self.properties.len() + self.required.len()
    }
}

impl<'s> Known<'s> {
    fn of(schema: &'s Value) -> Self {
        match schema {
            Value::Bool(false) => Self::Never,
            Value::Object(map) if !map.is_empty() => Self::Schema(schema),
            _ => Self::Nothing,
        }
    }

    /// Learns what is known beside.
    fn join(&mut self, other: Self) {
        let parts = match (std::mem::take(self), other) {
            (Self::Never, _) | (_, Self::Never) => {
                *self = Self::Never;
                return;
            }
            (Self::Nothing, known) | (known, Self::Nothing) => {
                *self = known;
                return;
            }
            (Self::All(mut parts), Self::All(more)) => {
                parts.extend(more);
                parts
            }
            (Self::All(mut parts), one) => {
                parts.push(one);
                parts
            }
            (one, other) => vec![one, other],
        };
        *self = Self::All(parts);
    }

    fn either(options: impl Iterator<Item = Self>) -> Self {
        let mut any: Vec<Self> = Vec::new();
        for option in options {
            let options = match option {
                Self::Never => continue,
                Self::Any(options) => options,
                one => vec![one],
            };
            for option in options {
                if !any.iter().any(|known| known.is_same(&option)) {
                    any.push(option);
                }
            }
        }
        match any.len() {
            0 => Self::Never,
            1 => any.remove(0),
            _ => Self::Any(any),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Schema(one), Self::Schema(other)) => std::ptr::eq(*one, *other) || one == other,
            _ => false,
        }
    }

    /// Whether any value will do.
    fn is_open(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Any(options) => options.iter().any(Self::is_open),
            Self::All(parts) => parts.iter().all(Self::is_open),
            Self::Never | Self::Schema(_) => false,
        }
    }
}

struct Writer {
    space: Limits,
}

impl Writer {
    fn write(mut self, known: Objects<'_>) -> Merged {
        let mut properties = Map::new();
        for (name, known) in &known.properties {
            // The name and the least that can be said of it.
            let Some(()) = self.add(&json!(name)).and_then(|()| self.add(&json!({}))) else {
                // Not declared, so it must not be refused.
                return Merged {
                    properties,
                    required: Vec::new(),
                    rest: None,
                };
            };
            let schema = self.schema(known).unwrap_or_else(|| json!({}));
            properties.insert((*name).to_owned(), schema);
        }
        let required = known.required.iter().map(|name| Value::from(*name));
        let required = required
            .take_while(|name| self.add(name).is_some())
            .collect();
        let rest = match &known.rest {
            Known::Nothing => None,
            rest => self.schema(rest),
        };
        Merged {
            properties,
            required,
            rest,
        }
    }

    /// `None`: there is no space for it.
    fn schema(&mut self, known: &Known<'_>) -> Option<Value> {
        let written = match known {
            Known::Nothing => json!({}),
            Known::Never => Value::Bool(false),
            Known::Schema(schema) => {
                self.add(schema)?;
                (*schema).clone()
            }
            Known::Any(options) => {
                let mut written = self.different(options.iter().filter(|one| !one.is_open()))?;
                let says_nothing = written.iter().any(says_nothing);
                if options.iter().any(Known::is_open) && !says_nothing {
                    // What is meant stands first.
                    written.push(json!({}));
                }
                self.joined("anyOf", written)?
            }
            Known::All(parts) => {
                // An alternative to anything says nothing beside a part that does.
                let parts: Vec<_> = match parts.iter().filter(|one| !one.is_open()) {
                    told if told.clone().next().is_some() => told.collect(),
                    _ => parts.iter().take(1).collect(),
                };
                let written = self.different(parts.into_iter())?;
                self.joined("allOf", written)?
            }
        };
        Some(written)
    }

    fn different<'k, 's: 'k>(
        &mut self,
        all: impl Iterator<Item = &'k Known<'s>>,
    ) -> Option<Vec<Value>> {
        let mut different = Vec::new();
        for known in all {
            let schema = self.schema(known)?;
            if !different.contains(&schema) {
                different.push(schema);
            }
        }
        Some(different)
    }

    fn joined(&mut self, keyword: &str, mut schemas: Vec<Value>) -> Option<Value> {
        if schemas.len() == 1 {
            return schemas.pop();
        }
        self.add(&json!({keyword: []}))?;
        Some(json!({keyword: schemas}))
    }

    fn add(&mut self, value: &Value) -> Option<()> {
        self.space = take(self.space.clone(), value)?;
        Some(())
    }
}

/// Whether a schema constrains nothing.
fn says_nothing(schema: &Value) -> bool {
    schema.as_object().is_some_and(|map| {
        map.keys()
            .all(|key| Keyword::of(key).is_none_or(Keyword::is_annotation))
    })
}

fn list<'s>(map: &'s Map<String, Value>, keyword: &str) -> &'s [Value] {
    match map.get(keyword) {
        Some(Value::Array(values)) => values,
        _ => &[],
    }
}
