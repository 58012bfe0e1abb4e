//! The walk that takes away what an engine does not have.
//!
//! Every step replaces a constraint by a weaker one or by none. That is sound
//! because only keywords that are *monotone* in their parts stay: a branch of
//! `anyOf`, an item, a property that accepts more makes the whole accept more.

use serde_json::{Map, Value, json};

use super::{Dialect, Downleveled};
use crate::keyword::{ANNOTATIONS, Keyword, Shape};
use crate::limits::{Limits, Size};
use crate::path::At;
use crate::pattern;
use crate::reference::locate;
use crate::resolve::{Change, ChangeCode, Level};
use crate::types::TypeSet;

/// Values that inlining may make of a schema.
const MAX_INLINED: usize = 20_000;

/// References inside the targets of references.
const MAX_INLINE_DEPTH: usize = 32;

/// Levels of the schema that is sent.
const MAX_DEPTH: usize = 150;

/// Losses that are listed.
const MAX_DROPPED: usize = 100;

pub(super) fn downlevel(schema: &Value, dialect: &Dialect) -> Downleveled {
    let nothing = || Downleveled {
        schema: json!({}),
        dropped: vec![loss(String::new(), ChangeCode::Loosened)],
        enforceable: false,
    };
    if Size::of(schema, &Limits::default()).is_err() || !schema.is_object() {
        return nothing();
    }
    let mut walk = Walk {
        base: schema,
        dialect,
        dropped: Vec::new(),
        budget: MAX_INLINED,
        open: Vec::new(),
    };
    let mut out = schema.clone();
    walk.node(&mut out, &At::Root, 0);
    let dropped = walk.dropped;
    let enforceable = enforceable(&out, dialect);
    Downleveled {
        schema: out,
        dropped,
        enforceable,
    }
}

fn enforceable(schema: &Value, dialect: &Dialect) -> bool {
    let says = |keys: &[&str]| keys.iter().any(|key| schema.get(key).is_some());
    let small = || {
        dialect
            .max_schema_bytes
            .is_none_or(|most| schema.to_string().len() <= most)
    };
    says(&[
        "type",
        "properties",
        "anyOf",
        "allOf",
        "enum",
        "const",
        "$ref",
    ]) && (dialect.root_unions || !says(&["anyOf", "allOf", "enum"]))
        && small()
}

fn loss(pointer: String, code: ChangeCode) -> Change {
    Change {
        pointer,
        code,
        level: Level::C,
    }
}

struct Walk<'a> {
    base: &'a Value,
    dialect: &'a Dialect,
    dropped: Vec<Change>,
    budget: usize,
    /// The targets that are being inlined, outermost first.
    open: Vec<String>,
}

impl Walk<'_> {
    fn drop(&mut self, at: &At<'_>, code: ChangeCode) {
        if self.dropped.len() < MAX_DROPPED {
            // An inlined target is told by its own place, once.
            let target = self.open.last().map_or("", String::as_str);
            let change = loss(format!("{target}{}", at.pointer()), code);
            if self.open.is_empty() || !self.dropped.contains(&change) {
                self.dropped.push(change);
            }
        }
    }

    fn node(&mut self, node: &mut Value, at: &At<'_>, depth: usize) {
        if depth > MAX_DEPTH {
            *node = json!({});
            return self.drop(at, ChangeCode::Loosened);
        }
        let Value::Object(map) = node else {
            // A schema that says nothing, or everything: engines know objects.
            if node != &Value::Bool(false) {
                *node = json!({});
            }
            return;
        };
        if let Some(reference) = map.get("$ref") {
            let Some(text) = reference.as_str() else {
                return self.anything(node, at);
            };
            let known = locate(self.base, text);
            let Some((pointer, target)) = known else {
                return self.anything(node, at);
            };
            // Where the reference leads to the root, so does a cut recursion.
            let local = text == "#" || text.starts_with("#/");
            if self.dialect.inline_refs || !local {
                return self.inline(node, &pointer, target, at, depth);
            }
        }
        self.spell(map, at);
        self.filter(map, at);
        self.bound(map, at);
        self.children(map, at, depth);
        self.shape(map, at);
    }

    fn anything(&mut self, node: &mut Value, at: &At<'_>) {
        *node = json!({});
        self.drop(at, ChangeCode::Loosened);
    }

    /// Puts the target in the reference's place, described as the reference was.
    fn inline(
        &mut self,
        node: &mut Value,
        pointer: &str,
        target: &Value,
        at: &At<'_>,
        depth: usize,
    ) {
        let limits = Limits {
            max_nodes: self.budget,
            ..Limits::default()
        };
        let recursive = self.open.iter().any(|open| open == pointer) || pointer.is_empty();
        let size = Size::of(target, &limits);
        let (Ok(size), false) = (size, recursive || self.open.len() >= MAX_INLINE_DEPTH) else {
            return self.anything(node, at);
        };
        self.budget = self.budget.saturating_sub(size.nodes);
        let mut inlined = target.clone();
        if let (Value::Object(map), Value::Object(inlined)) = (&mut *node, &mut inlined) {
            for (key, value) in std::mem::take(map) {
                match Keyword::of(&key) {
                    Some(keyword) if keyword.is_annotation() => {
                        inlined.insert(key, value);
                    }
                    // Constraints beside a reference: ignored before draft 2019-09.
                    Some(keyword)
                        if !matches!(
                            keyword,
                            Keyword::Ref | Keyword::Defs | Keyword::Definitions
                        ) =>
                    {
                        self.drop(&at.key(&key), ChangeCode::ConstraintDropped);
                    }
                    _ => {}
                }
            }
        }
        *node = inlined;
        self.open.push(pointer.to_owned());
        self.node(node, &At::Root, depth);
        self.open.pop();
    }

    /// Other words for what the engine has no word for.
    fn spell(&mut self, map: &mut Map<String, Value>, at: &At<'_>) {
        let has = |keyword: Keyword| self.dialect.keywords.has(keyword);
        if !has(Keyword::Const)
            && !map.contains_key("enum")
            && let Some(value) = map.shift_remove("const")
        {
            map.insert("enum".into(), json!([value]));
        }
        if !map.contains_key("anyOf")
            && let Some(branches) = map.shift_remove("oneOf")
        {
            map.insert("anyOf".into(), branches);
            self.drop(&at.key("oneOf"), ChangeCode::ConstraintDropped);
        }
        if !self.dialect.keywords.has(Keyword::AllOf)
            && map
                .get("allOf")
                .and_then(Value::as_array)
                .is_some_and(|parts| parts.len() == 1)
            && let Some(Value::Array(parts)) = map.shift_remove("allOf")
            && let Some(Value::Object(part)) = parts.into_iter().next()
        {
            for (key, value) in part {
                let annotation = Keyword::of(&key).is_some_and(|k| ANNOTATIONS.has(k));
                if map.contains_key(&key) && map[&key] != value && !annotation {
                    // The weaker of the two is not known: the node's own stays.
                    self.drop(&at.key("allOf"), ChangeCode::ConstraintDropped);
                } else {
                    map.entry(key).or_insert(value);
                }
            }
            // A reference that came in is alone; beside it engines read nothing.
            if map.contains_key("$ref") {
                map.retain(|key, _| {
                    key == "$ref" || Keyword::of(key).is_some_and(Keyword::is_annotation)
                });
            }
        }
    }

    fn filter(&mut self, map: &mut Map<String, Value>, at: &At<'_>) {
        // Keywords that read one another: without one the other says more.
        let lacks = |keyword: Keyword| {
            !self.dialect.keywords.has(keyword) && map.contains_key(keyword.name())
        };
        let patterned = lacks(Keyword::PatternProperties);
        let tuple = lacks(Keyword::PrefixItems) || map.get("items").is_some_and(Value::is_array);
        if patterned && map.get("additionalProperties") != Some(&Value::Bool(true)) {
            map.insert("additionalProperties".into(), Value::Bool(true));
            self.drop(
                &at.key("additionalProperties"),
                ChangeCode::ConstraintDropped,
            );
        }
        if tuple && map.shift_remove("items").is_some() {
            map.shift_remove("additionalItems");
            self.drop(&at.key("items"), ChangeCode::ConstraintDropped);
        }
        let gone: Vec<String> = map
            .keys()
            .filter(|key| {
                Keyword::of(key).is_none_or(|keyword| !self.dialect.keywords.has(keyword))
            })
            .cloned()
            .collect();
        for key in gone {
            map.shift_remove(&key);
            let silent = Keyword::of(&key).is_none_or(|keyword| {
                keyword.is_annotation()
                    || matches!(
                        keyword,
                        Keyword::Defs | Keyword::Definitions | Keyword::Id | Keyword::Nullable
                    )
            });
            if !silent {
                self.drop(&at.key(&key), ChangeCode::ConstraintDropped);
            }
        }
    }

    /// Bounds, formats and patterns that the engine takes in part.
    fn bound(&mut self, map: &mut Map<String, Value>, at: &At<'_>) {
        if let Some(most) = self.dialect.max_repetition {
            for key in ["minLength", "maxLength", "minItems", "maxItems"] {
                if map
                    .get(key)
                    .is_some_and(|v| v.as_f64().is_none_or(|n| n >= most as f64))
                {
                    map.shift_remove(key);
                    self.drop(&at.key(key), ChangeCode::ConstraintDropped);
                }
            }
        }
        let fractional = || {
            let types = map.get("type").and_then(TypeSet::read);
            types.is_none_or(|types| types.meets(TypeSet::NUMBER))
        };
        if !self.dialect.number_bounds && fractional() {
            for key in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
                if map.shift_remove(key).is_some() {
                    self.drop(&at.key(key), ChangeCode::ConstraintDropped);
                }
            }
        }
        if let Some(format) = map.get("format") {
            let among = |formats: &[&str]| format.as_str().is_some_and(|f| formats.contains(&f));
            let (taken, loosely) = (
                among(self.dialect.formats),
                among(self.dialect.loose_formats),
            );
            if !taken {
                map.shift_remove("format");
            }
            if !taken || loosely {
                self.drop(&at.key("format"), ChangeCode::ConstraintDropped);
            }
        }
        if let Some(written) = map.get_mut("pattern") {
            let style = &self.dialect.patterns;
            let styled = written
                .as_str()
                .and_then(|text| pattern::styled(text, style, self.dialect.max_repetition));
            if let Some(text) = styled {
                *written = text.into();
            } else {
                map.shift_remove("pattern");
                self.drop(&at.key("pattern"), ChangeCode::ConstraintDropped);
            }
        }
    }

    fn children(&mut self, map: &mut Map<String, Value>, at: &At<'_>, depth: usize) {
        for (key, below) in map.iter_mut() {
            let Some(keyword) = Keyword::of(key) else {
                continue;
            };
            let at = at.key(key);
            match (keyword.shape(), below) {
                (Shape::Map, Value::Object(named)) => {
                    for (name, schema) in named.iter_mut() {
                        self.node(schema, &at.key(name), depth + 2);
                    }
                }
                (Shape::List | Shape::SchemaOrList, Value::Array(branches)) => {
                    for (index, branch) in branches.iter_mut().enumerate() {
                        self.node(branch, &at.index(index), depth + 2);
                    }
                }
                // `true` and `false` mean open and closed, not a schema.
                (Shape::Schema, Value::Bool(_)) => {}
                (Shape::Schema | Shape::SchemaOrList, schema) => self.node(schema, &at, depth + 1),
                _ => {}
            }
        }
    }

    /// The form of objects and types.
    fn shape(&mut self, map: &mut Map<String, Value>, at: &At<'_>) {
        let types = map.get("type").and_then(TypeSet::read);
        let object = types.is_some_and(|types| types.meets(TypeSet::OBJECT));
        if object || map.contains_key("properties") {
            if self.dialect.closed_by_default && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), Value::Bool(true));
            }
            let empty = map
                .get("properties")
                .is_some_and(|properties| properties.as_object().is_some_and(Map::is_empty));
            if empty && !self.dialect.empty_objects {
                let closed = map.get("additionalProperties") == Some(&Value::Bool(false));
                for key in ["properties", "required", "additionalProperties"] {
                    map.shift_remove(key);
                }
                let is_root = matches!(at, At::Root) && self.open.is_empty();
                if closed && !is_root && types == Some(TypeSet::OBJECT) {
                    // The one value that it has; a root has to be an object.
                    map.shift_remove("type");
                    map.insert("enum".into(), json!([{}]));
                } else {
                    self.drop(at, ChangeCode::Loosened);
                }
            }
        }
        if let Some(types) = types
            && types.count() > 1
            && !self.dialect.type_lists
            && !map.contains_key("anyOf")
        {
            map.shift_remove("type");
            let branches: Vec<Value> = types.names().map(|name| json!({"type": name})).collect();
            map.insert("anyOf".into(), Value::Array(branches));
        }
    }
}
