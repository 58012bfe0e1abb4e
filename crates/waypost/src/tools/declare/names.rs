//! Names: of tools, namespaces, servers and schemas.

use std::collections::HashSet;

use crate::http::{
    error::ApiError,
    fields::{Fields, missing},
};

/// Characters of a tool's name (API reference of the Responses API).
pub const MAX_TOOL: usize = 128;
/// Characters of a namespace's name.
pub const MAX_NAMESPACE: usize = 64;
/// Characters of the name of a response's format.
pub const MAX_FORMAT: usize = 64;

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// The name in the field `name`: `^[a-zA-Z0-9_-]+$`, 1 to `max` characters.
pub fn required<'a>(fields: &mut Fields<'a>, max: usize) -> Result<&'a str> {
    optional(fields, "name", max)?.ok_or_else(|| missing(&fields.path("name")))
}

/// The same, in any field, where it may be left out.
pub fn optional<'a>(
    fields: &mut Fields<'a>,
    field: &'static str,
    max: usize,
) -> Result<Option<&'a str>> {
    if fields.value(field).is_none() {
        return Ok(None);
    }
    let name = fields.sized_string(field, max)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.bytes().all(fits) {
        return Ok(Some(name));
    }
    let path = fields.path(field);
    Err(ApiError::invalid(format!(
        "Invalid '{path}': string does not match pattern. Expected a string that matches the \
         pattern '^[a-zA-Z0-9_-]+$'."
    ))
    .param(path)
    .code("invalid_value"))
}

/// The names that one list of tools has taken.
#[derive(Debug, Default)]
pub(super) struct Taken<'a>(HashSet<&'a str>);

impl<'a> Taken<'a> {
    /// Takes a name for the tool at `path`.
    pub(super) fn take(&mut self, name: &'a str, path: &str) -> Result<()> {
        if self.0.insert(name) {
            return Ok(());
        }
        Err(ApiError::invalid("Tool names must be unique")
            .param(format!("{path}.name"))
            .code("invalid_value"))
    }
}
