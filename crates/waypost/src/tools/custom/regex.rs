//! Inputs that match a regular expression, whole. Syntax and meaning are those
//! of Rust's `regex` crate, which the API names.

use std::sync::Arc;

use regex::Regex;
use regex_automata::{
    Anchored, Input,
    hybrid::{
        LazyStateID,
        dfa::{Cache, Config, DFA},
    },
    nfa::thompson,
};

use super::{bounds, too_long};

/// Compiled size, in bytes.
const MAX_COMPILED: usize = 1024 * 1024;
/// States of one input that are kept; thrown away and made again beyond it.
const MAX_CACHE: usize = 512 * 1024;

/// A compiled expression.
pub struct Pattern(Arc<Inner>);

struct Inner {
    /// Steps byte by byte; `None` where the expression needs more than that.
    steps: Option<DFA>,
    whole: Regex,
}

/// An input as it comes.
pub struct Progress {
    pattern: Arc<Inner>,
    cache: Option<Cache>,
    /// `None` where stepping had to be given up: then the whole is judged.
    state: Option<LazyStateID>,
    read: usize,
}

impl Pattern {
    /// Compiles a definition; the error is a sentence about it.
    pub fn new(definition: &str) -> Result<Self, String> {
        too_long(definition)?;
        bounds::classes("regular expression", definition)?;
        let build = |expression: &str| {
            regex::RegexBuilder::new(expression)
                .size_limit(MAX_COMPILED)
                .build()
        };
        // On its own first: `a)(b` would slip through the group around it.
        build(definition)
            .and_then(|_| build(&format!(r"\A(?:{definition})\z")))
            .map(|whole| {
                let steps = DFA::builder()
                    .configure(
                        Config::new()
                            .cache_capacity(MAX_CACHE)
                            .skip_cache_capacity_check(true)
                            .unicode_word_boundary(true),
                    )
                    .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_COMPILED)))
                    .build(&format!(r"(?:{definition})\z"))
                    .ok();
                Self(Arc::new(Inner { steps, whole }))
            })
            .map_err(|error| {
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default();
                let what = what.trim_start_matches("error: ");
                format!("The regular expression is not valid: {what}.")
            })
    }

    /// Begins to check an input.
    pub fn begin(&self) -> Progress {
        let mut cache = self.0.steps.as_ref().map(DFA::create_cache);
        let state = self
            .0
            .steps
            .as_ref()
            .zip(cache.as_mut())
            .and_then(|(dfa, cache)| {
                let input = Input::new("").anchored(Anchored::Yes);
                dfa.start_state_forward(cache, &input).ok()
            });
        Progress {
            pattern: self.0.clone(),
            cache,
            state,
            read: 0,
        }
    }
}

impl Progress {
    /// Takes the next bytes; the error is how many of the input were good.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let (Some(dfa), Some(cache)) = (&self.pattern.steps, &mut self.cache) else {
            return Ok(());
        };
        for byte in bytes {
            let Some(state) = self.state else {
                return Ok(());
            };
            match dfa.next_state(cache, state, *byte) {
                Ok(next) if next.is_dead() => return Err(self.read),
                Ok(next) if !next.is_quit() => self.state = Some(next),
                _ => self.state = None,
            }
            self.read += 1;
        }
        Ok(())
    }

    /// Whether the whole input matches.
    pub fn is_complete(&self, input: &str) -> bool {
        self.pattern.whole.is_match(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_bad(pattern: &str, input: &str) -> Option<usize> {
        let mut progress = Pattern::new(pattern).expect("a pattern").begin();
        input.bytes().find_map(|byte| progress.push(&[byte]).err())
    }

    fn whole(pattern: &str, input: &str) -> bool {
        let mut progress = Pattern::new(pattern).expect("a pattern").begin();
        progress.push(input.as_bytes()).is_ok() && progress.is_complete(input)
    }

    #[test]
    fn the_whole_input_has_to_match() {
        assert!(whole(r"\d{4}-\d\d", "2026-11"));
        assert!(!whole(r"\d{4}-\d\d", "2026-1"));
        assert!(!whole(r"\d{4}-\d\d", "x2026-11"));
        assert!(whole("a|ab", "ab"), "no alternative is preferred");
        assert!(whole(r"(?i)select .*", "SELECT é"));
        assert!(whole(r"\bé\b", "é"), "judged at the end");
        assert!(!whole(r"^a$", "a\n"));
    }

    #[test]
    fn the_first_byte_that_cannot_be_is_named() {
        assert_eq!(first_bad(r"\d{4}-\d\d", "2026/11"), Some(4));
        assert_eq!(first_bad("a|ab", "abc"), Some(2));
        assert_eq!(first_bad("[a-z]+", "é"), Some(0));
        assert_eq!(first_bad(".*", "a\n"), Some(1));
        assert_eq!(first_bad("(ab)*", "aba"), None);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_sentence() {
        for bad in ["(", "a)(b", "(?=x)", r"(a)\1", "a{1000}{1000}{1000}"] {
            let error = Pattern::new(bad).err().expect(bad);
            assert!(error.ends_with('.'), "{bad}: {error}");
        }
        assert!(Pattern::new(&"a".repeat(100_000)).is_err());
    }
}
