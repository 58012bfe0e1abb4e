use serde_json::{Map, Value};

use super::rewrite::Rewriter;
use crate::keyword::KeywordSet;
use crate::path::At;

pub(super) fn applies(
    _rewriter: &Rewriter<'_>,
    _map: &Map<String, Value>,
    _present: KeywordSet,
    _at: &At<'_>,
) -> bool {
    false
}

pub(super) fn respell(_r: &mut Rewriter<'_>, _map: &mut Map<String, Value>, _at: &At<'_>) {}

impl Rewriter<'_> {
    pub(super) fn root_reference(&mut self, _work: &mut Value) {}
}
