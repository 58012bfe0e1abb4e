//! The report for people: one block per tool, then one line that sums up.
//!
//! Names and messages come from files, so control characters are escaped: a tool's name must not
//! move the cursor. Colours only on a terminal that wants them (<https://no-color.org>).

use std::{
    fmt::Write as _,
    io::{IsTerminal, stdout},
};

use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use strict_json::Position;

use super::{
    judge::{Finding, Judged, Verdict},
    report::Report,
};

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

pub(super) fn render(report: &Report, with_diffs: bool) -> String {
    let paint = Paint { colours: colours() };
    let mut out = String::new();
    for problem in &report.problems {
        let place = place(&problem.file, problem.position);
        line(&mut out, &format!("{}  {place}", paint.red("unreadable")));
        line(&mut out, &format!("    {}", clean(&problem.message)));
    }
    for tool in &report.tools {
        block(&mut out, tool, with_diffs, &paint);
    }
    line(&mut out, &summary(report, &paint));
    out
}

fn block(out: &mut String, tool: &Judged, with_diffs: bool, paint: &Paint) {
    let verdict = match tool.verdict {
        Verdict::Strict => paint.green("strict"),
        Verdict::StrictAfterRewriting => paint.green("strict after rewriting"),
        Verdict::Fallback => paint.yellow("fallback"),
        Verdict::Refused => paint.red("refused"),
    };
    let mut name = tool.name.as_deref().map_or("(no name)".to_owned(), clean);
    if let Some(namespace) = &tool.namespace {
        name = format!("{}.{name}", clean(namespace));
    }
    line(
        out,
        &format!(
            "{verdict}  {}  {}",
            paint.bold(&name),
            place(&tool.file, tool.position)
        ),
    );
    for reason in &tool.reasons {
        line(out, &finding(reason, "", paint));
    }
    for warning in &tool.warnings {
        line(out, &finding(warning, &paint.yellow("warning: "), paint));
    }
    if let Some(alternative) = &tool.with_all_rewrites {
        let outcome = if tool.verdict == Verdict::Fallback {
            "--rewrite all would make it strict"
        } else {
            "--rewrite all would keep it a choice"
        };
        let mut changes: Vec<String> = Vec::new();
        for change in &alternative.changes {
            changes.push(format!("{} {}", change.code, pointer(&change.pointer)));
        }
        line(
            out,
            &paint.dim(&format!("    {outcome}: {}", changes.join(", "))),
        );
    }
    if with_diffs
        && tool.verdict == Verdict::StrictAfterRewriting
        && let Some(schema) = &tool.schema
    {
        diff(out, &tool.original, schema, paint);
    }
}

fn finding(finding: &Finding, label: &str, paint: &Paint) -> String {
    let at = match finding.position {
        Some(place) => format!("{}:{} ", place.line, place.column),
        None => String::new(),
    };
    let code = paint.dim(&format!("[{}]", finding.code));
    format!(
        "    {at}{}: {label}{} {code}",
        pointer(&finding.pointer),
        clean(&finding.message)
    )
}

/// Unified, of the schemas as indented JSON.
fn diff(out: &mut String, before: &Value, after: &Value, paint: &Paint) {
    let text = |value: &Value| {
        let text = serde_json::to_string_pretty(value).expect("a value always prints");
        clean_lines(&text) + "\n"
    };
    let (before, after) = (text(before), text(after));
    let diff = TextDiff::from_lines(&before, &after);
    line(out, &paint.dim("    --- as written"));
    line(out, &paint.dim("    +++ as resolved"));
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        line(
            out,
            &paint.cyan(&format!("    {}", hunk.header().to_string().trim_end())),
        );
        for change in hunk.iter_changes() {
            let text = change.value().trim_end_matches('\n');
            let shown = match change.tag() {
                ChangeTag::Equal => format!("     {text}"),
                ChangeTag::Delete => paint.red(&format!("    -{text}")),
                ChangeTag::Insert => paint.green(&format!("    +{text}")),
            };
            line(out, &shown);
        }
    }
}

fn summary(report: &Report, paint: &Paint) -> String {
    let parts = [
        (report.count(Verdict::Strict), "strict"),
        (
            report.count(Verdict::StrictAfterRewriting),
            "strict after rewriting",
        ),
        (report.count(Verdict::Fallback), "fallback"),
        (report.count(Verdict::Refused), "refused"),
        (
            report.warnings(),
            one_or_more(report.warnings(), "warning", "warnings"),
        ),
        (report.problems.len(), "unreadable"),
        (
            report.passed_over,
            one_or_more(
                report.passed_over,
                "file without tools",
                "files without tools",
            ),
        ),
    ];
    let tools = report.tools.len();
    let mut text = format!("{tools} {}", one_or_more(tools, "tool", "tools"));
    for (count, what) in parts.iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    paint.bold(&text)
}

fn one_or_more(count: usize, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}

fn place(file: &str, position: Option<Position>) -> String {
    let file = clean(file);
    match position {
        Some(at) => format!("{file}:{}:{}", at.line, at.column),
        None => file,
    }
}

fn pointer(pointer: &str) -> String {
    if pointer.is_empty() {
        "(root)".to_owned()
    } else {
        clean(pointer)
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Without control characters, line breaks included.
fn clean(text: &str) -> String {
    escape(text, char::is_control)
}

fn clean_lines(text: &str) -> String {
    escape(text, |c| c.is_control() && c != '\n')
}

fn escape(text: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Overrides of the writing direction can make a line read as another one.
        if escaped(c) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn colours() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|t| t != "dumb")
}

struct Paint {
    colours: bool,
}

impl Paint {
    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn red(&self, text: &str) -> String {
        self.with("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.with("32", text)
    }

    fn yellow(&self, text: &str) -> String {
        self.with("33", text)
    }

    fn cyan(&self, text: &str) -> String {
        self.with("36", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
