//! Responses API events of an upstream as deltas. Pure: data lines go in.
//!
//! What the deltas brought is reconciled with what the `.done` events and the
//! finished items say: some servers send arguments or text only there.

use std::collections::HashMap;

use http::StatusCode;
use serde_json::Value;

use crate::upstream::{
    error::UpstreamError,
    generation::{CallKind, Delta, Finish, Usage},
};

/// Texts of one answer that are kept track of.
const MAX_TEXTS: usize = 4096;

/// Reads one streamed answer.
#[derive(Debug, Default)]
pub struct NativeDecoder {
    finished: bool,
    /// Bytes delivered so far, by output index, part and kind of text.
    delivered: HashMap<(u64, u64, Kind), usize>,
    messages: u64,
    reasonings: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
    Summary,
    Arguments,
    Input,
}

impl NativeDecoder {
    /// Reads one `data:` payload and appends what it says.
    pub fn data(&mut self, data: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        let data = data.trim();
        if data.is_empty() || data == "[DONE]" {
            return Ok(());
        }
        let event: Value =
            serde_json::from_str(data).map_err(|e| UpstreamError::Malformed(e.to_string()))?;
        let at = |key: &str| event[key].as_u64().unwrap_or_default();
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let output = at("output_index");
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" => self.added(output, &event["item"], out)?,
            "response.output_text.delta" => {
                let logprobs = event["logprobs"].as_array().cloned().unwrap_or_default();
                self.deliver(
                    output,
                    at("content_index"),
                    Kind::Text,
                    text("delta"),
                    logprobs,
                    out,
                );
            }
            "response.output_text.done" => {
                self.reconcile(output, at("content_index"), Kind::Text, text("text"), out);
            }
            "response.output_text.annotation.added" => {
                out.push(Delta::Annotation(event["annotation"].clone()));
            }
            "response.refusal.delta" => {
                self.deliver(
                    output,
                    at("content_index"),
                    Kind::Refusal,
                    text("delta"),
                    vec![],
                    out,
                );
            }
            "response.refusal.done" => {
                self.reconcile(
                    output,
                    at("content_index"),
                    Kind::Refusal,
                    text("refusal"),
                    out,
                );
            }
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.deliver(
                    output,
                    at("content_index"),
                    Kind::Reasoning,
                    text("delta"),
                    vec![],
                    out,
                );
            }
            "response.reasoning_text.done" | "response.reasoning.done" => {
                self.reconcile(
                    output,
                    at("content_index"),
                    Kind::Reasoning,
                    text("text"),
                    out,
                );
            }
            "response.reasoning_summary_text.delta" => {
                self.deliver(
                    output,
                    at("summary_index"),
                    Kind::Summary,
                    text("delta"),
                    vec![],
                    out,
                );
            }
            "response.reasoning_summary_text.done" => {
                self.reconcile(
                    output,
                    at("summary_index"),
                    Kind::Summary,
                    text("text"),
                    out,
                );
            }
            "response.function_call_arguments.delta" => {
                self.deliver(output, 0, Kind::Arguments, text("delta"), vec![], out);
            }
            "response.function_call_arguments.done" => {
                self.reconcile(output, 0, Kind::Arguments, text("arguments"), out);
            }
            "response.custom_tool_call_input.delta" => {
                self.deliver(output, 0, Kind::Input, text("delta"), vec![], out);
            }
            "response.custom_tool_call_input.done" => {
                self.reconcile(output, 0, Kind::Input, text("input"), out);
            }
            "response.output_item.done" => self.done(output, &event["item"], out),
            "response.completed" => self.finish(&event["response"], Finish::Stop, out),
            "response.incomplete" => {
                let reason = &event["response"]["incomplete_details"]["reason"];
                let finish = if reason == "content_filter" {
                    Finish::ContentFilter
                } else {
                    Finish::Length
                };
                self.finish(&event["response"], finish, out);
            }
            "response.failed" => {
                let error = &event["response"]["error"];
                let status = match error["code"].as_str() {
                    Some("rate_limit_exceeded") => StatusCode::TOO_MANY_REQUESTS,
                    Some("server_error") | None => StatusCode::INTERNAL_SERVER_ERROR,
                    Some(_) => StatusCode::BAD_REQUEST,
                };
                return Err(UpstreamError::from_object(status, error));
            }
            "error" => {
                // Flat in the API, nested at some servers.
                let status = match event["code"].as_str() {
                    Some("rate_limit_exceeded") => StatusCode::TOO_MANY_REQUESTS,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return Err(UpstreamError::from_object(status, &event));
            }
            // Lifecycle, part boundaries, keepalive, and whatever is new.
            _ => {}
        }
        if self.delivered.len() > MAX_TEXTS {
            return Err(UpstreamError::Malformed(format!(
                "more than {MAX_TEXTS} texts in one answer"
            )));
        }
        Ok(())
    }

    /// Whether the answer is whole: nothing more need be read.
    pub fn is_done(&self) -> bool {
        self.finished
    }

    /// The stream ended.
    pub fn end(&self) -> Result<(), UpstreamError> {
        if self.finished {
            Ok(())
        } else {
            Err(UpstreamError::Broken("end without a terminal event".into()))
        }
    }

    fn added(
        &mut self,
        output: u64,
        item: &Value,
        out: &mut Vec<Delta>,
    ) -> Result<(), UpstreamError> {
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                self.messages += 1;
                let phase = item["phase"].as_str().map(str::to_owned);
                if self.messages > 1 || phase.is_some() {
                    out.push(Delta::Message { phase });
                }
            }
            "reasoning" => {
                self.reasonings += 1;
                if self.reasonings > 1 {
                    out.push(Delta::ReasoningBreak);
                }
            }
            kind @ ("function_call" | "custom_tool_call") => out.push(Delta::ToolCall {
                key: output,
                kind: if kind == "function_call" {
                    CallKind::Function
                } else {
                    CallKind::Custom
                },
                call_id: item["call_id"].as_str().map(str::to_owned),
                name: item["name"].as_str().map(str::to_owned),
                namespace: item["namespace"].as_str().map(str::to_owned),
                arguments: String::new(),
            }),
            // The server's own search among the tools that it was given.
            "tool_search_call" | "tool_search_output" => out.push(Delta::ItemAdded {
                key: output,
                item: item.clone(),
            }),
            other => {
                return Err(UpstreamError::Malformed(format!(
                    "an output item of type '{other}', for which nobody asked"
                )));
            }
        }
        Ok(())
    }

    /// The finished item holds what its deltas may have left out.
    fn done(&mut self, output: u64, item: &Value, out: &mut Vec<Delta>) {
        match item["type"].as_str().unwrap_or_default() {
            "function_call" => {
                let arguments = item["arguments"].as_str().unwrap_or_default();
                self.reconcile(output, 0, Kind::Arguments, arguments, out);
            }
            "custom_tool_call" => {
                let input = item["input"].as_str().unwrap_or_default();
                self.reconcile(output, 0, Kind::Input, input, out);
            }
            "tool_search_call" | "tool_search_output" => out.push(Delta::ItemDone {
                key: output,
                item: item.clone(),
            }),
            "message" => {
                for (at, part) in (0..).zip(item["content"].as_array().into_iter().flatten()) {
                    if let Some(text) = part["text"].as_str() {
                        self.reconcile(output, at, Kind::Text, text, out);
                    }
                    if let Some(text) = part["refusal"].as_str() {
                        self.reconcile(output, at, Kind::Refusal, text, out);
                    }
                }
            }
            "reasoning" => {
                for (at, part) in (0..).zip(item["content"].as_array().into_iter().flatten()) {
                    self.reconcile(
                        output,
                        at,
                        Kind::Reasoning,
                        part["text"].as_str().unwrap_or_default(),
                        out,
                    );
                }
                for (at, part) in (0..).zip(item["summary"].as_array().into_iter().flatten()) {
                    self.reconcile(
                        output,
                        at,
                        Kind::Summary,
                        part["text"].as_str().unwrap_or_default(),
                        out,
                    );
                }
                if let Some(sealed) = item["encrypted_content"].as_str() {
                    out.push(Delta::ReasoningEncrypted(sealed.into()));
                }
            }
            _ => {}
        }
    }

    fn deliver(
        &mut self,
        output: u64,
        part: u64,
        kind: Kind,
        text: &str,
        logprobs: Vec<Value>,
        out: &mut Vec<Delta>,
    ) {
        if text.is_empty() {
            return;
        }
        *self.delivered.entry((output, part, kind)).or_default() += text.len();
        out.push(match kind {
            Kind::Text => Delta::Text {
                text: text.into(),
                logprobs,
            },
            Kind::Refusal => Delta::Refusal(text.into()),
            Kind::Reasoning => Delta::Reasoning(text.into()),
            Kind::Summary => Delta::ReasoningSummary {
                index: part as usize,
                text: text.into(),
            },
            Kind::Arguments | Kind::Input => Delta::ToolCall {
                key: output,
                kind: if kind == Kind::Input {
                    CallKind::Custom
                } else {
                    CallKind::Function
                },
                call_id: None,
                name: None,
                namespace: None,
                arguments: text.into(),
            },
        });
    }

    /// Delivers the rest of a text of which only a beginning came in deltas.
    fn reconcile(&mut self, output: u64, part: u64, kind: Kind, whole: &str, out: &mut Vec<Delta>) {
        let have = self
            .delivered
            .get(&(output, part, kind))
            .copied()
            .unwrap_or_default();
        if let Some(rest) = whole.get(have..) {
            self.deliver(output, part, kind, rest, vec![], out);
        }
    }

    fn finish(&mut self, response: &Value, finish: Finish, out: &mut Vec<Delta>) {
        let usage = &response["usage"];
        if usage.is_object() {
            let count = |v: &Value| v.as_u64().unwrap_or_default();
            out.push(Delta::Usage(Usage {
                input_tokens: count(&usage["input_tokens"]),
                cached_tokens: count(&usage["input_tokens_details"]["cached_tokens"]),
                output_tokens: count(&usage["output_tokens"]),
                reasoning_tokens: count(&usage["output_tokens_details"]["reasoning_tokens"]),
            }));
        }
        self.finished = true;
        out.push(Delta::Finish(finish));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(lines: &[&str]) -> (Vec<Delta>, Result<(), UpstreamError>) {
        let mut decoder = NativeDecoder::default();
        let mut out = Vec::new();
        for line in lines {
            if let Err(e) = decoder.data(line, &mut out) {
                return (out, Err(e));
            }
        }
        let end = decoder.end();
        (out, end)
    }

    #[test]
    fn arguments_only_in_done_are_delivered_once() {
        let (deltas, end) = decode(&[
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_theirs"}}"#,
            r#"{"type":"keepalive","sequence_number":1}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":""}}"#,
            r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{}"}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#,
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}}"#,
        ]);
        assert!(end.is_ok());
        let arguments: String = deltas
            .iter()
            .filter_map(|d| match d {
                Delta::ToolCall { arguments, .. } => Some(arguments.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(arguments, "{}");
    }

    #[test]
    fn custom_calls_keep_their_kind_and_namespace() {
        let (deltas, _) = decode(&[
            r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"custom_tool_call","call_id":"c","name":"t","namespace":"n","input":""}}"#,
            r#"{"type":"response.custom_tool_call_input.delta","output_index":1,"delta":"ab"}"#,
            r#"{"type":"response.custom_tool_call_input.done","output_index":1,"input":"abc"}"#,
            r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"custom_tool_call","call_id":"c","name":"t","input":"abc"}}"#,
        ]);
        let piece = |name: Option<&str>, arguments: &str| Delta::ToolCall {
            key: 1,
            kind: CallKind::Custom,
            call_id: name.map(|_| "c".into()),
            name: name.map(Into::into),
            namespace: name.map(|_| "n".into()),
            arguments: arguments.into(),
        };
        assert_eq!(
            deltas,
            [piece(Some("t"), ""), piece(None, "ab"), piece(None, "c")]
        );
    }

    #[test]
    fn text_is_completed_from_the_done_event() {
        let (deltas, _) = decode(&[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message"}}"#,
            r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hel","obfuscation":"xx"}"#,
            r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"Hello"}"#,
        ]);
        assert_eq!(
            deltas,
            [
                Delta::Text {
                    text: "Hel".into(),
                    logprobs: vec![]
                },
                Delta::Text {
                    text: "lo".into(),
                    logprobs: vec![]
                },
            ]
        );
    }

    #[test]
    fn an_end_without_terminal_event_is_broken_and_failures_are_errors() {
        assert!(matches!(decode(&[]).1, Err(UpstreamError::Broken(_))));
        let failed = r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"later"}}}"#;
        assert!(decode(&[failed]).1.unwrap_err().is_throttle());
        let nested = r#"{"type":"error","error":{"message":"no"}}"#;
        assert!(
            matches!(decode(&[nested]).1, Err(UpstreamError::Status { message, .. }) if message == "no")
        );
    }
}
