//! Messages in the order and in the roles that model servers take.
//!
//! Templates of most models know one system message, at the beginning. Others
//! are refused (Qwen 3.5: vllm #41114, Mistral), or ignored without a word
//! (gpt-oss, `MiniMax`: llama.cpp #20215, vllm #43590). And most servers take
//! nothing but text for a result: OpenAI's, and vLLM (#43203).
//!
//! What cannot stay where it is goes to the model in the user's name. Many
//! templates insist that user and assistant take turns, and that results follow
//! their calls, so it joins a user's message where one stands beside it.

use serde_json::{Value, json};

use crate::{config::SystemMessages, model::ModelRequest, upstream::dialect::Capabilities};

/// Around a system message that is sent as a user's.
const MARKS: (&str, &str) = ("<system_message>", "</system_message>");

/// In place of a result of which nothing is text.
const ELSEWHERE: &str = "The result is in the user's message that follows.";

/// Separates what was said apart.
const APART: &str = "\n\n";

/// The whole context: what the model is told before everything else, the
/// messages, and each aside before the message of its number, or later.
pub(super) fn place(
    ask: &ModelRequest,
    can: &Capabilities,
    messages: Vec<Value>,
    asides: Vec<(usize, Value)>,
) -> Vec<Value> {
    let role = if can.developer_role {
        "developer"
    } else {
        "system"
    };
    let told = |text: &str| json!({"role": role, "content": text});
    if can.system_messages == SystemMessages::Anywhere {
        let first = ask.instructions().map(|text| told(&text));
        let asides = Asides::of(asides, false);
        return first.into_iter().chain(asides.among(0, messages)).collect();
    }
    let leading = messages.iter().take_while(|m| is_system(m)).count();
    let mut messages = messages.into_iter();
    let mut first: Vec<Value> = Vec::new();
    first.extend(ask.generation.instructions.as_deref().map(told));
    first.extend(messages.by_ref().take(leading));
    first.extend(ask.preamble().map(told));
    let first = first.into_iter().reduce(joined);
    let asides = Asides::of(asides, !can.developer_role);
    let rest = asides.among(leading, messages);
    first.into_iter().chain(rest).collect()
}

/// Two system messages as one.
fn joined(mut first: Value, mut second: Value) -> Value {
    first["content"] = together(first["content"].take(), second["content"].take());
    if let (Some(first), Value::Object(second)) = (first.as_object_mut(), second) {
        for (name, value) in second {
            first.entry(name).or_insert(value);
        }
    }
    first
}

/// What is to be said in the user's name.
struct Asides {
    /// In the order of their places.
    left: std::iter::Peekable<std::vec::IntoIter<(usize, Value)>>,
    /// System messages are asides too.
    with_system: bool,
    waiting: Option<Value>,
}

impl Asides {
    fn of(asides: Vec<(usize, Value)>, with_system: bool) -> Self {
        Self {
            left: asides.into_iter().peekable(),
            with_system,
            waiting: None,
        }
    }

    /// All of them among the messages, the first of which has this number.
    fn among(mut self, number: usize, messages: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut out = Vec::new();
        for (at, mut message) in messages.into_iter().enumerate() {
            while let Some((_, content)) = self.left.next_if(|(place, _)| *place <= number + at) {
                self.wait(content);
            }
            if self.with_system && is_system(&message) {
                self.wait(marked(message["content"].take()));
                continue;
            }
            // Nothing may stand between the results of parallel calls.
            if message["role"] != "tool"
                && let Some(content) = self.waiting.take()
            {
                if message["role"] == "user" {
                    message["content"] = together(content, message["content"].take());
                } else {
                    say(&mut out, content);
                }
            }
            out.push(message);
        }
        while let Some((_, content)) = self.left.next() {
            self.wait(content);
        }
        if let Some(content) = self.waiting {
            say(&mut out, content);
        }
        out
    }

    fn wait(&mut self, content: Value) {
        self.waiting = Some(match self.waiting.take() {
            Some(before) => together(before, content),
            None => content,
        });
    }
}

/// Adds to what the user said last, or says it.
fn say(out: &mut Vec<Value>, content: Value) {
    match out.last_mut() {
        Some(last) if last["role"] == "user" => {
            last["content"] = together(last["content"].take(), content);
        }
        _ => out.push(json!({"role": "user", "content": content})),
    }
}

fn is_system(message: &Value) -> bool {
    message["role"] == "system" || message["role"] == "developer"
}

fn marked(content: Value) -> Value {
    let (begin, end) = MARKS;
    match content {
        Value::String(text) => json!(format!("{begin}\n{text}\n{end}")),
        content => {
            let mark = |text: &str| json!({"type": "text", "text": text});
            let mut all = vec![mark(begin)];
            all.extend(parts(content));
            all.push(mark(end));
            Value::Array(all)
        }
    }
}

/// Two contents as one.
fn together(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::String(first), second) if first.is_empty() => second,
        (first, Value::String(second)) if second.is_empty() => first,
        (Value::String(first), Value::String(second)) => json!(format!("{first}{APART}{second}")),
        (first, second) => {
            let mut all = parts(first);
            let mut more = parts(second).into_iter().peekable();
            // Templates put texts together without anything in between.
            if let Some(last) = all.last_mut()
                && let Some(text) = last["text"].as_str()
                && let Some(next) = more.next_if(|part| part["text"].is_string())
            {
                let next = next["text"].as_str().unwrap_or_default();
                last["text"] = json!(format!("{text}{APART}{next}"));
            }
            all.extend(more);
            Value::Array(all)
        }
    }
}

fn parts(content: Value) -> Vec<Value> {
    match content {
        Value::Array(parts) => parts,
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        _ => Vec::new(),
    }
}

/// A result's content as the server takes it, and the parts that it does not.
pub(super) fn result(content: Value, can: &Capabilities) -> (Value, Vec<Value>) {
    let Value::Array(parts) = content else {
        return (content, Vec::new());
    };
    let is_taken = |part: &Value| match part["type"].as_str() {
        Some("text") => true,
        Some("image_url" | "input_audio") => can.images_in_results,
        _ => false,
    };
    let (stays, moved): (Vec<Value>, Vec<Value>) = parts.into_iter().partition(is_taken);
    let content = match stays.as_slice() {
        [] if !moved.is_empty() => json!(ELSEWHERE),
        [only] if !moved.is_empty() && only["type"] == "text" => only["text"].clone(),
        _ => Value::Array(stays),
    };
    (content, moved)
}

/// Those parts in the user's name.
pub(super) fn from_result(name: &str, call_id: &str, moved: Vec<Value>) -> Value {
    let head = format!("From the result of {name} ({call_id}):");
    let mut all = vec![json!({"type": "text", "text": head})];
    all.extend(moved);
    Value::Array(all)
}
