//! Small text rules shared by the parsers: strict base64url, quoting for operator sentences.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MAX_QUOTED_CHARS: usize = 120;

/// Base64url as RFC 7515 §2 has it: no padding, no white space, and no stray trailing bits (two
/// spellings of one value would make two tokens of one).
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn encode_base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Quotes a value that a token or a document brought, escaped and cut, so that it can neither
/// forge a log line nor fill one.
pub(crate) fn quote(value: &str) -> String {
    let mut quoted = String::from('"');
    quoted.extend(
        value
            .chars()
            .take(MAX_QUOTED_CHARS)
            .flat_map(char::escape_debug),
    );
    quoted.push_str(if value.chars().nth(MAX_QUOTED_CHARS).is_some() {
        "…\""
    } else {
        "\""
    });
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_strict() {
        assert_eq!(decode_base64url("-_8"), Some(vec![0xfb, 0xff]));
        for bad in ["-_8=", "+/8", "-_9", "-_ 8", "-_8\n", "A", "%2D"] {
            assert_eq!(decode_base64url(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn quoted_values_stay_on_one_short_line() {
        assert_eq!(quote("a\nb\"\u{1b}[31m"), r#""a\nb\"\u{1b}[31m""#);
        assert_eq!(
            quote(&"x".repeat(500)).chars().count(),
            MAX_QUOTED_CHARS + 3
        );
    }
}
