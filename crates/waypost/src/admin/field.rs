//! Checks of single fields, the same for every resource.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use waypost_engine::Millis;
use waypost_identity::Scope;

use crate::{clock, http::ApiError};

/// Names, in characters.
pub(super) const MAX_NAME: usize = 256;
/// Descriptions, in characters.
pub(super) const MAX_DESCRIPTION: usize = 2048;
/// The longest that a key can be made for: ten years.
const MAX_EXPIRY: Duration = Duration::from_hours(24 * 3650);

/// A text of 1 to `max` characters without control characters.
pub(super) fn text(param: &'static str, value: &str, max: usize) -> Result<(), ApiError> {
    let problem = if value.trim().is_empty() {
        "it must not be empty".to_owned()
    } else if value.chars().count() > max {
        format!("it must have at most {max} characters")
    } else if value.chars().any(char::is_control) {
        "it must not hold control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(format!("Invalid '{param}': {problem}."))
        .param(param)
        .code("invalid_value"))
}

/// [`text`], where there is one.
pub(super) fn optional_text(
    param: &'static str,
    value: Option<&str>,
    max: usize,
) -> Result<(), ApiError> {
    value.map_or(Ok(()), |value| text(param, value, max))
}

/// `expires_in_seconds`, as the moment itself.
pub(super) fn expires_at(seconds: Option<i64>) -> Result<Option<Millis>, ApiError> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    let max = MAX_EXPIRY.as_secs() as i64;
    if !(1..=max).contains(&seconds) {
        return Err(ApiError::invalid(format!(
            "Invalid 'expires_in_seconds': it must be 1 to {max}."
        ))
        .param("expires_in_seconds")
        .code("invalid_value"));
    }
    Ok(Some(clock::now() + seconds * 1000))
}

/// A key's `scopes`: none, or an empty list, restrict nothing.
pub(super) fn scopes(scopes: Option<Vec<String>>) -> Result<Option<Vec<String>>, ApiError> {
    let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) else {
        return Ok(None);
    };
    let mut known = Vec::new();
    for (index, name) in scopes.iter().enumerate() {
        let scope = Scope::parse(name).map_err(|problem| {
            ApiError::invalid(problem.to_string())
                .param(format!("scopes[{index}]"))
                .code("invalid_value")
        })?;
        let name = scope.name().to_owned();
        if !known.contains(&name) {
            known.push(name);
        }
    }
    Ok(Some(known))
}

/// For patches: absent is `None`, null is `Some(None)`. Use with
/// `#[serde(default, deserialize_with = "field::nullable")]`.
pub(super) fn nullable<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// For patches whose field cannot be cleared: absent is `None`, null an error.
pub(super) fn not_null<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}
