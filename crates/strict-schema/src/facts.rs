//! One look at a schema node: what it says, by keyword.

use serde_json::{Map, Value};

use crate::keyword::{Keyword, KeywordSet};

/// The keywords of one node. The values that nearly every node is asked for are
/// at hand; the rest is in the map and announced by `present`.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    pub present: KeywordSet,
    /// Keys that are no keyword at all.
    pub unknown: usize,
    pub types: Option<&'a Value>,
    pub properties: Option<&'a Value>,
    pub required: Option<&'a Value>,
    pub additional: Option<&'a Value>,
    pub items: Option<&'a Value>,
    pub any_of: Option<&'a Value>,
    pub values: Option<&'a Value>,
    pub constant: Option<&'a Value>,
    pub reference: Option<&'a Value>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(schema: &'a Map<String, Value>) -> Facts<'a> {
        let mut facts = Facts::default();
        for (key, value) in schema {
            let Some(keyword) = Keyword::of(key) else {
                facts.unknown += 1;
                continue;
            };
            facts.present = facts.present.plus(keyword);
            match keyword {
                Keyword::Type => facts.types = Some(value),
                Keyword::Properties => facts.properties = Some(value),
                Keyword::Required => facts.required = Some(value),
                Keyword::AdditionalProperties => facts.additional = Some(value),
                Keyword::Items => facts.items = Some(value),
                Keyword::AnyOf => facts.any_of = Some(value),
                Keyword::Enum => facts.values = Some(value),
                Keyword::Const => facts.constant = Some(value),
                Keyword::Ref => facts.reference = Some(value),
                _ => {}
            }
        }
        facts
    }
}
