//! What holds for one turn: which tools there are, what each call must be, and
//! what may be shown before it is known to be.

use std::sync::Arc;

use strict_schema::Restore;

use crate::{
    blocking::Blocking,
    tools::{callable::Kind, custom::Grammar, schema::Compiled},
};

/// What holds for a turn.
#[derive(Default)]
pub struct Rules {
    pub tools: Vec<Tool>,
    /// An answer without a call is wrong.
    pub must_call: bool,
    /// Only the first call counts.
    pub one_call: bool,
    /// Words wait until there is a call: the server may not know that there
    /// must be one.
    pub hold_text: bool,
    /// The structure that words must have.
    pub text: Option<TextRule>,
}

/// A tool, as the client and as the model server know it.
#[expect(clippy::struct_excessive_bools, reason = "independent rules")]
pub struct Tool {
    pub kind: Kind,
    pub namespace: Option<String>,
    pub name: String,
    /// The client sees its name as its namespace.
    pub under_its_name: bool,
    /// Namespace and name at the model server.
    pub wire: (Option<String>, String),
    /// Whether `tool_choice` lets the model call it.
    pub allowed: bool,
    /// Whether the client may rely on its arguments being valid.
    pub strict: bool,
    /// Whether a call waits until it is known to be valid.
    pub hold: bool,
    pub judge: Judge,
    /// The client's own schema where it says less than the one that arguments
    /// are judged by, and the client did not ask for more than its own.
    pub own: Option<Arc<Compiled>>,
    /// For tools whose schema was rewritten beyond recognition.
    pub restore: Restore,
    /// A search that this server answers itself.
    pub searches_here: bool,
}

/// How what a model writes is judged.
pub enum Judge {
    /// JSON arguments.
    Arguments(Arc<Compiled>),
    /// A custom tool's input, wrapped into a function's only argument.
    Wrapped(Option<Arc<Grammar>>),
    /// A custom tool's input, as the model server has it.
    Input(Option<Arc<Grammar>>),
}

/// The structure of an answer's text.
pub struct TextRule {
    /// The format's name; empty for `json_object`, which has none.
    pub name: String,
    /// What the client may rely on.
    pub compiled: Arc<Compiled>,
    /// The schema of a format that is not strict: the model is asked again over
    /// it, and no answer fails for it.
    pub wish: Option<Arc<Compiled>>,
    /// Whether it waits until it is known to be valid.
    pub hold: bool,
}

impl Tool {
    /// The namespace that the client sees.
    pub fn shown_namespace(&self) -> Option<String> {
        let own = self.under_its_name.then_some(&self.name);
        self.namespace.as_ref().or(own).cloned()
    }

    /// `name`, or `namespace.name`.
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Rules {
    /// Has what judges strict calls compiled where that would take long when
    /// the first one comes.
    pub async fn warm(&self, blocking: &Blocking) {
        for tool in self.tools.iter().filter(|tool| tool.strict) {
            if let Judge::Arguments(compiled) = &tool.judge {
                compiled.warm(blocking).await;
            }
            if let Some(own) = &tool.own {
                own.warm(blocking).await;
            }
        }
        if let Some(text) = &self.text {
            text.compiled.warm(blocking).await;
            if let Some(wish) = &text.wish {
                wish.warm(blocking).await;
            }
        }
    }

    /// The tool that the model server knows by that name.
    pub fn find(&self, namespace: Option<&str>, name: &str) -> Option<usize> {
        let known = |namespace: Option<&str>| {
            self.tools
                .iter()
                .position(|tool| tool.wire.0.as_deref() == namespace && tool.wire.1 == name)
        };
        known(namespace).or_else(|| {
            known(None).filter(|at| self.tools[*at].under_its_name && namespace == Some(name))
        })
    }
}
