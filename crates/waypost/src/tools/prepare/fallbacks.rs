//! The response header that says why tools are not strict.
//!
//! `x-waypost-strict-fallback: <tool>: <code> at #<pointer>, <code> at
//! #<pointer>; <tool>: …`. The tool is `name` or `namespace.name`, the code a
//! stable word, the pointer a JSON Pointer into the tool's `parameters` in its
//! URI fragment form (RFC 6901 section 6), so that it is ASCII. Where there is
//! more than fits, `+<n> more` stands at the end of a tool or of the whole.

use std::{fmt::Write, sync::Arc};

use http::{HeaderName, HeaderValue};

use super::Prepared;

/// The header's name.
pub const FALLBACK_HEADER: HeaderName = HeaderName::from_static("x-waypost-strict-fallback");

/// Bytes of the header's value; what is said at its end comes on top.
const MAX_VALUE: usize = 1024;
/// Reasons said of one tool.
const MAX_REASONS: usize = 3;
/// Bytes of one pointer.
const MAX_POINTER: usize = 160;

/// The tools of a request that are not strict because they could not be.
#[derive(Debug, Clone, Default)]
pub struct Fallbacks(Vec<(String, Arc<Prepared>)>);

impl Fallbacks {
    /// `label` is the tool's name, after its namespace's where it has one.
    pub(in crate::tools) fn add(&mut self, label: String, prepared: Arc<Prepared>) {
        self.0.push((label, prepared));
    }

    /// The header's value; `None` when every tool is as asked or strict.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = String::new();
        for (at, (label, prepared)) in self.0.iter().enumerate() {
            let entry = entry(label, prepared);
            if !value.is_empty() {
                if value.len() + entry.len() > MAX_VALUE {
                    let _ = write!(value, "; +{} more", self.0.len() - at);
                    break;
                }
                value.push_str("; ");
            }
            value.push_str(&entry);
        }
        if value.is_empty() {
            return None;
        }
        HeaderValue::try_from(value).ok()
    }
}

fn entry(label: &str, prepared: &Prepared) -> String {
    let reasons = prepared.fallback.as_deref().unwrap_or_default();
    let mut out = format!("{label}: ");
    for (at, reason) in reasons.iter().take(MAX_REASONS).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}{} at #", reason.code);
        fragment(&reason.pointer, &mut out);
    }
    if reasons.len() > MAX_REASONS {
        let _ = write!(out, ", +{} more", reasons.len() - MAX_REASONS);
    }
    out
}

/// The pointer with all but plain characters percent-encoded; `,` and `;`
/// separate here, so they are encoded too.
fn fragment(pointer: &str, out: &mut String) {
    let end = out.len() + MAX_POINTER;
    for byte in pointer.bytes() {
        if out.len() >= end {
            out.push_str("...");
            return;
        }
        if byte.is_ascii_alphanumeric() || b"/~-._$@*()!'+=:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
