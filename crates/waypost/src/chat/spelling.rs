//! Keys that differ from the API's by case alone.
//!
//! Some model servers find keys without regard to case (Go's `encoding/json`,
//! so Ollama): to them `Tools` is `tools`, and the later of the two counts.
//! What was checked here would not be what is done there, so such keys are
//! refused, wherever something is decided by the key that they look like.

use crate::http::error::ApiError;

/// The longest key that is looked at: no known one is near it.
const MAX_KEY: usize = 64;

/// The known key that `key` differs from by case alone. Known ones are of lower
/// case letters and underscores.
pub fn meant<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if key.len() > MAX_KEY || key.bytes().all(is_plain) {
        return None;
    }
    let is_meant = |known: &&&str| folded(key).eq(known.chars());
    known.iter().find(is_meant).copied()
}

/// `path` ends in a key, and `known` is the one that it looks like.
pub fn refusal(path: &str, known: &str) -> ApiError {
    let path: String = path.escape_debug().collect();
    ApiError::invalid(format!(
        "Unknown parameter: '{path}'. Did you mean '{known}'? The case of letters matters: some \
         model servers would take one for the other."
    ))
    .param(path)
    .code("unknown_parameter")
}

/// Beside the capitals two characters fold to ASCII letters (Unicode's
/// `CaseFolding.txt`), and Go folds them as well.
fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_case_makes_a_key_meant() {
        let known = &["tools", "tool_choice"];
        for key in ["Tools", "TOOLS", "tool\u{17f}", "tOOls"] {
            assert_eq!(meant(key, known), Some("tools"), "{key}");
        }
        assert_eq!(meant("Tool_Choice", known), Some("tool_choice"));
        for key in ["tools", "tool", "toolChoice", "tool-choice", " tools", ""] {
            assert_eq!(meant(key, known), None, "{key}");
        }
        assert_eq!(meant(&"T".repeat(100_000), known), None);
    }
}
