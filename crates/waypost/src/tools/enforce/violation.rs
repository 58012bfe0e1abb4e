//! What a model did that it may not do, in words for the client, and in words
//! for the model.

use strict_schema::Mismatch;

/// Most of what a model wrote that is shown to it again, in bytes.
pub(super) const MAX_SHOWN: usize = 4096;

/// Most of what is wrong that is said at once.
const MAX_PROBLEMS: usize = 3;

/// Something that the client must not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub about: About,
    /// A sentence.
    pub problem: String,
    /// What the model wrote, and how many bytes of it were good.
    pub written: String,
    pub good: usize,
    /// Part of it was delivered already: it cannot be taken back.
    pub delivered: bool,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A call of a tool: its name for the client, and for the model.
    Call { label: String, wire: String },
    /// A call of something that was not offered.
    NotOffered { name: String },
    /// No call, where there has to be one.
    Missing,
    /// The text of an answer with a structure of this name.
    Text { format: String },
    /// A reply in a form that nobody asked for.
    Form,
}

impl Violation {
    /// What failed, for the client: one or two sentences.
    pub fn sentence(&self) -> String {
        match &self.about {
            About::Call { label, .. } => {
                format!(
                    "The model called the tool '{label}' with arguments that are not valid. {}",
                    self.problem
                )
            }
            About::NotOffered { name } => {
                let name: String = name.chars().take(64).collect();
                format!("The model called '{name}'. {}", self.problem)
            }
            About::Missing => {
                "The model called no tool, although 'tool_choice' asks for a call.".to_owned()
            }
            About::Text { format } => format!(
                "The model's answer does not match the schema of the format '{format}'. {}",
                self.problem
            ),
            About::Form => format!("The model's reply cannot be understood. {}", self.problem),
        }
    }

    /// What the model is told, so that it does better.
    pub fn correction(&self, emulated: bool) -> String {
        let again = if emulated {
            "Reply with the corrected JSON object only."
        } else {
            "Make that tool call again, corrected, and nothing else."
        };
        match &self.about {
            About::Call { wire, .. } => format!(
                "Your call of the tool {wire} was not accepted: its arguments are not valid. {} \
                 They have to match the tool's JSON Schema exactly. {again}",
                self.problem
            ),
            About::NotOffered { name } => format!(
                "Your call of {name} was not accepted. {} Use only the tools that you were given.",
                self.problem
            ),
            About::Missing => {
                "Your reply was not accepted: you have to call one of the tools now. Reply with a \
                 tool call and nothing else."
                    .to_owned()
            }
            About::Text { .. } => format!(
                "Your reply was not accepted: it is not JSON that matches the requested schema. {} \
                 Reply with the corrected JSON and nothing else.",
                self.problem
            ),
            About::Form => format!(
                "Your reply was not accepted: it has to be one JSON object of the form that you \
                 were told. {} {again}",
                self.problem
            ),
        }
    }

    /// What the model wrote, as far as it is shown to it again.
    pub fn shown(&self) -> &str {
        let end = self.written.floor_char_boundary(MAX_SHOWN);
        &self.written[..end]
    }
}

/// What a verdict found, as sentences: the first few.
pub fn problems(mismatches: &[Mismatch]) -> String {
    let sentences: Vec<String> = mismatches.iter().take(MAX_PROBLEMS).map(problem).collect();
    sentences.join(" ")
}

/// A mismatch as a sentence.
pub fn problem(mismatch: &Mismatch) -> String {
    let message = mismatch.message.trim_end_matches('.');
    if mismatch.pointer.is_empty() {
        let mut chars = message.chars();
        let first = chars.next().map(|c| c.to_uppercase().to_string());
        format!("{}{}.", first.unwrap_or_default(), chars.as_str())
    } else {
        format!("At '{}': {message}.", mismatch.pointer)
    }
}
