//! Custom tools: their input is text, free or of a grammar.

use serde_json::{Map, Value, json};

use super::{Declarer, Grammar, Result, allowed_callers, not_async};
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing},
    },
    tools::custom::{Grammars, MAX_DEFINITION, Syntax},
};

/// Grammars of one request: each has to be compiled.
const MAX_GRAMMARS: usize = 64;

/// Compiles the grammars of a request: a bad one is refused before anything is
/// asked of a model. Apart from reading them, because it may take long.
pub async fn check(given: &[Grammar], grammars: &Grammars) -> Result<()> {
    for grammar in given {
        grammars
            .compiled(grammar.syntax, &grammar.definition)
            .await
            .map_err(|why| refused(&grammar.path, &why))?;
    }
    Ok(())
}

impl Declarer<'_> {
    /// A custom tool, whose `type` and `name` have been read.
    pub(super) fn custom(&mut self, mut fields: Fields<'_>, name: &str) -> Result<Value> {
        let description = fields.string("description")?;
        let format = self.format(&mut fields)?;
        let defer_loading = fields.bool("defer_loading")?;
        let callers = allowed_callers(&mut fields)?;
        not_async(&mut fields)?;
        fields.end()?;
        let mut tool = Map::with_capacity(6);
        tool.insert("type".into(), json!("custom"));
        tool.insert("description".into(), json!(description));
        tool.insert("name".into(), json!(name));
        tool.insert("format".into(), format);
        if let Some(defer) = defer_loading {
            tool.insert("defer_loading".into(), json!(defer));
        }
        if let Some(callers) = callers {
            tool.insert("allowed_callers".into(), json!(callers));
        }
        Ok(Value::Object(tool))
    }

    fn format(&mut self, fields: &mut Fields<'_>) -> Result<Value> {
        let Some(mut format) = fields.object("format")? else {
            return Ok(json!({"type": "text"}));
        };
        let path = format.path("type");
        let value = match format.string("type")?.ok_or_else(|| missing(&path))? {
            "text" => json!({"type": "text"}),
            "grammar" => self.grammar(&mut format)?,
            other => return Err(bad_word(&path, other, &["text", "grammar"])),
        };
        format.end()?;
        Ok(value)
    }

    /// A grammar: `syntax` and `definition`.
    pub fn grammar(&mut self, format: &mut Fields<'_>) -> Result<Value> {
        let path = format.path("syntax");
        let word = format
            .word("syntax", &["lark", "regex"])?
            .ok_or_else(|| missing(&path))?;
        let definition = format.sized_string("definition", MAX_DEFINITION)?;
        let path = format.path("definition");
        let syntax = match word {
            "lark" => Syntax::Lark,
            _ if definition.contains(['\n', '\r']) => {
                return Err(refused(
                    &path,
                    "A regular expression is written on one line.",
                ));
            }
            _ => Syntax::Regex,
        };
        if self.grammars.len() == MAX_GRAMMARS {
            return Err(refused(
                &path,
                &format!("One request may have at most {MAX_GRAMMARS} grammars."),
            ));
        }
        self.grammars.push(Grammar {
            path,
            syntax,
            definition: definition.to_owned(),
        });
        Ok(json!({"type": "grammar", "syntax": word, "definition": definition}))
    }
}

/// `why` is a sentence.
fn refused(path: &str, why: &str) -> ApiError {
    let why: String = why
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    ApiError::invalid(format!("Invalid '{path}'. {why}"))
        .param(path.to_owned())
        .code("invalid_value")
}
