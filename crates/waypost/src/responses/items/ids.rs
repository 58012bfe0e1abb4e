//! Ids that clients send back: an item's own, and the one that ties a tool's
//! output to its call.
//!
//! Leaving an item's id out is always right; one that is there must look like
//! an id of such an item.

use waypost_engine::id;

use super::Result;
use crate::{
    http::{error::ApiError, fields::Fields},
    model::{ClientTool, MAX_ID},
};

/// How much of a wrong id is shown back.
const MAX_SHOWN: usize = 80;

/// How the ids of a kind of item begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Message,
    Reasoning,
    FunctionCall,
    FunctionCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
    AdditionalTools,
    ClientCall(ClientTool),
    ClientOutput(ClientTool),
}

impl Prefix {
    /// What an id of a client must begin with.
    fn required(self) -> &'static str {
        match self {
            Self::Message => "msg",
            Self::Reasoning => "rs",
            // Outputs carry the prefix of their calls, at least.
            Self::FunctionCall | Self::FunctionCallOutput => "fc",
            Self::CustomToolCall | Self::CustomToolCallOutput => "ctc",
            Self::ToolSearchCall => "tsc",
            Self::ToolSearchOutput => "tso",
            Self::AdditionalTools => "at",
            // Clients answer with ids of their own making.
            Self::ClientCall(_) | Self::ClientOutput(_) => "",
        }
    }

    /// What a new id begins with.
    fn fresh(self) -> &'static str {
        match self {
            Self::Message => "msg_",
            Self::Reasoning => "rs_",
            Self::FunctionCall => "fc_",
            Self::FunctionCallOutput => "fco_",
            Self::CustomToolCall => "ctc_",
            Self::CustomToolCallOutput => "ctco_",
            Self::ToolSearchCall => "tsc_",
            Self::ToolSearchOutput => "tso_",
            Self::AdditionalTools => "at_",
            Self::ClientCall(tool) => tool.call_prefix(),
            Self::ClientOutput(tool) => tool.output_prefix(),
        }
    }
}

/// The client's own id of the item, or a fresh one.
pub(super) fn item_id(fields: &mut Fields<'_>, prefix: Prefix) -> Result<String> {
    let path = fields.path("id");
    let Some(given) = fields.bounded_string("id", MAX_ID)? else {
        return Ok(id::fresh(prefix.fresh()));
    };
    let refused = |what: &str| {
        let shown: String = given
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_SHOWN)
            .collect();
        Err(
            ApiError::invalid(format!("Invalid '{path}': '{shown}'. {what}"))
                .param(path.clone())
                .code("invalid_value"),
        )
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !given.bytes().all(is_plain) {
        return refused(
            "Expected an ID that contains letters, numbers, underscores, or dashes, but this \
             value contained additional characters.",
        );
    }
    if !given.starts_with(prefix.required()) {
        return refused(&format!(
            "Expected an ID that begins with '{}'.",
            prefix.required()
        ));
    }
    Ok(given.to_owned())
}

/// The id that ties a call and its output together: 1 to 64 characters.
pub(super) fn call_id<'a>(fields: &mut Fields<'a>) -> Result<&'a str> {
    fields.sized_string("call_id", MAX_ID)
}

/// The same where it may be left out.
pub(super) fn optional_call_id<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a str>> {
    match fields.value("call_id") {
        Some(_) => call_id(fields).map(Some),
        None => Ok(None),
    }
}
