//! Function tools.

use serde_json::{Map, Value, json};

use super::{Declarer, MAX_SCHEMAS, Result, allowed_callers, not_async};
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, wrong_type},
    },
    tools::prepare::Place,
};

impl Declarer<'_> {
    /// A function, whose `type` and `name` have been read. `strict` has three
    /// states: true, false, and "where the schema allows it" when it is left
    /// out or null.
    pub(super) fn function(
        &mut self,
        mut fields: Fields<'_>,
        name: &str,
        namespace: Option<&str>,
        place: Place<'_>,
    ) -> Result<Value> {
        let description = fields.string("description")?;
        let parameters = schema(&mut fields, "parameters")?;
        let strict = fields.bool("strict")?;
        let output_schema = schema(&mut fields, "output_schema")?;
        let defer_loading = fields.bool("defer_loading")?;
        let callers = allowed_callers(&mut fields)?;
        not_async(&mut fields)?;
        fields.end()?;

        let prepared = self.preparer.function(parameters, strict, place)?;
        self.schemas += prepared.bytes;
        if self.schemas > MAX_SCHEMAS {
            return Err(ApiError::invalid(format!(
                "The schemas of one request's tools may have {MAX_SCHEMAS} bytes together."
            ))
            .param("tools")
            .code("string_above_max_length"));
        }
        let label = || match namespace {
            Some(namespace) => format!("{namespace}.{name}"),
            None => name.to_owned(),
        };
        if prepared.fallback.is_some() {
            self.fallbacks.add(label(), prepared.clone());
        }
        if !prepared.restore.is_empty() {
            self.restores.insert(label(), prepared.restore.clone());
        }

        if prepared.narrows
            && let Some(own) = parameters
        {
            self.own_schemas.insert(label(), own.clone());
        }

        let mut tool = Map::with_capacity(8);
        tool.insert("type".into(), json!("function"));
        tool.insert("description".into(), json!(description));
        tool.insert("name".into(), json!(name));
        let resolved = prepared.parameters.as_ref().or(parameters);
        tool.insert("parameters".into(), resolved.cloned().unwrap_or_default());
        tool.insert("strict".into(), json!(prepared.strict));
        tool.insert("output_schema".into(), json!(output_schema));
        if let Some(defer) = defer_loading {
            tool.insert("defer_loading".into(), json!(defer));
        }
        if let Some(callers) = callers {
            tool.insert("allowed_callers".into(), json!(callers));
        }
        Ok(Value::Object(tool))
    }
}

/// A JSON schema, which must be an object where it is given.
pub(super) fn schema<'a>(fields: &mut Fields<'a>, name: &'static str) -> Result<Option<&'a Value>> {
    let path = fields.path(name);
    match fields.value(name) {
        Some(schema) if !schema.is_object() => Err(wrong_type(&path, "an object", schema)),
        schema => Ok(schema),
    }
}
