//! Token counts of model servers.

use crate::model::Usage;

use serde_json::Value;

use super::lenient::number_of;

/// Counts as Chat Completions has them.
pub fn of_chat(usage: &Value) -> Option<Usage> {
    read(
        usage,
        ["prompt_tokens", "completion_tokens"],
        ["prompt_tokens_details", "completion_tokens_details"],
    )
}

/// Counts as the Responses API has them.
pub fn of_responses(usage: &Value) -> Option<Usage> {
    read(
        usage,
        ["input_tokens", "output_tokens"],
        ["input_tokens_details", "output_tokens_details"],
    )
}

/// Reads counts of input and output, with their details, under the API's names
/// for them. `None` where nothing was counted: what nobody reported is never
/// made up.
fn read(usage: &Value, counts: [&str; 2], details: [&str; 2]) -> Option<Usage> {
    let count = |name: &str| number_of(&usage[name]);
    let detail = |of: &str, name: &str| number_of(&usage[of][name]).unwrap_or_default();
    let (input, output) = (count(counts[0]), count(counts[1]));
    if input.is_none() && output.is_none() {
        return None;
    }
    Some(Usage {
        input_tokens: input.unwrap_or_default(),
        cached_tokens: detail(details[0], "cached_tokens"),
        output_tokens: output.unwrap_or_default(),
        reasoning_tokens: detail(details[1], "reasoning_tokens"),
        reported: true,
    })
}
