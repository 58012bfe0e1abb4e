//! Custom tools: a model writes text instead of JSON, freely or by a grammar.
//!
//! Where a model server does not know them, it is given a function with one
//! string argument ([`unwrap`]), and what the model writes there is checked
//! here, byte by byte: regular expressions in the syntax of Rust's `regex`
//! crate, which have to match the whole input, and grammars in llguidance's
//! dialect of Lark.

mod bounds;
pub mod lark;
pub mod regex;
pub mod unwrap;

use std::sync::Arc;

use moka::sync::Cache;
use serde_json::Value;
use tokio::sync::Semaphore;

/// Longest definition of a grammar, in bytes.
pub const MAX_DEFINITION: usize = 64 * 1024;
/// Grammars kept compiled. One may take megabytes.
const KEPT: u64 = 64;
/// Compilations at once: each may take a core and much memory for a while.
const COMPILING: usize = 2;

/// Grammars, compiled and kept.
pub struct Grammars {
    kept: Cache<(Syntax, String), Arc<Grammar>>,
    compiling: Semaphore,
}

impl Default for Grammars {
    fn default() -> Self {
        Self {
            kept: Cache::new(KEPT),
            compiling: Semaphore::new(COMPILING),
        }
    }
}

/// What a grammar is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Syntax {
    Regex,
    Lark,
}

/// A compiled grammar.
pub enum Grammar {
    Regex(regex::Pattern),
    Lark(Box<lark::Lark>),
}

/// An input as it comes, against its grammar.
pub enum Check {
    /// Any text will do.
    Text,
    Regex(Box<regex::Progress>),
    Lark(Box<lark::Progress>),
}

/// The syntax and definition of a custom tool's grammar; `None` for free text.
pub fn grammar_of(tool: &Value) -> Option<(Syntax, &str)> {
    let format = &tool["format"];
    if format["type"] != "grammar" {
        return None;
    }
    let syntax = match format["syntax"].as_str()? {
        "lark" => Syntax::Lark,
        "regex" => Syntax::Regex,
        _ => return None,
    };
    Some((syntax, format["definition"].as_str()?))
}

impl Grammars {
    /// The compiled grammar, from the cache or made on a thread of its own kind.
    /// The error is a sentence about the definition.
    pub async fn compiled(&self, syntax: Syntax, definition: &str) -> Result<Arc<Grammar>, String> {
        let key = (syntax, definition.to_owned());
        if let Some(known) = self.kept.get(&key) {
            return Ok(known);
        }
        let _permit = self
            .compiling
            .acquire()
            .await
            .map_err(|_| "The server is stopping.".to_owned())?;
        if let Some(known) = self.kept.get(&key) {
            return Ok(known);
        }
        let kept = self.kept.clone();
        let compile = move || {
            let grammar = Arc::new(match key.0 {
                Syntax::Regex => Grammar::Regex(regex::Pattern::new(&key.1)?),
                Syntax::Lark => Grammar::Lark(Box::new(lark::Lark::new(&key.1)?)),
            });
            kept.insert(key, grammar.clone());
            Ok(grammar)
        };
        tokio::task::spawn_blocking(compile)
            .await
            .unwrap_or_else(|_| Err("The grammar cannot be compiled.".to_owned()))
    }
}

impl Grammar {
    /// Begins to check an input.
    pub fn begin(self: &Arc<Self>) -> Check {
        match &**self {
            Self::Regex(pattern) => Check::Regex(Box::new(pattern.begin())),
            Self::Lark(lark) => Check::Lark(Box::new(lark.begin())),
        }
    }
}

impl Check {
    /// Takes the next piece; the error is how many bytes of the input were
    /// good before the first that no valid input has there.
    pub fn push(&mut self, piece: &str) -> Result<(), usize> {
        match self {
            Self::Text => Ok(()),
            Self::Regex(progress) => progress.push(piece.as_bytes()),
            Self::Lark(progress) => progress.push(piece.as_bytes()),
        }
    }

    /// Whether `input`, all of which was pushed, is valid as it is.
    pub fn is_complete(&mut self, input: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Regex(progress) => progress.is_complete(input),
            Self::Lark(progress) => progress.is_complete(),
        }
    }
}

fn too_long(definition: &str) -> Result<(), String> {
    if definition.len() > MAX_DEFINITION {
        return Err(format!(
            "The definition has {} bytes; at most {MAX_DEFINITION} are supported.",
            definition.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_grammar_is_compiled_once() {
        let tool = json!({"type": "custom", "name": "t", "format":
            {"type": "grammar", "syntax": "regex", "definition": "[a-f]{3,}"}});
        let (syntax, definition) = grammar_of(&tool).expect("a grammar");
        let grammars = Grammars::default();
        let first = grammars
            .compiled(syntax, definition)
            .await
            .expect("a good one");
        let second = grammars
            .compiled(syntax, definition)
            .await
            .expect("a good one");
        assert!(Arc::ptr_eq(&first, &second));
        let mut check = first.begin();
        assert_eq!(check.push("abx"), Err(2));
        assert!(grammars.compiled(Syntax::Lark, "start: (").await.is_err());
        assert!(grammar_of(&json!({"type": "custom", "format": {"type": "text"}})).is_none());
    }
}
