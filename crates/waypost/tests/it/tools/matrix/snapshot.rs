//! Readable text files that a test compares with what happened.
//!
//! `UPDATE_SNAPSHOTS=1` writes them instead; the difference is then read in the commit. Texts go
//! through [`numbered`] before, so that nothing in them is another one the next time.

use std::{collections::HashMap, fmt::Write, fs, path::PathBuf};

/// What an id begins with, on either side of the server.
const PREFIXES: &[&str] = &[
    "resp_",
    "msg_",
    "fc_",
    "ctc_",
    "rs_",
    "tsc_",
    "tso_",
    "at_",
    "mcp_",
    "mcpl_",
    "mcpr_",
    "call_",
    "chatcmpl-",
    "req_",
];
/// Shorter words, such as `fc_a`, are somebody's own and stay.
const SHORTEST: usize = 8;

/// Compares `text` with the snapshot of that name.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tools/snapshots")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        fs::write(&path, text).expect("a written snapshot");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if text == expected {
        return;
    }
    panic!(
        "{name} differs from its snapshot (UPDATE_SNAPSHOTS=1 writes it anew):\n{}",
        difference(&expected, text)
    );
}

/// Ids numbered in the order they appear: `resp_1`, `call_1`, `call_2`, and `call_1` again where it
/// is the same one.
pub fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut known: HashMap<&str, String> = HashMap::new();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let inside = out.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let found = PREFIXES.iter().find_map(|prefix| {
            let tail = rest.strip_prefix(prefix).filter(|_| !inside)?;
            let end = tail
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(tail.len());
            let random = tail[..end].contains(|c: char| c.is_ascii_digit()) && end >= SHORTEST;
            random.then_some((prefix, prefix.len() + end))
        });
        let Some((prefix, length)) = found else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let (id, tail) = rest.split_at(length);
        let short = known.entry(id).or_insert_with(|| {
            let count = counts.entry(prefix).or_default();
            *count += 1;
            format!("{prefix}{count}")
        });
        out.push_str(short);
        rest = tail;
    }
    out
}

/// The lines around the first difference of each.
fn difference(expected: &str, found: &str) -> String {
    const AROUND: usize = 3;
    const SHOWN: usize = 12;
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = old
        .iter()
        .zip(&new)
        .take_while(|(old, new)| old == new)
        .count();
    let from = same.saturating_sub(AROUND);
    let mut text = format!("line {}:\n", same + 1);
    let mut show = |mark: char, lines: &[&str]| {
        for line in lines {
            let _ = writeln!(text, "{mark} {line}");
        }
    };
    show(' ', &old[from..same]);
    for (mark, lines) in [('-', &old[same..]), ('+', &new[same..])] {
        show(mark, &lines[..lines.len().min(SHOWN)]);
    }
    text
}

#[test]
fn ids_are_numbered_and_words_stay() {
    let text = r#"{"id":"fc_0a1b2c3d","call_id":"call_00000001_0","x":"call_00000001_0 fc_ab"}"#;
    assert_eq!(
        numbered(text),
        r#"{"id":"fc_1","call_id":"call_1","x":"call_1 fc_ab"}"#
    );
    assert_eq!(numbered("my_call_00000001"), "my_call_00000001");
    assert_eq!(numbered("recall_a_function"), "recall_a_function");
}

#[test]
fn a_difference_shows_both_sides() {
    let shown = difference("a\nb\nc\n", "a\nB\nc\n");
    assert!(
        shown.starts_with("line 2:\n  a\n- b\n") && shown.contains("\n+ B\n"),
        "{shown}"
    );
}
