//! JSON pointers (RFC 6901), written step by step.

use std::fmt::Write as _;

/// Appends one reference token, escaped.
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// Appends the index of an array's item.
pub fn push_index(pointer: &mut String, index: usize) {
    let _ = write!(pointer, "/{index}");
}

/// A reference token without its escapes.
pub fn unescaped(token: &str) -> String {
    // In this order: `~01` is `~1`, not `/`.
    token.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_from_a_pointer() {
        let mut pointer = String::new();
        for token in ["", "a/b", "~1", "é"] {
            push_token(&mut pointer, token);
        }
        push_index(&mut pointer, 10);
        assert_eq!(pointer, "//a~1b/~01/é/10");
        let tokens: Vec<String> = pointer.split('/').skip(1).map(unescaped).collect();
        assert_eq!(tokens, ["", "a/b", "~1", "é", "10"]);
    }
}
