//! The reply of a model whose tools are emulated, read as it comes: an answer
//! in words (`{"answer": …}`), a call (`{"name": …, "arguments": …}`) or several
//! (`{"calls": […]}`).
//!
//! Models that nothing constrains also think aloud, fence their JSON, or just
//! talk. All of that is understood as long as it can only mean one thing; plain
//! words are an answer wherever an answer is allowed.

use crate::tools::unescape::{Took, Unescape};

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const FENCE: &str = "```";

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words for the user; JSON text where the answer is structured.
    Text(String),
    /// Thoughts.
    Thought(String),
    /// A piece of a call. Its name comes at once, and not always first.
    Call {
        key: u64,
        name: Option<String>,
        arguments: String,
    },
}

/// The reply is neither an answer nor a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoReply {
    /// Bytes before the first wrong one.
    pub offset: usize,
    pub expected: &'static str,
}

/// Reads one reply.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a reply"
)]
pub struct Reader {
    /// Whether words are allowed, not only calls.
    may_answer: bool,
    at: At,
    /// What was read while it may still turn out to be plain words.
    undecided: Option<String>,
    /// A name that belongs to a call only if arguments follow.
    name: Option<String>,
    /// Words were given: what follows them is of no importance.
    answered: bool,
    /// Inside `calls`.
    listed: bool,
    /// The reply is a bare array of calls.
    bare: bool,
    calls: u64,
    read: usize,
}

#[derive(Debug, Clone)]
enum At {
    Start,
    /// The beginning of a mark, or of words.
    Lead(String),
    FenceLine,
    /// What may be the end of the thoughts.
    Thought(String),
    Plain,
    FirstKey,
    NextKey,
    Key(Unescape, String),
    Colon(Key),
    Value(Key),
    Answer(Unescape),
    Name(Unescape, String),
    /// Arguments as a JSON string that holds JSON text.
    Quoted(Unescape),
    Raw(Key, Nesting),
    AfterValue,
    FirstCall,
    NextCall,
    AfterCall,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Answer,
    Name,
    Arguments,
    Calls,
}

/// How deep inside a value the reading is.
#[derive(Debug, Clone, Copy, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Neither string, object nor array: it ends where something else begins.
    scalar: bool,
}

impl Reader {
    pub fn new(may_answer: bool) -> Self {
        Self {
            may_answer,
            at: At::Start,
            undecided: may_answer.then(String::new),
            name: None,
            answered: false,
            listed: false,
            bare: false,
            calls: 0,
            read: 0,
        }
    }

    /// Takes the next piece of the reply's text.
    pub fn push(&mut self, text: &str, out: &mut Vec<Piece>) -> Result<(), NoReply> {
        for c in text.chars() {
            if let Some(undecided) = &mut self.undecided {
                undecided.push(c);
            }
            if let Err(expected) = self.take(c, out) {
                match self.undecided.take() {
                    _ if self.answered && !self.is_inside() => self.at = At::Done,
                    Some(words) if self.may_answer => {
                        self.at = At::Plain;
                        say(words.trim_start(), out);
                    }
                    _ => {
                        return Err(NoReply {
                            offset: self.read,
                            expected,
                        });
                    }
                }
            }
            self.read += c.len_utf8();
        }
        Ok(())
    }

    /// The reply has ended by itself.
    pub fn end(&mut self, out: &mut Vec<Piece>) -> Result<(), NoReply> {
        match &self.at {
            At::Start | At::Plain | At::Done | At::Thought(_) => Ok(()),
            _ if self.answered && !self.is_inside() => Ok(()),
            _ => match self.undecided.take() {
                Some(words) if self.may_answer => {
                    self.at = At::Plain;
                    say(words.trim_start(), out);
                    Ok(())
                }
                _ => Err(NoReply {
                    offset: self.read,
                    expected: "the rest of the JSON object",
                }),
            },
        }
    }

    /// Inside a value.
    fn is_inside(&self) -> bool {
        matches!(self.at, At::Answer(_) | At::Raw(..) | At::Quoted(_))
    }

    fn take(&mut self, c: char, out: &mut Vec<Piece>) -> Result<(), &'static str> {
        let blank = matches!(c, ' ' | '\t' | '\r' | '\n');
        match &mut self.at {
            At::Plain => say(c.encode_utf8(&mut [0; 4]), out),
            At::Start => match c {
                _ if blank => {}
                '{' => self.at = At::FirstKey,
                '[' => {
                    (self.listed, self.bare) = (true, true);
                    self.at = At::FirstCall;
                }
                '`' | '<' => self.at = At::Lead(c.into()),
                _ => return Err("a JSON object"),
            },
            At::Lead(lead) => {
                lead.push(c);
                if lead == FENCE {
                    self.at = At::FenceLine;
                } else if lead == THINK {
                    self.at = At::Thought(String::new());
                } else if !(FENCE.starts_with(lead.as_str()) || THINK.starts_with(lead.as_str())) {
                    return Err("a JSON object");
                }
            }
            At::FenceLine => {
                if c == '\n' {
                    self.at = At::Start;
                } else if c == '{' {
                    self.at = At::FirstKey;
                }
            }
            At::Thought(tail) => {
                tail.push(c);
                if tail.ends_with(THINK_END) {
                    tail.truncate(tail.len() - THINK_END.len());
                    think(tail, out);
                    self.at = At::Start;
                    self.undecided = self.may_answer.then(String::new);
                } else if tail.len() > 2 * THINK_END.len() {
                    // All but what may be the beginning of the end.
                    let keep = tail.floor_char_boundary(tail.len() - THINK_END.len());
                    think(&tail[..keep], out);
                    tail.drain(..keep);
                }
            }
            At::FirstKey | At::NextKey | At::Value(_) if blank => {}
            At::FirstKey | At::NextKey if c == '"' => {
                self.at = At::Key(Unescape::default(), String::new());
            }
            At::FirstKey | At::NextKey => return Err("a key"),
            At::Key(string, name) => {
                let took = string.take(c, name).map_err(|_| "a key")?;
                if took == Took::End {
                    self.at = At::Colon(self.key()?);
                }
            }
            At::Colon(key) => match c {
                _ if blank => {}
                ':' => self.at = At::Value(*key),
                _ => return Err("':'"),
            },
            At::Value(key) => {
                let key = *key;
                self.value(key, c, out)?;
            }
            At::Answer(string) => {
                let mut text = String::new();
                let took = string
                    .take(c, &mut text)
                    .map_err(|_| "a valid JSON string")?;
                say(&text, out);
                if took == Took::End {
                    self.at = At::AfterValue;
                }
            }
            At::Name(string, name) => {
                let took = string.take(c, name).map_err(|_| "a valid JSON string")?;
                if took == Took::End {
                    self.name = Some(std::mem::take(name));
                    if self.undecided.is_none() {
                        self.decided(out);
                    }
                    self.at = At::AfterValue;
                }
            }
            At::Quoted(string) => {
                let mut text = String::new();
                let took = string
                    .take(c, &mut text)
                    .map_err(|_| "a valid JSON string")?;
                if took == Took::End {
                    self.at = At::AfterValue;
                }
                self.call(None, &text, out);
            }
            At::Raw(key, nesting) => {
                let key = *key;
                if nesting.scalar && (blank || matches!(c, ',' | '}' | ']')) {
                    self.at = At::AfterValue;
                    return self.take(c, out);
                }
                let ended = nesting.after(c);
                self.raw(key, c, out);
                if ended {
                    self.at = At::AfterValue;
                }
            }
            At::AfterValue => match c {
                _ if blank => {}
                ',' => self.at = At::NextKey,
                // A name and no more: not a call, as long as it may be words.
                '}' if self.undecided.is_some() => return Err("\"arguments\""),
                '}' if self.listed => {
                    self.calls += 1;
                    self.at = At::AfterCall;
                }
                '}' => self.at = At::Done,
                _ => return Err("',' or '}'"),
            },
            At::FirstCall | At::NextCall => match c {
                _ if blank => {}
                '{' => self.at = At::FirstKey,
                ']' if matches!(self.at, At::FirstCall) => self.end_of_calls(),
                _ => return Err("a call"),
            },
            At::AfterCall => match c {
                _ if blank => {}
                ',' => self.at = At::NextCall,
                ']' => self.end_of_calls(),
                _ => return Err("',' or ']'"),
            },
            // The end of a fence, or talk about what was just done.
            At::Done => {}
        }
        Ok(())
    }

    /// What the key that was just read stands for.
    fn key(&mut self) -> Result<Key, &'static str> {
        let At::Key(_, name) = &self.at else {
            return Err("a key");
        };
        let key = match name.as_str() {
            "answer" if !self.listed && self.may_answer => Key::Answer,
            "name" => Key::Name,
            // What some models are trained to write.
            "arguments" | "parameters" => Key::Arguments,
            "calls" if !self.listed => Key::Calls,
            _ if self.may_answer => return Err("\"answer\", \"name\" or \"calls\""),
            _ => return Err("\"name\" or \"calls\""),
        };
        if key != Key::Name && key != Key::Arguments {
            // Only here is it sure to be a reply in our form.
            self.undecided = None;
        }
        Ok(key)
    }

    fn value(&mut self, key: Key, c: char, out: &mut Vec<Piece>) -> Result<(), &'static str> {
        self.answered |= key == Key::Answer;
        match (key, c) {
            (Key::Name, '"') => self.at = At::Name(Unescape::default(), String::new()),
            (Key::Name, _) => return Err("the tool's name"),
            (Key::Answer, '"') => self.at = At::Answer(Unescape::default()),
            (Key::Arguments, '"') => {
                self.decided(out);
                self.at = At::Quoted(Unescape::default());
            }
            (Key::Calls, '[') => {
                self.listed = true;
                self.at = At::FirstCall;
            }
            (Key::Calls, _) => return Err("an array of calls"),
            (Key::Answer | Key::Arguments, ',' | '}' | ']' | ':') => return Err("a value"),
            (Key::Answer | Key::Arguments, c) => {
                if key == Key::Arguments {
                    self.decided(out);
                }
                let mut nesting = Nesting {
                    scalar: !matches!(c, '{' | '['),
                    ..Nesting::default()
                };
                let ended = nesting.after(c);
                self.raw(key, c, out);
                self.at = if ended {
                    At::AfterValue
                } else {
                    At::Raw(key, nesting)
                };
            }
        }
        Ok(())
    }

    /// It is a call and nothing else.
    fn decided(&mut self, out: &mut Vec<Piece>) {
        self.undecided = None;
        if let Some(name) = self.name.take() {
            self.call(Some(name), "", out);
        }
    }

    fn raw(&self, key: Key, c: char, out: &mut Vec<Piece>) {
        let mut utf8 = [0; 4];
        let text = &*c.encode_utf8(&mut utf8);
        if key == Key::Answer {
            say(text, out);
        } else {
            self.call(None, text, out);
        }
    }

    fn call(&self, name: Option<String>, text: &str, out: &mut Vec<Piece>) {
        let this = self.calls;
        if let (None, Some(Piece::Call { key, arguments, .. })) = (&name, out.last_mut())
            && *key == this
        {
            arguments.push_str(text);
            return;
        }
        out.push(Piece::Call {
            key: this,
            name,
            arguments: text.to_owned(),
        });
    }

    fn end_of_calls(&mut self) {
        self.listed = false;
        self.at = if self.bare { At::Done } else { At::AfterValue };
    }
}

impl Nesting {
    /// Takes a character; whether the value ends with it.
    fn after(&mut self, c: char) -> bool {
        if self.in_string {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match c {
            '"' => self.in_string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        !self.scalar && self.depth == 0 && !self.in_string
    }
}

fn say(text: &str, out: &mut Vec<Piece>) {
    if let Some(Piece::Text(last)) = out.last_mut() {
        last.push_str(text);
    } else if !text.is_empty() {
        out.push(Piece::Text(text.to_owned()));
    }
}

fn think(text: &str, out: &mut Vec<Piece>) {
    if let Some(Piece::Thought(last)) = out.last_mut() {
        last.push_str(text);
    } else if !text.is_empty() {
        out.push(Piece::Thought(text.to_owned()));
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
