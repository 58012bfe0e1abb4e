use proptest::prelude::*;

use super::*;

fn read(may_answer: bool, text: &str, every: usize) -> Result<(String, Vec<String>), NoReply> {
    let mut reader = Reader::new(may_answer);
    let mut pieces = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    for piece in chars.chunks(every) {
        reader.push(&piece.iter().collect::<String>(), &mut pieces)?;
    }
    reader.end(&mut pieces)?;
    let mut words = String::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => words.push_str(&text),
            Piece::Thought(text) => words.extend(["(", &text, ")"]),
            Piece::Call {
                key,
                name,
                arguments,
            } => {
                calls.resize(calls.len().max(key as usize + 1), Default::default());
                let call = &mut calls[key as usize];
                call.0.push_str(&name.unwrap_or_default());
                call.1.push_str(&arguments);
            }
        }
    }
    let calls = calls
        .into_iter()
        .map(|(name, args)| format!("{name}{args}"));
    Ok((words, calls.collect()))
}

#[test]
fn replies_of_every_form() {
    let table = [
        (
            r#"{"answer": "a\n\ud83d\ude00 \"b\""}"#,
            "a\n😀 \"b\"",
            &[][..],
        ),
        (
            r#" {"answer": {"a": [1, "}"]} } "#,
            r#"{"a": [1, "}"]}"#,
            &[],
        ),
        (r#"{"answer": 12.5}"#, "12.5", &[]),
        (
            r#"{"name": "f", "arguments": {"a": "}\"{"}}"#,
            "",
            &[r#"f{"a": "}\"{"}"#],
        ),
        (r#"{"arguments": {}, "name": "f"}"#, "", &["f{}"]),
        (
            r#"{"name": "f", "arguments": "{\"a\": 1}"}"#,
            "",
            &[r#"f{"a": 1}"#],
        ),
        (
            r#"{"calls": [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"b": 2}}]}"#,
            "",
            &["f{}", r#"g{"b": 2}"#],
        ),
        (r#"[{"name": "f", "parameters": {}}]"#, "", &["f{}"]),
        (
            "```json\n{\"name\": \"f\", \"arguments\": {}}\n```",
            "",
            &["f{}"],
        ),
        ("<think>hm, {</think>\n{\"answer\": \"x\"}", "(hm, {)x", &[]),
        ("Just words.", "Just words.", &[]),
        ("`code` first", "`code` first", &[]),
        (r#"{"temperature": 3}"#, r#"{"temperature": 3}"#, &[]),
        (
            r#"{"name": "Bob", "age": 3}"#,
            r#"{"name": "Bob", "age": 3}"#,
            &[],
        ),
        (r#"[{"name": "Bob"}]"#, r#"[{"name": "Bob"}]"#, &[]),
        (r#"{"answer": "x", because"#, "x", &[]),
        ("", "", &[]),
    ];
    for (text, words, calls) in table {
        for every in [1, 3, 1000] {
            let (got, made) = read(true, text, every).expect(text);
            let made: Vec<&str> = made.iter().map(String::as_str).collect();
            assert_eq!(
                (got.as_str(), &made[..]),
                (words, calls),
                "{text} by {every}"
            );
        }
    }
}

#[test]
fn where_only_calls_are_allowed_words_are_refused_at_once() {
    for (text, offset) in [
        ("Sure!", 0),
        (r#"{"answer": "x"}"#, 8),
        (r#"{"calls": [{"name": 3"#, 20),
    ] {
        assert_eq!(read(false, text, 1).unwrap_err().offset, offset, "{text}");
    }
    assert!(read(false, r#"{"name": "f", "arguments": {"#, 1).is_err());
}

proptest! {
    #[test]
    fn any_answer_comes_through(text in any::<String>(), every in 1usize..9) {
        let reply = serde_json::json!({"answer": text}).to_string();
        prop_assert_eq!(read(true, &reply, every).expect("a reply").0, text);
    }

    #[test]
    fn nothing_makes_it_panic(text in "[{}\\[\\]\":,a-z`<>\\\\ ]{0,40}", may in any::<bool>()) {
        let _ = read(may, &text, 2);
    }
}
