//! What a model did that it may not do, in words for the client, and in words
//! for the model.
//!
//! Easy to break: names and values in these sentences are the model's. They go
//! to clients and into logs, so they come through [`quoted`] or [`plain`].

use strict_schema::Mismatch;

/// Most of what a model wrote that is shown to it again, in bytes.
pub(super) const MAX_SHOWN: usize = 4096;

/// Most of what is wrong that is said at once.
const MAX_PROBLEMS: usize = 3;
/// And of that, in characters.
const MAX_SENTENCE: usize = 1200;
/// Characters of a name that the model made up.
const MAX_NAME: usize = 64;

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
    /// The text of an answer with a structure of this name, or with
    /// `json_object`, which has none.
    Text { format: String },
    /// A reply in a form that nobody asked for.
    Form,
}

impl Violation {
    /// What failed, for the client: one or two sentences.
    pub fn sentence(&self) -> String {
        let problem = plain(&self.problem);
        match &self.about {
            About::Call { label, .. } => format!(
                "The model called the tool {} with arguments that are not valid. {problem}",
                quoted(label)
            ),
            About::NotOffered { name } => format!("The model called {}. {problem}", quoted(name)),
            About::Missing => {
                "The model called no tool, although 'tool_choice' asks for a call.".to_owned()
            }
            About::Text { format } if format.is_empty() => {
                format!("The model's answer is not a JSON object. {problem}")
            }
            About::Text { format } => format!(
                "The model's answer does not match the schema of the format {}. {problem}",
                quoted(format)
            ),
            About::Form => format!("The model's reply cannot be understood. {problem}"),
        }
    }

    /// What the model is told, so that it does better.
    pub fn correction(&self, emulated: bool) -> String {
        let problem = plain(&self.problem);
        let again = if emulated {
            "Reply with the corrected JSON object only."
        } else {
            "Make that tool call again, corrected, and nothing else."
        };
        match &self.about {
            About::Call { wire, .. } => format!(
                "Your call of the tool {wire} was not accepted: its arguments are not valid. \
                 {problem} They have to match the tool's JSON Schema exactly. {again}"
            ),
            About::NotOffered { name } => format!(
                "Your call of {} was not accepted. {problem} Use only the tools that you were \
                 given.",
                quoted(name)
            ),
            About::Missing => {
                "Your reply was not accepted: you have to call one of the tools now. Reply with a \
                 tool call and nothing else."
                    .to_owned()
            }
            About::Text { format } if format.is_empty() => format!(
                "Your reply was not accepted: it is not a JSON object. {problem} Reply with one \
                 JSON object and nothing else."
            ),
            About::Text { .. } => format!(
                "Your reply was not accepted: it is not JSON that matches the requested schema. \
                 {problem} Reply with the corrected JSON and nothing else."
            ),
            About::Form => format!(
                "Your reply was not accepted: it has to be one JSON object of the form that you \
                 were told. {problem} {again}"
            ),
        }
    }

    /// What the model wrote, as far as it is shown to it again.
    pub fn shown(&self) -> &str {
        let end = self.written.floor_char_boundary(MAX_SHOWN);
        &self.written[..end]
    }
}

/// A name between quotation marks: as much of it as a name may have, on one
/// line, and with nothing in it that a terminal or a reader could take for
/// something else.
pub fn quoted(name: &str) -> String {
    format!("'{}'", shortened(name))
}

/// The same without the marks.
pub fn shortened(name: &str) -> String {
    printable(name, MAX_NAME)
}

/// A sentence that quotes what a model wrote, likewise.
fn plain(sentence: &str) -> String {
    printable(sentence, MAX_SENTENCE)
}

fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * max));
    let mut chars = text.chars();
    for c in chars.by_ref().take(max) {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// Marks that move or hide what stands beside them, and other line breaks.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_wrote_is_bounded_and_on_one_line() {
        let about = |about: About, problem: &str| Violation {
            about,
            problem: problem.to_owned(),
            written: String::new(),
            good: 0,
            delivered: false,
        };
        let hostile = format!("a\n2026 ERROR \u{1b}[31m\u{202e}\0{}", "x".repeat(100_000));
        let name = hostile.clone();
        for violation in [
            about(About::NotOffered { name }, "There is no such tool."),
            about(
                About::Call {
                    label: "f".to_owned(),
                    wire: "f".to_owned(),
                },
                &hostile,
            ),
            about(
                About::Text {
                    format: "n".to_owned(),
                },
                &hostile,
            ),
            about(About::Form, &hostile),
        ] {
            for text in [violation.sentence(), violation.correction(false)] {
                assert!(text.len() < 2000, "{} bytes", text.len());
                assert!(!text.contains(char::is_control), "{text:?}");
                assert!(!text.contains('\u{202e}'), "{text:?}");
                assert!(
                    text.contains(r"a\n2026 ERROR \u{1b}[31m\u{202e}\0"),
                    "{text}"
                );
                assert!(text.contains('…'), "{text}");
            }
        }
        assert_eq!(quoted("get weather"), "'get weather'");
        assert_eq!(quoted("größe"), "'größe'");
    }
}
