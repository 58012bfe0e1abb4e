//! What a Lark grammar may cost, judged before llguidance sees it.
//!
//! llguidance bounds much by itself, and what it bounds is not looked at here.
//! Three things it does not: it follows references by recursion, so that a long
//! chain of rules uses up the stack; it takes the product of what is joined with
//! `&`, within one step and before it looks at its fuel; and it tries pairs and
//! remainders of a `%json` schema one by one, and writes out the alternatives of
//! schemas that are put together.

mod joins;
mod json;
mod lex;
mod overlap;
mod read;

use std::collections::HashSet;

use strict_schema::MAX_LARGE_CLASSES;

use self::{
    overlap::{Counted, Overlap},
    read::{Body, Grammar},
};

/// Rules and terminals of a grammar, with those of grammars within it.
const MAX_RULES: usize = 2_000;
/// Levels of references and parentheses one in another. llguidance takes about
/// 3 kB of stack for each, and ten times that without optimization.
const MAX_DEPTH: usize = 500;
/// Operators `&` of a grammar.
const MAX_INTERSECTIONS: usize = 16;
/// Ways in which one character can be read by all that is joined with `&`, or by
/// what follows `~`: the product of those of each part. One step takes as many
/// expressions, for each of 256 bytes at most.
const MAX_OVERLAP: u64 = 64;

/// Whether a grammar is within the bounds; the error is a sentence. What cannot
/// be read is refused, so that nothing unknown reaches the engine.
pub fn check(definition: &str) -> Result<(), String> {
    classes("Lark grammar", definition)?;
    let unread =
        |line| format!("The Lark grammar is not valid: what stands in line {line} cannot be read.");
    let tokens = lex::tokens(definition).map_err(unread)?;
    let grammar = read::grammar(&tokens).map_err(unread)?;
    let mut total = Total::default();
    total.count(&grammar);
    if total.rules > MAX_RULES {
        return Err(format!(
            "The Lark grammar is too large: it has {} rules and terminals; at most {MAX_RULES} \
             are supported.",
            total.rules
        ));
    }
    if total.intersections > MAX_INTERSECTIONS {
        return Err(format!(
            "The Lark grammar is too complex: it has {} operators '&'; at most \
             {MAX_INTERSECTIONS} are supported.",
            total.intersections
        ));
    }
    json::check(&total.schemas)?;
    walk(&grammar)
}

/// Whether a definition has few enough large classes: each is written out before
/// anything else looks at its size.
pub fn classes(what: &str, definition: &str) -> Result<(), String> {
    few_classes(what, strict_schema::large_classes(definition))
}

fn few_classes(what: &str, classes: usize) -> Result<(), String> {
    if classes > MAX_LARGE_CLASSES {
        return Err(format!(
            "The {what} is too large: it has {classes} classes like '\\w' or '\\p{{L}}'; at most \
             {MAX_LARGE_CLASSES} are supported."
        ));
    }
    Ok(())
}

#[derive(Default)]
struct Total<'g> {
    rules: usize,
    intersections: usize,
    schemas: Vec<&'g serde_json::Value>,
}

impl<'g> Total<'g> {
    fn count(&mut self, grammar: &'g Grammar<'_>) {
        self.rules += grammar.rules.len();
        for body in grammar.bodies() {
            self.count_body(body);
        }
    }

    fn count_bodies(&mut self, bodies: &'g [Body<'_>]) {
        for body in bodies {
            self.count_body(body);
        }
    }

    fn count_body(&mut self, body: &'g Body<'_>) {
        match body {
            Body::Join(parts) => self.count_bodies(parts),
            Body::And(parts) => {
                self.intersections += parts.len() - 1;
                self.count_bodies(parts);
            }
            Body::Group(inner) | Body::Not(inner) => self.count_body(inner),
            Body::Schema(schema) => self.schemas.push(schema),
            Body::Grammar(grammar) => self.count(grammar),
            Body::Name(_) | Body::Text(_) | Body::Pattern(_) => {}
        }
    }
}

/// Follows the references as llguidance does: each rule once, from the place
/// that refers to it first.
fn walk(grammar: &Grammar<'_>) -> Result<(), String> {
    let mut walk = Walk {
        grammar,
        seen: HashSet::new(),
        counted: Counted::default(),
    };
    for body in &grammar.ignored {
        walk.body(body, 1)?;
    }
    walk.name("start", 1)
}

struct Walk<'g, 't> {
    grammar: &'g Grammar<'t>,
    seen: HashSet<&'g str>,
    counted: Counted,
}

impl<'g> Walk<'g, '_> {
    fn name(&mut self, name: &str, level: usize) -> Result<(), String> {
        let Some((name, body)) = self.grammar.rules.get_key_value(name) else {
            return Ok(());
        };
        if level > MAX_DEPTH {
            return Err(format!(
                "The Lark grammar is too deep: '{name}' is reached through more than {MAX_DEPTH} \
                 rules, terminals and parentheses one in another."
            ));
        }
        if self.seen.insert(name) {
            self.body(body, level)?;
        }
        Ok(())
    }

    fn body(&mut self, body: &'g Body<'_>, level: usize) -> Result<(), String> {
        match body {
            Body::Join(parts) => parts.iter().try_for_each(|part| self.body(part, level)),
            Body::Group(inner) => self.body(inner, level + 1),
            Body::Name(name) => self.name(name, level + 1),
            Body::And(parts) => {
                within(Overlap::of(self.grammar, body, &mut self.counted)?)?;
                parts.iter().try_for_each(|part| self.body(part, level))
            }
            Body::Not(inner) => {
                within(Overlap::of(self.grammar, inner, &mut self.counted)?)?;
                self.body(inner, level + 1)
            }
            // It is compiled when this one is done.
            Body::Grammar(inner) => walk(inner),
            Body::Text(_) | Body::Pattern(_) | Body::Schema(_) => Ok(()),
        }
    }
}

fn within(overlap: u64) -> Result<(), String> {
    if overlap > MAX_OVERLAP {
        return Err(too_many_ways("The Lark grammar", "what '&' and '~' join"));
    }
    Ok(())
}

fn too_many_ways(what: &str, of: &str) -> String {
    format!(
        "{what} is too complex: {of} can read one character in more than {MAX_OVERLAP} ways \
         together. Use fewer or simpler patterns there."
    )
}

#[cfg(test)]
mod tests;
