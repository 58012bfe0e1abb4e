//! Namespaces: functions and custom tools under one name.

use serde_json::{Value, json};
use strict_schema::Where;

use super::{Declarer, Result, Source, at_most, kind, names, names::Taken};
use crate::http::{
    error::ApiError,
    fields::{Fields, bad_word, missing},
};

impl Declarer<'_> {
    /// A namespace, whose `type` and `name` have been read.
    pub(super) fn namespace(
        &mut self,
        mut fields: Fields<'_>,
        name: &str,
        at: usize,
        source: Source<'_>,
    ) -> Result<Value> {
        let description = fields.required_string("description")?;
        let path = fields.path("tools");
        let tools = fields.array("tools")?.ok_or_else(|| missing(&path))?;
        if tools.is_empty() {
            return Err(ApiError::invalid(format!(
                "Invalid '{path}': empty array. Expected an array with minimum length 1, but got \
                 an empty array instead."
            ))
            .param(path)
            .code("empty_array"));
        }
        at_most(&path, tools.len(), super::MAX_TOOLS)?;
        fields.end()?;
        let mut taken = Taken::default();
        let tools = tools
            .iter()
            .enumerate()
            .map(|(inner, tool)| {
                let path = format!("{path}[{inner}]");
                let mut fields = Fields::new(tool, &path)?;
                let kind = kind(&mut fields)?;
                if !matches!(kind, "function" | "custom") {
                    return Err(bad_word(
                        &fields.path("type"),
                        kind,
                        &["function", "custom"],
                    ));
                }
                let own = names::required(&mut fields, names::MAX_TOOL)?;
                taken.take(own, &path)?;
                if kind == "custom" {
                    return self.custom(fields, own);
                }
                let place = source.place(Where::ResponsesNamespaceTool {
                    index: at,
                    inner,
                    name: own,
                });
                self.function(fields, own, Some(name), place)
            })
            .collect::<Result<Vec<Value>>>()?;
        Ok(json!({
            "type": "namespace",
            "name": name,
            "description": description,
            "tools": tools,
        }))
    }
}
