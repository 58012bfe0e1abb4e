//! Inputs by a grammar in llguidance's dialect of Lark: the engine that the
//! API itself names.
//!
//! It runs over single bytes, without a tokenizer, as a validator. Malformed
//! grammars can make it panic (llguidance #228), and any grammar is a stranger's
//! program: every call into it is caught and has limits.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
    time::{Duration, Instant},
};

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use toktrie::ApproximateTokEnv;

use super::too_long;

/// llguidance's defaults are 250,000 lexer states of up to 2 kB: half a
/// gigabyte for one grammar. The others are its own defaults, said here so that
/// they stay.
const MAX_LEXER_STATES: usize = 25_000;
const MAX_ITEMS_IN_ROW: usize = 2_000;
const INITIAL_LEXER_FUEL: u64 = 1_000_000;
const STEP_LEXER_FUEL: u64 = 200_000;
const STEP_MAX_ITEMS: usize = 50_000;
const MAX_GRAMMAR_SIZE: usize = 500_000;
/// The engine's limits are for each byte. An ambiguous grammar can reach them at
/// every byte, so one input gets so much time, and is looked at in such pieces.
const MAX_TIME: Duration = Duration::from_millis(500);
const PIECE: usize = 16;
/// Most of the engine's words that are passed on, in characters.
const MAX_MESSAGE: usize = 300;

static FACTORY: LazyLock<Option<ParserFactory>> = LazyLock::new(|| {
    let env = ApproximateTokEnv::single_byte_env();
    let mut factory =
        ParserFactory::new(&env, toktrie::InferenceCapabilities::default(), &[]).ok()?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.max_items_in_row = MAX_ITEMS_IN_ROW;
    limits.initial_lexer_fuel = INITIAL_LEXER_FUEL;
    limits.step_lexer_fuel = STEP_LEXER_FUEL;
    limits.step_max_items = STEP_MAX_ITEMS;
    limits.max_lexer_states = MAX_LEXER_STATES;
    limits.max_grammar_size = MAX_GRAMMAR_SIZE;
    limits.precompute_large_lexemes = false;
    limits.verbose_errors = false;
    Some(factory)
});

/// Whether a definition can be used; the error is a sentence about it. May
/// take long: not for a thread that others wait for.
pub fn check_lark(definition: &str) -> Result<(), String> {
    Lark::new(definition).map(|_| ())
}

/// A compiled grammar.
pub struct Lark(Matcher);

/// An input as it comes.
pub struct Progress {
    matcher: Matcher,
    read: usize,
    /// Time that checking took so far.
    spent: Duration,
}

impl Lark {
    /// Compiles a definition; the error is a sentence about it.
    pub fn new(definition: &str) -> Result<Self, String> {
        too_long(definition)?;
        let factory = FACTORY
            .as_ref()
            .ok_or("Grammars are not available on this server.")?;
        let compile = || {
            let grammar = TopLevelGrammar::from_lark(definition.to_owned());
            let mut matcher = Matcher::new(factory.create_parser(grammar));
            // The first step is part of the cost and of what can go wrong.
            let failed = matcher.is_accepting().err();
            matcher
                .get_error()
                .or(failed.map(|e| e.to_string()))
                .map_or(Ok(matcher), Err)
        };
        match catch_unwind(AssertUnwindSafe(compile)) {
            Ok(Ok(matcher)) => Ok(Self(matcher)),
            Ok(Err(error)) => Err(sentence(&error)),
            Err(_panic) => Err("The Lark grammar is not valid: it cannot be compiled.".to_owned()),
        }
    }

    /// Begins to check an input.
    pub fn begin(&self) -> Progress {
        Progress {
            matcher: self.0.clone(),
            read: 0,
            spent: Duration::ZERO,
        }
    }
}

impl Progress {
    /// Takes the next bytes; the error is how many of the input were good.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), usize> {
        for piece in bytes.chunks(PIECE) {
            let begun = Instant::now();
            self.push_piece(piece)?;
            self.spent += begun.elapsed();
            if self.spent > MAX_TIME {
                // What cannot be checked is not valid.
                return Err(self.read);
            }
        }
        Ok(())
    }

    fn push_piece(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let tokens: Vec<u32> = bytes.iter().map(|byte| u32::from(*byte)).collect();
        if self.matcher.is_stopped() && !tokens.is_empty() {
            return Err(self.read);
        }
        let consume = || self.matcher.try_consume_tokens(&tokens);
        let taken = catch_unwind(AssertUnwindSafe(consume));
        match taken {
            Ok(Ok(taken)) if taken == tokens.len() => {
                self.read += taken;
                Ok(())
            }
            Ok(Ok(taken)) => Err(self.read + taken),
            // Over a limit.
            Ok(Err(_)) | Err(_) => Err(self.read),
        }
    }

    /// Whether what was pushed is a whole input.
    pub fn is_complete(&mut self) -> bool {
        let accepting = || self.matcher.is_accepting();
        matches!(catch_unwind(AssertUnwindSafe(accepting)), Ok(Ok(true)))
            || (self.matcher.is_stopped() && !self.matcher.is_error())
    }
}

/// The engine's words: the first line, without its own prefixes.
fn sentence(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    if line.starts_with("panic") {
        return "The Lark grammar is not valid: it cannot be compiled.".to_owned();
    }
    let words: String = line
        .trim()
        .trim_end_matches('.')
        .chars()
        .take(MAX_MESSAGE)
        .collect();
    format!("The Lark grammar is not valid: {words}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = r#"
start: term ("+" term)*
term: NUMBER | "(" start ")"
NUMBER: /[0-9]+/
"#;

    fn run(grammar: &str, input: &str) -> Result<bool, usize> {
        let mut progress = Lark::new(grammar).expect("a grammar").begin();
        for byte in input.bytes() {
            progress.push(&[byte])?;
        }
        Ok(progress.is_complete())
    }

    #[test]
    fn an_ambiguous_grammar_takes_no_more_than_its_time() {
        let lark = Lark::new("start: x+\nx: \"a\" | \"b\" | x x").expect("a grammar");
        let mut progress = lark.begin();
        // What is taken depends on the machine; without a limit it would be all
        // of it, in a minute.
        let taken = progress.push("abab".repeat(4096).as_bytes());
        assert!(taken.is_err() || progress.spent <= MAX_TIME);
    }

    #[test]
    fn inputs_are_judged_byte_by_byte() {
        assert_eq!(run(SUM, "1+(2+30)"), Ok(true));
        assert_eq!(run(SUM, "1+(2"), Ok(false));
        assert_eq!(run(SUM, "1+*"), Err(2));
        assert_eq!(run("start: \"ab\"", "ab"), Ok(true));
        assert_eq!(run("start: \"ab\"", "abc"), Err(2));
        assert_eq!(run("start: /[^x]+/", "é漢"), Ok(true));
        // The same grammar serves many inputs.
        let grammar = Lark::new(SUM).expect("a grammar");
        for _ in 0..3 {
            let mut progress = grammar.begin();
            assert_eq!(progress.push(b"7"), Ok(()));
            assert!(progress.is_complete());
        }
    }

    #[test]
    fn what_is_no_grammar_is_a_sentence_never_a_panic() {
        for bad in [
            "",
            "start",
            "start: (",
            "start: nothing",
            "start: \"a",
            "start: /(/",
            "start: /(?=x)/",
            "%import other.WORD\nstart: WORD",
            "start: a\na: b\nb: a",
            "start: X\nX: X",
            "%%%",
            "start: \"a\"{100000000}",
            "\u{0}",
        ] {
            match check_lark(bad) {
                Ok(()) => {}
                Err(error) => assert!(error.ends_with('.') && error.len() < 400, "{bad}: {error}"),
            }
        }
        assert!(check_lark("start: (").is_err());
        assert!(check_lark("start: nothing").is_err());
        assert!(check_lark(&format!("start: \"{}\"", "a".repeat(MAX_MESSAGE * 300))).is_err());
    }
}
