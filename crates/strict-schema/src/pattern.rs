//! Patterns: what linear-time regular expressions can say, and rewriting them
//! for engines that know less.

/// Parses a pattern as the engine will read it, without compiling it: counted
/// repetitions stay counters, so a small text costs little. The error is a
/// clause that can follow a colon.
pub(crate) fn parse(pattern: &str) -> Result<regex_syntax::hir::Hir, String> {
    regex_syntax::ParserBuilder::new()
        .nest_limit(100)
        .build()
        .parse(pattern)
        .map_err(|error| match error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            _ => "it is not a regular expression".into(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_around_and_back_references_are_named() {
        assert!(parse(r"^[a-z]+(-\d{2,4})*$").is_ok());
        assert!(parse(r"\/path\/\u00e9").is_ok());
        for (pattern, why) in [
            ("(?=a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            ("(", "group"),
        ] {
            let error = parse(pattern).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }

    #[test]
    fn counted_repetitions_are_not_written_out() {
        let started = std::time::Instant::now();
        let _ = parse("((((a{1000}){1000}){1000}){1000}){1000}");
        assert!(started.elapsed().as_millis() < 200);
    }
}
