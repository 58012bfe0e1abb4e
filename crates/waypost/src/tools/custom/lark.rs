//! Inputs by a grammar in llguidance's dialect of Lark: the engine that the
//! API itself names.
//!
//! It runs over single bytes, without a tokenizer, as a validator. Malformed
//! grammars can make it panic (llguidance #228), and any grammar is a stranger's
//! program: every call into it is caught and has limits.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use llguidance::{ParserFactory, TokenParser, api::TopLevelGrammar, earley::regexvec::LexerStats};
use toktrie::ApproximateTokEnv;

use super::{bounds, too_long};

/// llguidance's default is 250,000. The others are its own defaults, said here
/// so that they stay.
const MAX_LEXER_STATES: usize = 10_000;
const MAX_ITEMS_IN_ROW: usize = 2_000;
const INITIAL_LEXER_FUEL: u64 = 1_000_000;
const STEP_LEXER_FUEL: u64 = 200_000;
const STEP_MAX_ITEMS: usize = 50_000;
const MAX_GRAMMAR_SIZE: usize = 500_000;
/// Bytes that one grammar's automaton may grow to while inputs are read.
const MAX_AUTOMATON: usize = 16 * 1024 * 1024;
/// Items of the parser for one input, of some 16 bytes each.
const MAX_ITEMS: usize = 1_500_000;
/// The engine's limits are for each byte. An ambiguous grammar can reach them at
/// every byte, so one input gets so much time.
const MAX_TIME: Duration = Duration::from_millis(500);
/// Most of the engine's words that are passed on, in characters.
const MAX_MESSAGE: usize = 300;
/// Stack of the thread that compiles. References are followed by recursion, so
/// it is for the deepest grammar that [`bounds`] let pass. Only what is used of
/// it takes memory.
const STACK: usize = 64 * 1024 * 1024;

const NOT_COMPILED: &str = "The Lark grammar is not valid: it cannot be compiled.";

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

/// A compiled grammar.
pub struct Lark {
    /// As it was compiled. It is never used, only cloned.
    compiled: TokenParser,
    /// What inputs are read with: it keeps what the automaton grew to.
    working: Mutex<TokenParser>,
}

/// An input as it comes.
pub struct Progress {
    parser: TokenParser,
    read: usize,
    /// Nothing more can be read: over a limit, or the engine gave up.
    broken: bool,
    /// Time that checking took so far.
    spent: Duration,
}

impl Lark {
    /// Compiles a definition; the error is a sentence about it.
    pub fn new(definition: &str) -> Result<Self, String> {
        too_long(definition)?;
        let compile = || bounds::check(definition).and_then(|()| Self::compile(definition));
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("grammar".to_owned())
                .stack_size(STACK)
                .spawn_scoped(scope, compile)
                .map_err(|_| "The grammar cannot be compiled now.")?;
            thread
                .join()
                .unwrap_or_else(|_panic| Err(NOT_COMPILED.to_owned()))
        })
    }

    fn compile(definition: &str) -> Result<Self, String> {
        let factory = FACTORY
            .as_ref()
            .ok_or("Grammars are not available on this server.")?;
        let compile = || {
            let grammar = TopLevelGrammar::from_lark(definition.to_owned());
            let mut parser = factory.create_parser(grammar).map_err(|e| e.to_string())?;
            if parser.is_fresh() {
                parser.start_without_prompt();
            }
            // The first step is part of the cost and of what can go wrong.
            parser.is_accepting();
            match parser.parser.get_error() {
                Some(error) => Err(error.message()),
                None => Ok(parser),
            }
        };
        match catch_unwind(AssertUnwindSafe(compile)) {
            Ok(Ok(parser)) if grown(&parser.parser.lexer_stats()) > MAX_AUTOMATON / 2 => {
                Err(format!(
                    "The Lark grammar is too large: its automaton has more than {} bytes.",
                    MAX_AUTOMATON / 2
                ))
            }
            Ok(Ok(parser)) => Ok(Self {
                working: Mutex::new(parser.deep_clone()),
                compiled: parser,
            }),
            Ok(Err(error)) => Err(sentence(&error)),
            Err(_panic) => Err(NOT_COMPILED.to_owned()),
        }
    }

    /// Begins to check an input.
    pub fn begin(&self) -> Progress {
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        // It panics after the engine did while another input was read.
        let size = catch_unwind(AssertUnwindSafe(|| grown(&working.parser.lexer_stats())));
        if size.map_or(true, |bytes| bytes > MAX_AUTOMATON * 3 / 4) {
            *working = self.compiled.deep_clone();
        }
        Progress {
            parser: working.clone(),
            read: 0,
            broken: false,
            spent: Duration::ZERO,
        }
    }
}

/// About how many bytes an automaton takes. The engine's own number leaves out
/// which lexemes are possible in each state.
fn grown(stats: &LexerStats) -> usize {
    stats.num_bytes + stats.num_states * (200 + stats.num_regexps)
}

impl Progress {
    /// Takes the next bytes; the error is how many of the input were good. What
    /// cannot be checked is not valid.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), usize> {
        for byte in bytes {
            let begun = Instant::now();
            let taken = !self.broken && self.take(*byte);
            self.spent += begun.elapsed();
            if !taken {
                self.broken = true;
                return Err(self.read);
            }
            self.read += 1;
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let parser = &mut self.parser;
        let take = || {
            let token = u32::from(byte);
            let is_taken = !parser.stopped()
                && parser.validate_token(token)?
                && parser.consume_token(token)? == 0;
            if is_taken {
                parser.check_stop()?;
            }
            anyhow::Ok(is_taken && grown(&parser.parser.lexer_stats()) <= MAX_AUTOMATON)
        };
        matches!(catch_unwind(AssertUnwindSafe(take)), Ok(Ok(true)))
            && self.parser.parser_stats().all_items <= MAX_ITEMS
            && self.spent <= MAX_TIME
    }

    /// Whether what was pushed is a whole input.
    pub fn is_complete(&mut self) -> bool {
        if self.broken {
            return false;
        }
        let parser = &mut self.parser;
        let complete = || parser.is_accepting() || parser.stopped();
        catch_unwind(AssertUnwindSafe(complete)).unwrap_or(false)
    }
}

/// The engine's words: the first line, without its own prefixes.
fn sentence(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    if line.starts_with("panic") {
        return NOT_COMPILED.to_owned();
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
            if let Err(error) = Lark::new(bad) {
                assert!(error.ends_with('.') && error.len() < 400, "{bad}: {error}");
            }
        }
        assert!(Lark::new("start: (").is_err());
        assert!(Lark::new("start: nothing").is_err());
        assert!(Lark::new(&format!("start: \"{}\"", "a".repeat(MAX_MESSAGE * 300))).is_err());
    }
}
