//! One request to a model server.

use std::sync::Arc;

use serde_json::Value;

use super::generation::Generation;

/// What one request to a model server says: a generation, and where the server
/// has to be told something else, that. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    pub generation: Arc<Generation>,
    /// In place of what the generation says. Without it no tools are sent.
    pub adapted: Option<Arc<Adapted>>,
    /// Items after all others.
    pub appended: Vec<Value>,
}

/// A generation's tools and what depends on them, in one server's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adapted {
    /// Goes after the instructions.
    pub preamble: Option<String>,
    /// `None`: the generation's own items.
    pub items: Option<Vec<Value>>,
    /// As the Responses API writes tools, down-levelled, with flat names.
    pub tools: Vec<Value>,
    pub tool_choice: Option<Value>,
    pub parallel_tool_calls: Option<bool>,
    /// `None`: the generation's own `text`.
    pub text: Option<Value>,
    /// For an answer that is asked for again, without tools, of a server that
    /// takes no format beside them.
    pub answer: Option<Answer>,
}

/// What a server is told of an answer's form where there are no tools.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub preamble: Option<String>,
    pub text: Value,
}

impl ModelRequest {
    /// The generation as it is, without its tools.
    pub fn plain(generation: &Arc<Generation>) -> Self {
        Self {
            generation: generation.clone(),
            adapted: None,
            appended: Vec::new(),
        }
    }

    /// What the model is told before everything else.
    pub fn instructions(&self) -> Option<String> {
        match (self.preamble(), self.generation.instructions.as_deref()) {
            (Some(preamble), Some(own)) => Some(format!("{own}\n\n{preamble}")),
            (one, other) => one.or(other).map(str::to_owned),
        }
    }

    /// What of that is not the client's own.
    pub fn preamble(&self) -> Option<&str> {
        self.adapted.as_ref()?.preamble.as_deref()
    }

    /// The context, in order.
    pub fn items(&self) -> impl Iterator<Item = &Value> {
        let own = &self.generation.items;
        let items = self
            .adapted
            .as_ref()
            .and_then(|adapted| adapted.items.as_ref());
        items.unwrap_or(own).iter().chain(&self.appended)
    }

    /// The tools to send.
    pub fn tools(&self) -> &[Value] {
        self.adapted.as_ref().map_or(&[], |adapted| &adapted.tools)
    }

    /// How they may be used.
    pub fn tool_choice(&self) -> Option<&Value> {
        self.adapted.as_ref()?.tool_choice.as_ref()
    }

    /// Whether several calls are allowed in one answer.
    pub fn parallel_tool_calls(&self) -> Option<bool> {
        self.adapted.as_ref()?.parallel_tool_calls
    }

    /// `text` as the Responses API writes it.
    pub fn text(&self) -> Option<&Value> {
        let own = self.generation.text.as_ref();
        let text = self
            .adapted
            .as_ref()
            .and_then(|adapted| adapted.text.as_ref());
        text.or(own)
    }
}
