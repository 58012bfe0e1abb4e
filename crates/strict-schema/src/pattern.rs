//! Patterns: what linear-time regular expressions can say, and rewriting them
//! for engines that know less.

use std::collections::{HashMap, HashSet};

use regex_syntax::hir::{Class, Hir, HirKind, Look};
use serde_json::Value;

/// Parses a pattern as the engine will read it, without compiling it: counted
/// repetitions stay counters, so a small text costs little. The error is a
/// clause that can follow a colon.
pub(crate) fn parse(pattern: &str) -> Result<Hir, String> {
    if large_classes(pattern) > MAX_LARGE_CLASSES {
        return Err(format!(
            "it has more than {MAX_LARGE_CLASSES} classes like '\\w' or '\\p{{L}}'"
        ));
    }
    regex_syntax::ParserBuilder::new()
        .nest_limit(100)
        .build()
        .parse(pattern)
        .map_err(|error| match error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            _ => "it is not a regular expression".into(),
        })
}

/// Classes like `\w` in one pattern. Each is hundreds of ranges as soon as the pattern is read.
pub const MAX_LARGE_CLASSES: usize = 1_000;

/// Escapes of classes in a regular expression that may be as large as Unicode's letters, within
/// brackets and without.
pub fn large_classes(pattern: &str) -> usize {
    let mut escaped = false;
    let mut count = 0;
    for byte in pattern.bytes() {
        count += usize::from(escaped && b"wWdDsSpP".contains(&byte));
        escaped = byte == b'\\' && !escaped;
    }
    count
}

/// States of an automaton above which a pattern is compiled to see whether it can be. Every
/// pattern below is far from the limit.
const SURELY_COMPILED: u64 = 4_000;
/// States of all patterns of one schema together, each counted once. Compiling as many for the
/// [`verdict`](crate::validator) takes half a second at most. A pattern like that of a UUID has 330,
/// `^\p{L}{1,60}$` 160 000.
pub(crate) const MAX_STATES: u64 = 2_000_000;

/// The patterns of one schema: each is judged once, and all together are within a budget.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    known: HashMap<String, Result<(), String>>,
    states: u64,
}

impl Patterns {
    /// As [`supported`], and whether there is room for it beside those before it.
    pub(crate) fn admit(&mut self, pattern: &str) -> Result<(), String> {
        if let Some(known) = self.known.get(pattern) {
            return known.clone();
        }
        let verdict = self.judge(pattern);
        self.known.insert(pattern.to_owned(), verdict.clone());
        verdict
    }

    fn judge(&mut self, pattern: &str) -> Result<(), String> {
        let states = size(pattern)?;
        if states <= MAX_STATES && self.states.saturating_add(states) > MAX_STATES {
            return Err("it and the schema's other patterns are too large together".into());
        }
        compiles(pattern, states)?;
        self.states += states;
        Ok(())
    }

    /// Whether all patterns of a schema are within the budget. What is no regular expression
    /// counts nothing: whoever compiles it will say so.
    pub(crate) fn affordable(schema: &Value) -> bool {
        let mut patterns = HashSet::new();
        collect(schema, &mut patterns);
        let mut left = MAX_STATES;
        patterns.into_iter().all(|pattern| {
            let rest = left.checked_sub(size(pattern).unwrap_or(0));
            left = rest.unwrap_or(0);
            rest.is_some()
        })
    }
}

/// Whatever may be a pattern; what only looks like one costs next to nothing.
fn collect<'s>(value: &'s Value, patterns: &mut HashSet<&'s str>) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                match (key.as_str(), below) {
                    ("pattern", Value::String(pattern)) => {
                        patterns.insert(pattern);
                    }
                    ("patternProperties", Value::Object(map)) => {
                        patterns.extend(map.keys().map(String::as_str));
                    }
                    _ => {}
                }
                collect(below, patterns);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, patterns)),
        _ => {}
    }
}

/// Whether the pattern is linear-time and what judges arguments by it will compile it. Counters
/// within counters make a few bytes of pattern a giant. The error is a clause as in [`parse`].
pub(crate) fn supported(pattern: &str) -> Result<(), String> {
    compiles(pattern, size(pattern)?)
}

/// About how many states the pattern has as it will be compiled.
fn size(pattern: &str) -> Result<u64, String> {
    let hir = parse(pattern)?;
    // `\w` of ECMA 262 is much smaller than that of Unicode.
    let translated = jsonschema_regex::to_rust_regex(pattern).ok();
    let translated = translated.and_then(|translated| parse(&translated).ok());
    Ok(states(translated.as_ref().unwrap_or(&hir), 0))
}

fn compiles(pattern: &str, states: u64) -> Result<(), String> {
    let is_fine = states <= SURELY_COMPILED
        || states <= MAX_STATES
            && crate::validator::options()
                .build(&serde_json::json!({ "pattern": pattern }))
                .is_ok();
    is_fine
        .then_some(())
        .ok_or_else(|| "its counted repetitions make it too large".into())
}

/// About how many states an automaton for it has, without building one.
fn states(hir: &Hir, depth: usize) -> u64 {
    if depth > 250 {
        return u64::MAX;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        // A range of characters is up to four ranges of bytes in a row, or a few times that.
        HirKind::Class(Class::Unicode(class)) => 1 + 4 * class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len() as u64,
        HirKind::Capture(capture) => states(&capture.sub, depth + 1).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1, |sum: u64, part| {
                sum.saturating_add(states(part, depth + 1))
            })
        }
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(repetition.min);
            states(&repetition.sub, depth + 1)
                .saturating_add(1)
                .saturating_mul(u64::from(times.max(1)))
        }
    }
}

/// How an engine wants its patterns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PatternStyle {
    /// `\d`, `\w`, `\s` and `(?:…)` are written out, for converters that read
    /// them as letters or give up.
    pub spelled_out: bool,
    /// The engine matches the whole string, as if the pattern stood between `^`
    /// and `$`; JSON Schema searches. Open ends are written as `.*`, which keeps
    /// line breaks out of them.
    pub whole: bool,
}

/// The pattern in an engine's style, or `None` where it has no such form.
/// `max_repetition`: counted repetitions from this number on are not taken.
pub(crate) fn styled(
    pattern: &str,
    style: &PatternStyle,
    max_repetition: Option<u64>,
) -> Option<String> {
    let hir = parse(pattern).ok()?;
    if max_repetition.is_some_and(|bound| repeats(&hir, bound, 0)) {
        return None;
    }
    let mut text = pattern.to_owned();
    if style.whole {
        text = whole(&text, &hir)?;
    }
    if style.spelled_out {
        text = spelled_out(&text)?;
    }
    Some(text)
}

fn repeats(hir: &Hir, bound: u64, depth: usize) -> bool {
    if depth > 250 {
        return true;
    }
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            u64::from(repetition.min) >= bound
                || repetition.max.is_some_and(|max| u64::from(max) >= bound)
                || repeats(&repetition.sub, bound, depth + 1)
        }
        HirKind::Capture(capture) => repeats(&capture.sub, bound, depth + 1),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().any(|part| repeats(part, bound, depth + 1))
        }
        _ => false,
    }
}

/// `^…$` around the pattern, its open ends filled.
fn whole(text: &str, hir: &Hir) -> Option<String> {
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let is = |part: Option<&Hir>, look| part.is_some_and(|p| *p.kind() == HirKind::Look(look));
    let starts = is(parts.first(), Look::Start) && text.starts_with('^');
    let ends = is(parts.last(), Look::End) && text.ends_with('$');
    let inner = &parts[usize::from(starts)..];
    let inner = &inner[..inner.len().saturating_sub(usize::from(ends))];
    // An anchor anywhere else, in a branch or a group, cannot be moved outside.
    if inner
        .iter()
        .any(|part| !part.properties().look_set().is_empty())
    {
        return None;
    }
    Some(match (starts, ends) {
        (true, true) => text.to_owned(),
        (true, false) => format!("{text}.*$"),
        (false, true) => format!("^.*{text}"),
        (false, false) => format!("^.*({text}).*$"),
    })
}

/// Classes with ASCII ranges, groups without flags.
fn spelled_out(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    let mut in_class = false;
    while let Some(character) = chars.next() {
        match character {
            '\\' => {
                let range = match (chars.next()?, in_class) {
                    ('d', _) => "0-9",
                    ('w', _) => "A-Za-z0-9_",
                    ('s', _) => " \\t\\n\\r",
                    ('D', false) => "^0-9",
                    ('W', false) => "^A-Za-z0-9_",
                    ('S', false) => "^ \\t\\n\\r",
                    // Control characters, and punctuation that is itself.
                    (escaped @ ('n' | 'r' | 't'), _) => {
                        out.extend(['\\', escaped]);
                        continue;
                    }
                    (escaped, _) if escaped.is_ascii_punctuation() => {
                        // A slash or a hyphen needs no escape outside a class.
                        if !in_class && matches!(escaped, '/' | '-' | '"' | '\'' | ':' | '@' | ',')
                        {
                            out.push(escaped);
                        } else {
                            out.extend(['\\', escaped]);
                        }
                        continue;
                    }
                    _ => return None,
                };
                if in_class {
                    out.push_str(range);
                } else {
                    out.push('[');
                    out.push_str(range);
                    out.push(']');
                }
            }
            '[' if in_class => return None,
            '[' => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that comes first is a member, in some dialects only.
                if chars.peek() == Some(&']') {
                    return None;
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '(' if !in_class => {
                out.push('(');
                if chars.next_if_eq(&'?').is_some() && chars.next() != Some(':') {
                    return None;
                }
            }
            // Lazy quantifiers match the same strings.
            '*' | '+' | '?' | '}' if !in_class => {
                out.push(character);
                chars.next_if_eq(&'?');
            }
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_around_and_back_references_are_named() {
        assert!(parse(r"^[a-z]+(-\d{2,4})*$").is_ok());
        assert!(parse(r"\/path\/\u00e9").is_ok());
        for (pattern, why) in [
            ("(?=a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            ("(", "group"),
        ] {
            let error = parse(pattern).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }

    #[test]
    fn counted_repetitions_are_not_written_out() {
        let started = std::time::Instant::now();
        let _ = parse("((((a{1000}){1000}){1000}){1000}){1000}");
        assert!(started.elapsed().as_millis() < 200);
    }

    #[test]
    fn what_is_supported_compiles() {
        for pattern in [
            r"^\w{1,1000}$",
            r"^\p{L}{1,60}$",
            "^.{0,2000}$",
            "^[a-z]{3000}$",
        ] {
            assert_eq!(supported(pattern), Ok(()), "{pattern}");
        }
        for pattern in [
            "^(a{1000}){1000}$",
            "((((a{1000}){1000}){1000}){1000}){1000}",
        ] {
            let why = supported(pattern).unwrap_err();
            assert!(why.contains("too large"), "{why}");
        }
        // On both sides of the limit, and where nothing is compiled here.
        for count in [1, 30, 60, 100, 200, 400, 800] {
            for part in [
                "a",
                r"\p{L}",
                ".",
                "[^a]",
                r"\w",
                "(a|é|日本)?",
                "(?:ab*){2}",
            ] {
                let pattern = format!("^({part}){{{count}}}$");
                let compiles = crate::Validator::new(&serde_json::json!({"pattern": pattern}));
                assert!(
                    supported(&pattern).is_err() || compiles.is_ok(),
                    "{pattern}"
                );
            }
        }
    }

    #[test]
    fn the_patterns_of_one_schema_are_within_a_budget() {
        let patterns = |count: usize, pattern: fn(usize) -> String| {
            let each = (0..count).map(|at| {
                (
                    format!("p{at}"),
                    serde_json::json!({"type": "string", "pattern": pattern(at)}),
                )
            });
            let properties: serde_json::Map<_, _> = each.collect();
            let required: Vec<&String> = properties.keys().collect();
            serde_json::json!({"type": "object", "required": required, "properties": properties,
                "additionalProperties": false})
        };
        let at = crate::Where::ResponsesFormat { name: "n" };
        let check = |schema: &Value| crate::check_strict(schema, &crate::Profile::default(), at);
        // More than any real schema has.
        for schema in [
            patterns(1000, |at| {
                format!("^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{at}$")
            }),
            patterns(300, |at| format!("^[a-zA-Z0-9_-]{{1,255}}{at}$")),
            patterns(500, |at| format!(r"^[\w.+-]+@\w+\.\w{{2,}}{at}$")),
            patterns(500, |_| r"^[\p{L} '-]{1,60}$".to_owned()),
            patterns(5, |at| format!(r"^[\p{{L}} '-]{{1,60}}{at}$")),
        ] {
            assert_eq!(
                check(&schema).map_err(|found| found[0].message.clone()),
                Ok(())
            );
            assert!(Patterns::affordable(&schema));
        }
        let started = std::time::Instant::now();
        let schema = patterns(2000, |at| format!("^([a-z]{{1,60}}[0-9]?){{1,6}}x{at}$"));
        let found = check(&schema).expect_err("too much");
        assert!(
            found[0].message.contains("too large together"),
            "{}",
            found[0].message
        );
        assert_eq!(found[0].kind.to_string(), "pattern_not_supported");
        assert!(matches!(
            crate::Validator::new(&schema),
            Err(crate::CompileError::TooLarge { .. })
        ));
        assert!(!Patterns::affordable(
            &serde_json::json!({"patternProperties":
            {"^(a{1000}){1000}$": {}, "^(b{1000}){1000}$": {}}})
        ));
        // Counting, not compiling. Far from the bound even on a busy machine.
        assert!(started.elapsed().as_secs() < 20);
    }

    #[test]
    fn open_ends_are_filled() {
        let style = PatternStyle {
            spelled_out: false,
            whole: true,
        };
        for (pattern, expected) in [
            ("^a$", Some("^a$")),
            ("^a", Some("^a.*$")),
            ("a$", Some("^.*a$")),
            ("a|b", Some("^.*(a|b).*$")),
            ("", Some("^.*().*$")),
            ("^$", Some("^$")),
            ("^a|b$", None),
            ("(^a$)", None),
            (r"\ba", None),
            (r"a\$", Some(r"^.*(a\$).*$")),
            ("(?=x)", None),
        ] {
            assert_eq!(
                styled(pattern, &style, None).as_deref(),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn classes_are_spelled_out() {
        let style = PatternStyle {
            spelled_out: true,
            whole: true,
        };
        for (pattern, expected) in [
            (r"^\d{3}-\w+$", Some(r"^[0-9]{3}-[A-Za-z0-9_]+$")),
            (r"^[\d.\-]+\/(?:x|y)$", Some(r"^[0-9.\-]+/(x|y)$")),
            (r"^\D\S$", Some(r"^[^0-9][^ \t\n\r]$")),
            (r"^[^\d]a+?$", Some("^[^0-9]a+$")),
            (r"^[\D]$", None),
            (r"^\p{L}$", None),
            ("^(?i)a$", None),
            ("^[[:alpha:]]$", None),
        ] {
            assert_eq!(
                styled(pattern, &style, None).as_deref(),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn large_counts_are_refused() {
        let style = PatternStyle {
            spelled_out: false,
            whole: false,
        };
        assert!(styled("^(a{1,5}){3}$", &style, Some(1000)).is_some());
        assert!(styled("^(a{1,1000}){3}$", &style, Some(1000)).is_none());
        assert!(styled("^a{1000,}$", &style, Some(1000)).is_none());
    }
}
