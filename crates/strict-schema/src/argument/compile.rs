//! A schema becomes formulas and atoms.
//!
//! The walk goes by schema-bearing keyword only, so a property called `$ref` or `enum` is never
//! read as one. Each place of the schema is compiled once and known by its JSON pointer;
//! references name places, and `link` resolves them once all are known. Keywords that assert
//! something and are not understood are an error, never ignored in silence.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    Automaton,
    dfa::Dfa,
    formula::{Expr, KINDS, Kind, NodeId},
    keywords,
    link::{self, MAX_ALTERNATIVES, Parts},
};
use crate::{CompileError, pointer::percent_decode};

/// Places in a schema that are compiled.
const MAX_NODES: usize = 100_000;
/// Nesting of combinators within one place, and of constants.
const MAX_NESTING: usize = 64;
/// Bytes of all pattern tables of one automaton, after which no further one is built.
const MAX_TABLE_BYTES: usize = 4 << 20;
/// Work of building them ([`Dfa::work`]): at worst half a second. Patterns like that of a UUID take
/// 2 000, those with a counter to 255 take 400 000.
const MAX_TABLE_WORK: usize = 24_000_000;
/// Patterns found too large; each attempt costs milliseconds.
const MAX_FAILED_TABLES: usize = 4;

/// Keywords that assert something this automaton does not follow, whatever their value.
const UNSUPPORTED: [&str; 18] = [
    "$dynamicRef",
    "$recursiveRef",
    "additionalItems",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "extends",
    "if",
    "maxContains",
    "minContains",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

pub(crate) type Kinds = [Expr; 7];

pub(crate) fn never() -> Kinds {
    std::array::from_fn(|_| Expr::Always(false))
}

pub(crate) fn anything() -> Kinds {
    std::array::from_fn(|_| Expr::Always(true))
}

/// The node that every value fits: asking for it costs nothing at run time.
pub(crate) const ANY: NodeId = 0;
/// The node that no value fits.
pub(crate) const NEVER: NodeId = 1;

pub(crate) struct Builder<'s> {
    root: &'s Value,
    pub(crate) parts: Parts,
    by_pointer: HashMap<String, NodeId>,
    pending: VecDeque<(NodeId, &'s Value)>,
    /// `Some` if what is not understood is left out instead of refused.
    skipped: Option<Vec<CompileError>>,
    tables: HashMap<String, Option<Arc<Dfa>>>,
    table_bytes: usize,
    table_work: usize,
    failed_tables: usize,
    /// Drafts 4 to 7 ignore everything beside `$ref`.
    reference_stands_alone: bool,
    modern: bool,
}

pub(crate) fn compile(schema: &Value, lenient: bool) -> Result<Automaton, CompileError> {
    let mut builder = Builder {
        root: schema,
        parts: Parts::default(),
        by_pointer: HashMap::new(),
        pending: VecDeque::new(),
        skipped: lenient.then(Vec::new),
        tables: HashMap::new(),
        table_bytes: 0,
        table_work: 0,
        failed_tables: 0,
        reference_stands_alone: false,
        modern: true,
    };
    builder.draft()?;
    builder.add_node(anything(), String::new())?;
    builder.add_node(never(), String::new())?;
    let root = builder.place(String::new(), schema)?;
    while let Some((node, schema)) = builder.pending.pop_front() {
        let pointer = builder.parts.pointers[node as usize].clone();
        builder.parts.nodes[node as usize] = builder.schema(schema, &pointer, 0)?;
    }
    let skipped = builder.skipped.unwrap_or_default();
    if !skipped.is_empty() {
        // Where something was left out, "exactly one" may count too many: at least one is sound.
        for expr in builder.parts.nodes.iter_mut().flatten() {
            *expr = one_to_any(expr);
        }
    }
    let mut automaton = link::link(builder.parts, root)?;
    automaton.skipped = skipped;
    Ok(automaton)
}

fn one_to_any(expr: &Expr) -> Expr {
    match expr {
        Expr::One(parts) | Expr::Any(parts) => Expr::any(parts.iter().map(one_to_any).collect()),
        Expr::All(parts) => Expr::all(parts.iter().map(one_to_any).collect()),
        other => other.clone(),
    }
}

impl<'s> Builder<'s> {
    fn draft(&mut self) -> Result<(), CompileError> {
        let Some(Value::String(draft)) = self.root.get("$schema") else {
            return Ok(());
        };
        let old = ["draft-03", "draft-04", "draft-06", "draft-07"];
        self.reference_stands_alone = old.iter().any(|name| draft.contains(name));
        self.modern = !self.reference_stands_alone && !draft.contains("2019-09");
        if draft.contains("draft-03") || draft.contains("draft-04") {
            // Integers and exclusive bounds meant something else there.
            return self.unsupported("$schema", "");
        }
        Ok(())
    }

    /// The node for the schema at `pointer`, compiled later.
    pub(crate) fn place(
        &mut self,
        pointer: String,
        schema: &'s Value,
    ) -> Result<NodeId, CompileError> {
        match schema {
            Value::Bool(true) => return Ok(ANY),
            Value::Bool(false) => return Ok(NEVER),
            Value::Object(map) if map.is_empty() => return Ok(ANY),
            _ => {}
        }
        if let Some(&node) = self.by_pointer.get(&pointer) {
            return Ok(node);
        }
        let node = self.add_node(never(), pointer.clone())?;
        self.by_pointer.insert(pointer, node);
        self.pending.push_back((node, schema));
        Ok(node)
    }

    pub(crate) fn add_node(
        &mut self,
        kinds: Kinds,
        pointer: String,
    ) -> Result<NodeId, CompileError> {
        if self.parts.nodes.len() >= MAX_NODES {
            return Err(CompileError::TooLarge {
                what: "places",
                limit: MAX_NODES,
            });
        }
        self.parts.nodes.push(kinds);
        self.parts.pointers.push(pointer);
        Ok((self.parts.nodes.len() - 1) as NodeId)
    }

    /// Refuses a keyword, or notes that it was left out.
    pub(crate) fn unsupported(&mut self, keyword: &str, pointer: &str) -> Result<(), CompileError> {
        let error = CompileError::Unsupported {
            keyword: keyword.to_owned(),
            pointer: pointer.to_owned(),
        };
        match &mut self.skipped {
            Some(skipped) => {
                skipped.push(error);
                Ok(())
            }
            None => Err(error),
        }
    }

    fn schema(
        &mut self,
        schema: &'s Value,
        pointer: &str,
        nesting: usize,
    ) -> Result<Kinds, CompileError> {
        let map = match schema {
            Value::Bool(true) => return Ok(anything()),
            Value::Bool(false) => return Ok(never()),
            Value::Object(map) => map,
            _ => return Err(invalid(pointer, "a schema must be an object or a boolean")),
        };
        if nesting > MAX_NESTING {
            return Err(CompileError::TooLarge {
                what: "nested combinators",
                limit: MAX_NESTING,
            });
        }
        let mut conjuncts = Vec::new();
        if let Some(reference) = map.get("$ref") {
            conjuncts.push(self.reference(reference, pointer)?);
            if self.reference_stands_alone {
                return Ok(all(conjuncts));
            }
        }
        self.check_supported(map, pointer)?;
        conjuncts.push(self.own_keywords(map, pointer)?);
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let Some(branches) = map.get(keyword) else {
                continue;
            };
            let branches = branches
                .as_array()
                .filter(|branches| !branches.is_empty())
                .ok_or_else(|| {
                    invalid(pointer, &format!("'{keyword}' must be a non-empty array"))
                })?;
            let mut compiled = Vec::with_capacity(branches.len());
            for (index, branch) in branches.iter().enumerate() {
                let at = format!("{pointer}/{keyword}/{index}");
                compiled.push(self.schema(branch, &at, nesting + 1)?);
            }
            conjuncts.push(match keyword {
                "allOf" => all(compiled),
                "anyOf" => self.any(compiled)?,
                _ => combine(compiled, Expr::one),
            });
        }
        Ok(all(conjuncts))
    }

    /// Joins alternatives. Sets of strings become one set: the most common union by far.
    pub(crate) fn any(&mut self, branches: Vec<Kinds>) -> Result<Kinds, CompileError> {
        let mut by_kind: [Vec<Expr>; 7] = std::array::from_fn(|_| Vec::new());
        let mut texts = Vec::new();
        for branch in branches {
            for (kind, expr) in KINDS.into_iter().zip(branch) {
                match (kind, &expr) {
                    (_, Expr::Always(false)) => {}
                    (Kind::String, Expr::Atom(atom)) if self.only_literals(*atom) => {
                        texts.push(*atom);
                    }
                    _ => by_kind[kind as usize].push(expr),
                }
            }
        }
        if texts.len() == 1 {
            by_kind[Kind::String as usize].push(Expr::Atom(texts[0]));
        } else if !texts.is_empty() {
            let merged: Vec<String> = texts
                .iter()
                .filter_map(|&atom| self.parts.strings[atom as usize].literals.as_ref())
                .flat_map(|set| (0..set.0.len()).map(|at| set.text(at).to_owned()))
                .collect();
            let atom = self.literals(merged.iter().map(String::as_str));
            by_kind[Kind::String as usize].push(atom);
        }
        if by_kind.iter().any(|parts| parts.len() > MAX_ALTERNATIVES) {
            return Err(CompileError::TooLarge {
                what: "alternatives for one value",
                limit: MAX_ALTERNATIVES,
            });
        }
        Ok(by_kind.map(Expr::any))
    }

    fn check_supported(
        &mut self,
        map: &Map<String, Value>,
        pointer: &str,
    ) -> Result<(), CompileError> {
        for keyword in UNSUPPORTED {
            match map.get(keyword) {
                None => {}
                // `additionalItems` beside a single `items` schema, and empty maps, say nothing.
                Some(_)
                    if keyword == "additionalItems"
                        && !map.get("items").is_some_and(Value::is_array) => {}
                Some(Value::Object(value))
                    if value.is_empty() && keyword == "patternProperties" => {}
                Some(_) => self.unsupported(keyword, pointer)?,
            }
        }
        if map.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.unsupported("uniqueItems", pointer)?;
        }
        if map.contains_key("prefixItems") && !self.modern {
            self.unsupported("prefixItems", pointer)?;
        }
        if self.reference_stands_alone {
            for keyword in ["contentEncoding", "contentMediaType"] {
                if map.contains_key(keyword) {
                    self.unsupported(keyword, pointer)?;
                }
            }
        }
        if !pointer.is_empty() && map.get("$id").is_some_and(Value::is_string) {
            self.unsupported("$id", pointer)?;
        }
        Ok(())
    }

    fn reference(&mut self, reference: &Value, pointer: &str) -> Result<Kinds, CompileError> {
        let text = reference
            .as_str()
            .ok_or_else(|| invalid(pointer, "'$ref' must be a string"))?;
        let target = match text.strip_prefix('#') {
            Some("") => Some(String::new()),
            Some(local) if local.starts_with('/') => percent_decode(local),
            _ => None,
        };
        let Some(target) = target else {
            // Names of anchors and other documents: never fetched, not followed.
            self.unsupported("$ref", pointer)?;
            return Ok(anything());
        };
        let root = self.root;
        let schema = root.pointer(&target).ok_or_else(|| {
            invalid(
                pointer,
                &format!("the reference '{text}' points to nothing in the schema"),
            )
        })?;
        let node = self.place(target, schema)?;
        Ok(match node {
            ANY => anything(),
            NEVER => never(),
            node => std::array::from_fn(|_| Expr::Ref(node)),
        })
    }

    /// The table of a pattern, within the budgets.
    pub(crate) fn table(&mut self, pattern: &str) -> Option<Arc<Dfa>> {
        if let Some(table) = self.tables.get(pattern) {
            return table.clone();
        }
        if self.table_bytes > MAX_TABLE_BYTES
            || self.table_work > MAX_TABLE_WORK
            || self.failed_tables >= MAX_FAILED_TABLES
        {
            return None;
        }
        let table = Dfa::new(pattern).map(Arc::new);
        match &table {
            Some(table) => {
                self.table_bytes += table.size();
                self.table_work += table.work;
            }
            None => self.failed_tables += 1,
        }
        self.tables.insert(pattern.to_owned(), table.clone());
        table
    }

    fn own_keywords(
        &mut self,
        map: &'s Map<String, Value>,
        pointer: &str,
    ) -> Result<Kinds, CompileError> {
        keywords::own_keywords(self, map, pointer)
    }

    pub(crate) fn is_modern(&self) -> bool {
        self.modern
    }
}

pub(crate) fn invalid(pointer: &str, message: &str) -> CompileError {
    CompileError::Invalid {
        pointer: pointer.to_owned(),
        message: message.to_owned(),
    }
}

pub(crate) fn all(parts: Vec<Kinds>) -> Kinds {
    combine(parts, Expr::all)
}

fn combine(parts: Vec<Kinds>, join: impl Fn(Vec<Expr>) -> Expr) -> Kinds {
    let mut by_kind: [Vec<Expr>; 7] = std::array::from_fn(|_| Vec::new());
    for part in parts {
        for (exprs, expr) in by_kind.iter_mut().zip(part) {
            exprs.push(expr);
        }
    }
    by_kind.map(join)
}
