//! The one walk that finds everything.
//!
//! At each node, in this order: the reference; keywords outside the subset; the
//! type; what an object, an array, an enum must say; formats and bounds; then the
//! children in document order. Counts over the whole schema come last, as they do
//! from OpenAI.

use serde_json::{Map, Value};

use super::finding::{Finding, ROOT_COMBINATORS, ViolationKind, root_findings};
use super::references::References;
use super::{inhabited, values};
use crate::facts::Facts;
use crate::keyword::{Keyword, KeywordSet, Shape};
use crate::limits::{Excess, Size};
use crate::malformed;
use crate::path::At;
use crate::pattern::Patterns;
use crate::profile::Profile;
use crate::types::TypeSet;

/// Violations that are listed; a schema with more is as wrong as it gets.
const MAX_FINDINGS: usize = 64;
/// Bytes of their texts: each repeats the way to its place, and names can be long. The first is
/// listed whatever its length.
const MAX_BYTES: usize = 64 << 10;

/// Everything that keeps `schema` out of the subset, in document order.
pub(super) fn findings(schema: &Value, profile: &Profile, function: bool) -> Vec<Finding> {
    let size = match Size::of(schema, &profile.guards) {
        Ok(size) => size,
        Err(excess) => return vec![too_large(excess, profile)],
    };
    let Some(root) = schema.as_object() else {
        return root_findings(schema, function);
    };
    let mut walk = Walk {
        root,
        profile,
        function,
        references: References::default(),
        patterns: Patterns::default(),
        found: Vec::new(),
        bytes: 0,
        properties: 0,
        enum_values: 0,
        chars: 0,
        // Characters cannot outnumber bytes: most schemas need no counting.
        count_chars: size.bytes > profile.counts.chars,
        deepest: profile.counts.levels,
        deepest_at: None,
    };
    walk.found.extend(root_findings(schema, function));
    walk.node(schema, &At::Root, 0);
    walk.counts();
    // Mostly there is none, and what matters was judged above.
    if walk.found.is_empty() {
        walk.found.extend(malformed::first(schema, &At::Root));
    }
    if walk.found.is_empty() && walk.references.any && profile.choices.refuse_unsatisfiable {
        walk.found.extend(inhabited::endless(schema).map(|pointer| {
            let why = "a recursion without an end makes every document infinite";
            let text = format!("no value can satisfy the schema: {why}.");
            Finding::plain(ViolationKind::Unsatisfiable, pointer, why, text)
        }));
    }
    walk.found
}

pub(super) struct Walk<'a> {
    pub(super) root: &'a Map<String, Value>,
    pub(super) profile: &'a Profile,
    pub(super) function: bool,
    pub(super) references: References<'a>,
    patterns: Patterns,
    pub(super) found: Vec<Finding>,
    /// Bytes of what was found.
    bytes: usize,
    pub(super) properties: usize,
    pub(super) enum_values: usize,
    pub(super) chars: usize,
    pub(super) count_chars: bool,
    /// The deepest level past the limit, and where.
    pub(super) deepest: usize,
    pub(super) deepest_at: Option<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn add(&mut self, finding: Finding) {
        let listed = self.profile.choices.refuse_unsatisfiable
            || finding.kind != ViolationKind::Unsatisfiable;
        let bytes = finding.bytes();
        let fits = self.found.is_empty() || self.bytes + bytes <= MAX_BYTES;
        if listed && !self.full() {
            self.bytes += bytes;
            if fits {
                self.found.push(finding);
            }
        }
    }

    /// Whether nothing more is listed. The walk ends then, for a text that is dropped costs as
    /// much as one that is kept.
    pub(super) fn full(&self) -> bool {
        self.found.len() >= MAX_FINDINGS || self.bytes > MAX_BYTES
    }

    /// `level` counts the levels above this node.
    fn node(&mut self, node: &'a Value, at: &At<'_>, level: usize) {
        if self.full() {
            return;
        }
        let map = match node {
            Value::Object(map) => map,
            Value::Bool(_) => return self.add(Finding::open(ViolationKind::BooleanSchema, at)),
            other => {
                return self.add(Finding::malformed(
                    at,
                    other,
                    "is not of type 'object', 'boolean'",
                ));
            }
        };
        let facts = Facts::of(map);
        if let Some(reference) = facts.reference {
            self.reference(map, reference, at);
            if !at.is_root() {
                return;
            }
        }
        if facts.present.but(self.profile.permitted) != KeywordSet::EMPTY
            || facts.unknown > 0 && !self.profile.unknown_keywords
        {
            self.keywords(map, at);
        }
        let types = self.types(&facts, at);
        let container = types.is_some_and(|types| types.meets(TypeSet::CONTAINER))
            || facts.properties.is_some();
        let level = level + usize::from(container || self.profile.levels.scalars);
        if level > self.deepest {
            self.deepest = level;
            self.deepest_at = Some(at.pointer());
        }
        if types.is_some_and(|types| types.meets(TypeSet::OBJECT)) || facts.properties.is_some() {
            self.object(&facts, at);
        }
        if types.is_some_and(|types| types.meets(TypeSet::ARRAY)) {
            self.array(&facts, at);
        }
        if facts.values.is_some() || facts.constant.is_some() {
            let mut found = Vec::new();
            values::enumeration(&facts, types, self.profile, at, &mut found);
            for finding in found {
                self.add(finding);
            }
            self.count_values(&facts, at);
        }
        if facts.present.has(Keyword::Format) && self.profile.permitted.has(Keyword::Format) {
            self.format(map, types, at);
        }
        if facts.present.meets(values::JUDGED) {
            let mut found = Vec::new();
            let patterns = &mut self.patterns;
            values::bounds(map, types, self.profile, patterns, at, &mut found);
            for finding in found {
                self.add(finding);
            }
        }
        self.children(map, &facts, at, level);
    }

    fn reference(&mut self, map: &'a Map<String, Value>, reference: &'a Value, at: &At<'_>) {
        if !at.is_root() && map.len() > 1 {
            // Python prints a set; its order is accidental, ours is the schema's.
            let siblings: Vec<_> = map.keys().filter(|key| *key != "$ref").collect();
            let shown: Vec<_> = siblings
                .iter()
                .map(|k| crate::path::python_string(k))
                .collect();
            let tail = format!("$ref cannot have keywords {{{}}}.", shown.join(", "));
            self.add(Finding::at(
                ViolationKind::RefWithSiblings,
                at,
                siblings[0].as_str(),
                &tail,
            ));
        }
        if let Some(finding) = self.references.judge(self.root, reference, at) {
            self.add(finding);
        }
    }

    /// Names what is outside the subset, in document order.
    fn keywords(&mut self, map: &Map<String, Value>, at: &At<'_>) {
        for key in map.keys() {
            if self.full() {
                return;
            }
            let permitted = match Keyword::of(key) {
                Some(keyword) => self.profile.permitted.has(keyword),
                None => self.profile.unknown_keywords,
            };
            // A root `$id` names the schema; only a nested one moves references.
            // The root of a function has one text for all its combinators.
            let excused = at.is_root()
                && (key == "$id" || self.function && ROOT_COMBINATORS.contains(&key.as_str()));
            if !permitted && !excused {
                self.add(Finding::not_permitted(at, key));
            }
        }
    }

    fn types(&mut self, facts: &Facts<'a>, at: &At<'_>) -> Option<TypeSet> {
        /// Keywords whose own refusal says enough.
        const TELLING: KeywordSet = KeywordSet::of(&[
            Keyword::AnyOf,
            Keyword::OneOf,
            Keyword::AllOf,
            Keyword::DynamicRef,
            Keyword::RecursiveRef,
        ]);
        let Some(written) = facts.types else {
            // The root has its own text for it.
            if !at.is_root() && !facts.present.meets(TELLING) {
                self.add(Finding::untyped(at));
            }
            return None;
        };
        let types = TypeSet::read(written);
        if types.is_none() {
            let complaint = "is not valid under any of the given schemas";
            self.add(Finding::malformed(at, written, complaint));
        }
        types
    }

    fn format(&mut self, map: &Map<String, Value>, types: Option<TypeSet>, at: &At<'_>) {
        if types.is_some_and(|types| !types.meets(TypeSet::STRING)) {
            return;
        }
        match map.get("format") {
            Some(Value::String(format)) if !self.profile.formats.contains(&format.as_str()) => {
                let tail = format!("'{format}' is not a valid format");
                self.add(Finding::at(
                    ViolationKind::FormatNotPermitted,
                    at,
                    format,
                    &tail,
                ));
            }
            Some(Value::String(_)) | None => {}
            Some(other) => self.add(Finding::malformed(at, other, "is not of type 'string'")),
        }
    }

    fn children(
        &mut self,
        map: &'a Map<String, Value>,
        facts: &Facts<'a>,
        at: &At<'_>,
        level: usize,
    ) {
        /// Keywords of the subset with schemas below them.
        const APPLICATORS: KeywordSet = KeywordSet::of(&[
            Keyword::Properties,
            Keyword::Items,
            Keyword::AnyOf,
            Keyword::PrefixItems,
            Keyword::Defs,
            Keyword::Definitions,
        ]);
        if !facts.present.meets(APPLICATORS) {
            return;
        }
        let counting = &self.profile.levels;
        for (key, below) in map {
            let Some(keyword) = Keyword::of(key) else {
                continue;
            };
            if !APPLICATORS.has(keyword) || !self.profile.permitted.has(keyword) {
                continue;
            }
            let own = level - usize::from(level > 0);
            let inner = match keyword {
                Keyword::Properties => {
                    if counting.properties {
                        level
                    } else {
                        own
                    }
                }
                Keyword::Items | Keyword::PrefixItems => {
                    if counting.items {
                        level
                    } else {
                        own
                    }
                }
                Keyword::AnyOf => level + usize::from(counting.combinators),
                _ => 0,
            };
            let at = at.key(key);
            match (keyword.shape(), below) {
                (Shape::Map, Value::Object(named)) => {
                    if keyword != Keyword::Properties && self.count_chars {
                        self.chars += named.keys().map(|name| name.chars().count()).sum::<usize>();
                    }
                    for (name, schema) in named {
                        self.node(schema, &at.key(name), inner);
                    }
                }
                (Shape::List, Value::Array(branches)) => {
                    if branches.is_empty() {
                        self.add(Finding::malformed(&at, below, "should be non-empty"));
                    }
                    for (index, branch) in branches.iter().enumerate() {
                        self.node(branch, &at.index(index), inner);
                    }
                }
                (Shape::SchemaOrList | Shape::Schema, Value::Object(_) | Value::Bool(_)) => {
                    self.node(below, &at, inner);
                }
                (Shape::List, other) => {
                    self.add(Finding::malformed(&at, other, "is not of type 'array'"));
                }
                (Shape::SchemaOrList, Value::Array(_)) if facts.types.is_some() => {}
                (Shape::SchemaOrList, other) => {
                    let complaint = "is not of type 'object', 'boolean'";
                    self.add(Finding::malformed(&at, other, complaint));
                }
                (Shape::Map, other) if keyword != Keyword::Properties => {
                    self.add(Finding::malformed(&at, other, "is not of type 'object'"));
                }
                _ => {}
            }
        }
    }
}

fn too_large(excess: Excess, profile: &Profile) -> Finding {
    let guards = &profile.guards;
    let why = match excess {
        Excess::Bytes => format!("more than {} bytes", guards.max_bytes),
        Excess::Depth => format!("nested deeper than {}", guards.max_depth),
        Excess::Nodes => format!("more than {} values", guards.max_nodes),
    };
    // An older catalogue has the second sentence for oversized schemas.
    let text = format!("the schema is too large: {why}. Please ensure it is a valid JSON Schema.");
    Finding::plain(ViolationKind::TooLarge, String::new(), why, text)
}
