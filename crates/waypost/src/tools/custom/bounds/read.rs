//! The shape of a grammar: which rule refers to which, and what `&` and `~` join.
//!
//! It takes all that llguidance takes, and more: what is wrong in other ways is
//! for the engine to say.

use std::collections::HashMap;

use serde_json::Value;

use super::lex::Token;

/// As in llguidance.
const MAX_NESTING: usize = 30;

#[derive(Default)]
pub struct Grammar<'t> {
    pub rules: HashMap<&'t str, Body<'t>>,
    /// What stands after `%ignore`.
    pub ignored: Vec<Body<'t>>,
}

pub enum Body<'t> {
    /// Parts in a row, or alternatives.
    Join(Vec<Self>),
    /// Two or more, joined with `&`.
    And(Vec<Self>),
    Group(Box<Self>),
    Not(Box<Self>),
    Name(&'t str),
    Text(&'t str),
    Pattern(&'t str),
    Schema(&'t Value),
    Grammar(Box<Grammar<'t>>),
}

impl<'t> Grammar<'t> {
    pub fn bodies(&self) -> impl Iterator<Item = &Body<'t>> {
        self.rules.values().chain(&self.ignored)
    }
}

/// The grammar that these tokens are. The error is the line where it ends to be
/// one.
pub fn grammar<'t>(tokens: &'t [(Token<'t>, usize)]) -> Result<Grammar<'t>, usize> {
    let mut reader = Reader {
        tokens,
        at: 0,
        depth: 0,
    };
    match reader.grammar() {
        Some(grammar) if reader.at == tokens.len() => Ok(grammar),
        _ => {
            let last = reader.at.min(tokens.len().saturating_sub(1));
            Err(tokens.get(last).map_or(1, |(_, line)| *line))
        }
    }
}

struct Reader<'t> {
    tokens: &'t [(Token<'t>, usize)],
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn next(&mut self) -> Option<&'t Token<'t>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    /// Up to the end, or to the bracket that closes a grammar in another.
    fn grammar(&mut self) -> Option<Grammar<'t>> {
        let mut grammar = Grammar::default();
        loop {
            match self.peek() {
                None | Some(Token::Sign("}")) => return Some(grammar),
                Some(Token::Newline | Token::Value) => {
                    self.next();
                }
                Some(Token::Name(name)) => {
                    // `!` and `?` before a name say how a tree is made.
                    let name = name.strip_prefix('!').unwrap_or(name);
                    let name = name.strip_prefix('?').unwrap_or(name);
                    self.next();
                    let attributes = self.head()?;
                    let body = self.alternatives()?;
                    grammar
                        .rules
                        .insert(name, Body::Join(vec![body, attributes]));
                }
                Some(Token::Sign("%ignore")) => {
                    self.next();
                    let body = self.alternatives()?;
                    grammar.ignored.push(body);
                }
                // Other statements define no expressions.
                Some(_) => {
                    while !matches!(self.peek(), None | Some(Token::Newline)) {
                        self.next();
                    }
                }
            }
        }
    }

    /// What stands between a name and its colon: parameters, a priority, and
    /// attributes, whose values are expressions too.
    fn head(&mut self) -> Option<Body<'t>> {
        let mut parts = Vec::new();
        loop {
            match self.next()? {
                Token::Sign(":") => return Some(Body::Join(parts)),
                Token::Newline | Token::Sign("%lark") => return None,
                Token::Name(name) => parts.push(Body::Name(name)),
                Token::Text(text) => parts.push(Body::Text(text)),
                Token::Pattern(text) => parts.push(Body::Pattern(text)),
                _ => {}
            }
        }
    }

    fn alternatives(&mut self) -> Option<Body<'t>> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return None;
        }
        let mut parts = Vec::new();
        loop {
            parts.push(self.conjunction()?);
            if !self.takes_bar() {
                break;
            }
        }
        self.depth -= 1;
        Some(Body::Join(parts))
    }

    /// Whether another alternative follows, maybe on the next line.
    fn takes_bar(&mut self) -> bool {
        let before = self.at;
        if self.peek() == Some(&Token::Newline) {
            self.at += 1;
        }
        let takes = self.takes("|");
        if !takes {
            self.at = before;
        }
        takes
    }

    fn conjunction(&mut self) -> Option<Body<'t>> {
        let mut parts = vec![self.row()?];
        while self.takes("&") {
            parts.push(self.row()?);
        }
        // A name for a tree, or a condition on parameters.
        if matches!(self.peek(), Some(Token::Sign("->" | "%if"))) {
            let mut open = 0_usize;
            while let Some(token) = self.peek() {
                match token {
                    Token::Sign("(" | "[") => open += 1,
                    Token::Sign(")" | "]") if open > 0 => open -= 1,
                    Token::Newline | Token::Sign("|" | "}" | ")" | "]") => break,
                    _ => {}
                }
                self.next();
            }
        }
        Some(match parts.len() {
            1 => parts.remove(0),
            _ => Body::And(parts),
        })
    }

    fn row(&mut self) -> Option<Body<'t>> {
        let mut parts = Vec::new();
        loop {
            match self.peek() {
                None
                | Some(Token::Newline | Token::Sign("|" | "->" | "}" | ")" | "]" | "&" | "%if")) => {
                    return Some(Body::Join(parts));
                }
                _ => self.part(&mut parts)?,
            }
        }
    }

    /// Adds an expression. What says how often the last one comes adds nothing.
    fn part(&mut self, parts: &mut Vec<Body<'t>>) -> Option<()> {
        let body = match self.next()? {
            Token::Sign("~") => {
                // How often: `~ 2..3`.
                if self.peek() == Some(&Token::Number) {
                    return Some(());
                }
                let mut negated = Vec::new();
                self.part(&mut negated)?;
                Body::Not(Box::new(negated.pop()?))
            }
            Token::Sign("(") => self.group(")")?,
            Token::Sign("[") => self.group("]")?,
            // How often, or the parameters of a template.
            Token::Sign("{") => {
                while *self.next()? != Token::Sign("}") {}
                return Some(());
            }
            Token::Sign("%lark") => {
                self.depth += 1;
                if self.depth > MAX_NESTING || !self.takes("{") {
                    return None;
                }
                let inner = self.grammar()?;
                self.depth -= 1;
                if !self.takes("}") {
                    return None;
                }
                Body::Grammar(Box::new(inner))
            }
            Token::Name(name) => Body::Name(name),
            Token::Text(text) => Body::Text(text),
            Token::Pattern(text) => Body::Pattern(text),
            Token::Schema(schema) => Body::Schema(schema),
            _ => return Some(()),
        };
        parts.push(body);
        Some(())
    }

    fn group(&mut self, end: &'static str) -> Option<Body<'t>> {
        let inner = self.alternatives()?;
        self.takes(end).then(|| Body::Group(Box::new(inner)))
    }
}
