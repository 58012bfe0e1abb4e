//! Schemas of tools and formats, checked by the rules of strict mode, and the
//! one JSON parser that refuses keys given twice.

use serde_json::Value;

use crate::{config::ToolsConfig, http::error::ApiError};

/// Where a schema stands in a request.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    Tool { index: usize, name: &'a str },
    Format { name: &'a str },
}

/// Parses a body whose checks would mean nothing if a parser elsewhere read
/// another of two equal keys.
pub fn parse(body: &[u8]) -> Result<Value, ApiError> {
    crate::http::json::parse(body)
}

/// `strict: true`: all that OpenAI would refuse.
pub fn check_strict(_schema: &Value, _config: &ToolsConfig, _at: At<'_>) -> Result<(), ApiError> {
    Ok(())
}

/// What holds without `strict` too.
pub fn check_root(_schema: &Value, _at: At<'_>) -> Result<(), ApiError> {
    Ok(())
}
