//! What judging a value costs, known before anybody judges it.
//!
//! The evaluator of [`verdict`](crate::validator) remembers nothing: a definition that two branches
//! refer to is applied twice, and twenty-eight such definitions in a row 2^28 times. [`Guard`]
//! counts these applications without making them: a pair of schema and value that a reference
//! leads to is counted once and remembered. So counting is never more work than the budget, and
//! what is over the budget is not judged at all.

mod survey;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{keyword::Keyword, reference::percent_decoded};

/// Applications of a schema to a value that one verdict may take: a fraction of a second.
pub(crate) const BUDGET: u64 = 1_000_000;
/// Schemas that may be written out for the `unevaluated…` keywords of one schema.
pub(crate) const COMPILED: u64 = 100_000;
/// Applications inside one another. The evaluator uses the stack as this module does.
const MAX_DEPTH: usize = 600;

/// A schema and what its references need.
#[derive(Debug)]
pub(crate) struct Guard {
    schema: Value,
    /// The schema's own `$id`, without its fragment.
    id: Option<String>,
    anchors: HashMap<String, String>,
    /// Where an `unevaluated…` keyword stands.
    unevaluated: Vec<String>,
    /// Values in the schema.
    size: u64,
    /// No reference anywhere: each part meets each value at most once.
    plain: bool,
    /// References cannot be followed here: they are relative to something, or change with the
    /// way that led to them.
    opaque: bool,
}

impl Guard {
    pub(crate) fn new(schema: &Value) -> Self {
        let id = schema.get("$id").and_then(Value::as_str);
        let mut guard = Self {
            schema: schema.clone(),
            id: id.map(|id| id.split('#').next().unwrap_or_default().to_owned()),
            anchors: HashMap::new(),
            unevaluated: Vec::new(),
            size: 0,
            plain: true,
            opaque: false,
        };
        survey::survey(&mut guard, schema);
        guard
    }

    /// Whether the evaluator can be built. Around an `unevaluated…` keyword it writes out all that
    /// applies in place, as often as references lead there.
    pub(crate) fn compiles(&self) -> bool {
        let mut left = COMPILED;
        self.unevaluated.iter().all(|pointer| {
            let cost = self.cost(pointer, &NAME);
            cost.and_then(|cost| left.checked_sub(cost))
                .is_some_and(|rest| {
                    left = rest;
                    true
                })
        })
    }

    /// Applications that judging `value` by the schema at `pointer` takes. `None`: over the
    /// budget, or without end.
    pub(crate) fn cost(&self, pointer: &str, value: &Value) -> Option<u64> {
        if self.plain {
            let bound = self.size.saturating_mul(weight(value));
            if bound <= BUDGET {
                return Some(bound);
            }
        } else if self.opaque {
            return None;
        }
        let mut count = Count {
            guard: self,
            known: HashMap::new(),
            work: 0,
            over: false,
        };
        let cost = count.apply(self.schema.pointer(pointer)?, value, 0);
        (!count.over && cost.judge <= BUDGET).then_some(cost.judge)
    }

    fn target(&self, reference: &str) -> Option<&Value> {
        let fragment = match (reference.strip_prefix('#'), &self.id) {
            (Some(fragment), _) => fragment,
            (None, Some(id)) => match reference.strip_prefix(id.as_str())? {
                "" => "",
                rest => rest.strip_prefix('#')?,
            },
            (None, None) => return None,
        };
        let fragment = percent_decoded(fragment)?;
        match self.anchors.get(fragment.as_ref()) {
            Some(pointer) => self.schema.pointer(pointer),
            None => self.schema.pointer(&fragment),
        }
    }
}

/// Values in a value.
fn weight(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<u64>(),
        Value::Object(members) => 1 + members.values().map(|value| 1 + weight(value)).sum::<u64>(),
        _ => 1,
    }
}

/// What one schema and one value cost.
#[derive(Clone, Copy)]
struct Cost {
    /// To judge the value.
    judge: u64,
    /// To tell an `unevaluated…` keyword around the schema which members it looked at: the
    /// schemas that apply in place are judged once more for that.
    mark: u64,
}

const ENDLESS: Cost = Cost {
    judge: u64::MAX,
    mark: u64::MAX,
};

impl Cost {
    fn judged(&mut self, cost: Cost) {
        self.judge = self.judge.saturating_add(cost.judge);
    }

    fn in_place(&mut self, cost: Cost) {
        self.judged(cost);
        let both = cost.judge.saturating_add(cost.mark);
        self.mark = self.mark.saturating_add(both);
    }

    fn looked_at(&mut self, cost: Cost) {
        self.judged(cost);
        self.mark = self.mark.saturating_add(cost.judge);
    }
}

/// A name, as `propertyNames` sees it: no value below it, as in every string.
static NAME: Value = Value::Null;

struct Count<'g> {
    guard: &'g Guard,
    /// What a reference has led to. Without references no pair is met twice.
    known: HashMap<(*const Value, *const Value), Cost>,
    work: u64,
    over: bool,
}

impl<'g> Count<'g> {
    fn apply(&mut self, schema: &'g Value, value: &Value, depth: usize) -> Cost {
        self.work += 1;
        self.over |= self.work > BUDGET || depth > MAX_DEPTH;
        if self.over {
            return ENDLESS;
        }
        let mut cost = Cost { judge: 1, mark: 1 };
        let Value::Object(map) = schema else {
            return cost;
        };
        let mut unevaluated = false;
        for (key, below) in map {
            match Keyword::of(key) {
                Some(Keyword::Ref) => cost.in_place(self.follow(below, value, depth)),
                Some(keyword) => {
                    unevaluated |= matches!(
                        keyword,
                        Keyword::UnevaluatedItems | Keyword::UnevaluatedProperties
                    );
                    self.keyword(keyword, map, below, value, depth, &mut cost);
                }
                None => {}
            }
            if self.over {
                return ENDLESS;
            }
        }
        if unevaluated {
            cost.judge = cost.judge.saturating_add(cost.mark);
        }
        // A sum only grows: what is over the budget here is so at the root.
        self.over |= cost.judge > BUDGET;
        cost
    }

    fn follow(&mut self, reference: &'g Value, value: &Value, depth: usize) -> Cost {
        let Some(reference) = reference.as_str() else {
            return Cost { judge: 1, mark: 1 };
        };
        let guard = self.guard;
        let Some(target) = guard.target(reference) else {
            // The published metaschemas are known to the evaluator, and do not branch.
            if reference.contains("://json-schema.org/") {
                let judge = weight(value).saturating_mul(64);
                return Cost { judge, mark: judge };
            }
            self.over = true;
            return ENDLESS;
        };
        let pair = (std::ptr::from_ref(target), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&pair) {
            return *known;
        }
        // Met again before it is known, it leads back to itself with the same value.
        self.known.insert(pair, ENDLESS);
        let cost = self.apply(target, value, depth + 1);
        self.known.insert(pair, cost);
        cost
    }

    fn keyword(
        &mut self,
        keyword: Keyword,
        map: &'g Map<String, Value>,
        below: &'g Value,
        value: &Value,
        depth: usize,
        cost: &mut Cost,
    ) {
        let depth = depth + 1;
        match keyword {
            Keyword::AllOf | Keyword::AnyOf | Keyword::OneOf => {
                for branch in below.as_array().into_iter().flatten() {
                    cost.in_place(self.apply(branch, value, depth));
                }
            }
            Keyword::Not | Keyword::If | Keyword::Then | Keyword::Else => {
                cost.in_place(self.apply(below, value, depth));
            }
            Keyword::DependentSchemas | Keyword::Dependencies => {
                for branch in below.as_object().into_iter().flat_map(Map::values) {
                    cost.in_place(self.apply(branch, value, depth));
                }
            }
            _ => match value {
                Value::Object(members) => self.members(keyword, map, below, members, depth, cost),
                Value::Array(items) => self.items(keyword, map, below, items, depth, cost),
                _ => {}
            },
        }
    }

    fn members(
        &mut self,
        keyword: Keyword,
        map: &'g Map<String, Value>,
        below: &'g Value,
        members: &Map<String, Value>,
        depth: usize,
        cost: &mut Cost,
    ) {
        let declared = map.get("properties").and_then(Value::as_object);
        for (name, member) in members {
            match keyword {
                Keyword::Properties => {
                    if let Some(schema) = below.get(name) {
                        cost.judged(self.apply(schema, member, depth));
                    }
                }
                Keyword::PatternProperties => {
                    for schema in below.as_object().into_iter().flat_map(Map::values) {
                        cost.judged(self.apply(schema, member, depth));
                    }
                }
                Keyword::AdditionalProperties => {
                    if !declared.is_some_and(|declared| declared.contains_key(name)) {
                        cost.judged(self.apply(below, member, depth));
                    }
                }
                Keyword::UnevaluatedProperties => {
                    cost.looked_at(self.apply(below, member, depth));
                }
                Keyword::PropertyNames => cost.judged(self.apply(below, &NAME, depth)),
                _ => return,
            }
            if self.over {
                return;
            }
        }
    }

    fn items(
        &mut self,
        keyword: Keyword,
        map: &'g Map<String, Value>,
        below: &'g Value,
        items: &[Value],
        depth: usize,
        cost: &mut Cost,
    ) {
        let listed = |key: &str| map.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let from = match keyword {
            Keyword::Items => listed("prefixItems"),
            Keyword::AdditionalItems => listed("items"),
            _ => 0,
        };
        for (index, item) in items.iter().enumerate().skip(from) {
            match (keyword, below) {
                (Keyword::Items | Keyword::PrefixItems, Value::Array(schemas)) => {
                    let Some(schema) = schemas.get(index) else {
                        return;
                    };
                    cost.judged(self.apply(schema, item, depth));
                }
                (Keyword::Items | Keyword::AdditionalItems, _) => {
                    cost.judged(self.apply(below, item, depth));
                }
                (Keyword::Contains | Keyword::UnevaluatedItems, _) => {
                    cost.looked_at(self.apply(below, item, depth));
                }
                _ => return,
            }
            if self.over {
                return;
            }
        }
    }
}
