//! `waypost schema lint`, as CI and people run it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{harness::waypost, support::World};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

fn lint(dir: &Path, arguments: &[&str]) -> Output {
    waypost()
        .current_dir(dir)
        .args(["schema", "lint"])
        .args(arguments)
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Exit code and document of a run with `--json`.
fn document(dir: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = lint(dir, &[&["--json"], arguments].concat());
    let json = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        json.unwrap_or_else(|error| panic!("{error}: {output:?}")),
    )
}

fn verdicts(document: &Value) -> Vec<(&str, &str)> {
    let tools = document["tools"].as_array().expect("tools");
    tools
        .iter()
        .map(|tool| {
            let name = tool["name"].as_str().unwrap_or("-");
            (name, tool["verdict"].as_str().expect("a verdict"))
        })
        .collect()
}

const BODY: &str = r#"{
  "model": "m",
  "tools": [
    {"type": "function", "name": "weather",
     "parameters": {"type": "object",
       "properties": {
         "city": {"type": "string"},
         "unit": {"type": "string", "default": "c"}},
       "required": ["city"]}},
    {"type": "function", "name": "free",
     "parameters": {"type": "object", "properties": {"any": {"type": "object"}}}},
    {"type": "function", "name": "exact", "strict": true,
     "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": false}}
  ]
}"#;

#[test]
fn each_tool_has_a_verdict_a_place_and_a_diff() {
    let dir = folder(&[("body.json", BODY)]);
    let output = lint(dir.path(), &["body.json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    assert!(!printed.contains('\x1b'), "colours in a pipe: {printed}");
    for line in [
        "strict after rewriting  weather  body.json:4:5",
        "    8:18 /properties/unit: warning: 'unit' is optional and cannot be null: strict mode \
         makes it mandatory, whatever its default says, and the model has to invent a value for \
         it. [optional_becomes_mandatory]",
        "    --rewrite all would keep it a choice: optional_made_nullable /properties/unit",
        "    +    \"city\",",
        "    +    \"unit\"",
        "    +  \"additionalProperties\": false",
        "fallback  free  body.json:10:5",
        "strict  exact  body.json:12:5",
        "3 tools, 1 strict, 1 strict after rewriting, 1 fallback, 1 warning",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\nin\n{printed}"
        );
    }
    assert!(printed.contains("11:61 /properties/any: "), "{printed}");
    assert!(printed.contains("[free_form_object]"), "{printed}");
    let without = text(&lint(dir.path(), &["--no-diff", "body.json"]).stdout);
    assert!(!without.contains("additionalProperties"), "{without}");
}

#[test]
fn exit_codes_are_for_ci() {
    let dir = folder(&[
        ("body.json", BODY),
        ("strict.json", r#"{"type": "object", "properties": {}}"#),
        (
            "refused.json",
            r#"{"name": "f", "inputSchema": {"type": "array"}}"#,
        ),
        ("twice.json", "{\"a\": 1,\n \"a\": 2}"),
        ("other.json", r#"{"name": "a-package", "version": "1.0.0"}"#),
        ("empty/readme.txt", ""),
    ]);
    let code = |arguments: &[&str]| lint(dir.path(), arguments).status.code();
    assert_eq!(code(&["strict.json"]), Some(0));
    assert_eq!(code(&["--strict", "strict.json"]), Some(0));
    // A fallback is what Responses documents: an objection only on request.
    assert_eq!(code(&["body.json"]), Some(0));
    assert_eq!(code(&["--strict", "body.json"]), Some(1));
    assert_eq!(code(&["refused.json"]), Some(1));
    for unreadable in ["twice.json", "other.json", "missing.json", "empty"] {
        assert_eq!(code(&[unreadable]), Some(2), "{unreadable}");
        assert_eq!(code(&["refused.json", unreadable]), Some(2), "{unreadable}");
    }
    assert_eq!(code(&[]), Some(64));
    assert_eq!(code(&["--profile", "openai-1999", "strict.json"]), Some(64));
    assert_eq!(
        code(&["--plain", "--rewrite", "all", "strict.json"]),
        Some(64)
    );

    let printed = text(&lint(dir.path(), &["twice.json"]).stdout);
    assert!(printed.contains("unreadable  twice.json:2:"), "{printed}");
    assert!(printed.contains("twice in one object"), "{printed}");
}

#[test]
fn the_json_document_says_everything() {
    let dir = folder(&[("body.json", BODY)]);
    let (code, found) = document(dir.path(), &["body.json"]);
    assert_eq!(code, Some(0));
    assert_eq!(found["version"], 1);
    assert_eq!(found["api"], "responses");
    assert_eq!(found["profile"], "openai-2026");
    assert_eq!(found["problems"], json!([]));
    assert_eq!(
        found["summary"],
        json!({"tools": 3, "strict": 1, "strict_after_rewriting": 1, "fallback": 1, "refused": 0,
               "warnings": 1, "problems": 0, "passed_over": 0})
    );
    let weather = &found["tools"][0];
    assert_eq!(
        (
            &weather["file"],
            &weather["pointer"],
            &weather["line"],
            &weather["column"]
        ),
        (
            &json!("body.json"),
            &json!("/tools/0"),
            &json!(4),
            &json!(5)
        )
    );
    assert_eq!(weather["shape"], "responses_function");
    assert_eq!(weather["strict"], Value::Null);
    assert_eq!(weather["schema"]["required"], json!(["city", "unit"]));
    assert_eq!(weather["warnings"][0]["pointer"], "/properties/unit");
    assert_eq!(weather["warnings"][0]["line"], 8);
    assert_eq!(
        weather["changes"],
        json!([
            {"level": "A", "code": "object_closed", "pointer": ""},
            {"level": "A", "code": "optional_made_mandatory", "pointer": "/properties/unit"}])
    );
    assert_eq!(
        weather["with_all_rewrites"]["changes"],
        json!([{"level": "C", "code": "optional_made_nullable", "pointer": "/properties/unit"}])
    );
    let free = &found["tools"][1];
    assert_eq!(free["schema"], Value::Null);
    assert_eq!(free["reasons"][0]["code"], "free_form_object");
    assert_eq!(free["reasons"][0]["pointer"], "/properties/any");
    assert_eq!(found["tools"][2]["strict"], true);
}

#[test]
fn rewrites_and_profiles_are_chosen() {
    let dir = folder(&[
        ("body.json", BODY),
        (
            "map.json",
            r#"{"name": "m", "input_schema": {"type": "object", "properties": {
            "tags": {"type": "object", "additionalProperties": {"type": "string"}}}}}"#,
        ),
        (
            "pattern.json",
            r#"{"type": "object", "properties": {"p": {"type": "string", "pattern": "^a$"}}}"#,
        ),
    ]);
    let (_, found) = document(
        dir.path(),
        &["--rewrite", "nullable-optionals", "body.json"],
    );
    assert_eq!(found["tools"][0]["warnings"], json!([]));
    assert_eq!(found["rewrites"]["nullable_optionals"], true);

    let (code, found) = document(dir.path(), &["--strict", "map.json"]);
    assert_eq!((code, verdicts(&found)), (Some(1), vec![("m", "fallback")]));
    assert_eq!(
        found["tools"][0]["with_all_rewrites"]["verdict"],
        "strict_after_rewriting"
    );
    let (code, found) = document(dir.path(), &["--strict", "--rewrite", "all", "map.json"]);
    assert_eq!(
        (code, verdicts(&found)),
        (Some(0), vec![("m", "strict_after_rewriting")])
    );

    let (code, _) = document(dir.path(), &["--strict", "pattern.json"]);
    assert_eq!(code, Some(0));
    let (code, found) = document(
        dir.path(),
        &["--strict", "--profile", "azure", "pattern.json"],
    );
    assert_eq!((code, verdicts(&found)), (Some(1), vec![("-", "fallback")]));
}

#[test]
fn strict_true_and_chat_are_checked_with_openais_words() {
    let tool = json!({"type": "function", "function": {"name": "f",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    let mut strict = tool.clone();
    strict["function"]["strict"] = json!(true);
    let dir = folder(&[
        ("tool.json", &tool.to_string()),
        ("strict.json", &strict.to_string()),
    ]);
    let (code, found) = document(dir.path(), &["--api", "chat", "strict.json"]);
    assert_eq!((code, verdicts(&found)), (Some(1), vec![("f", "refused")]));
    let reasons = &found["tools"][0]["reasons"];
    assert_eq!(
        reasons[0]["message"],
        "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be \
         supplied and to be false."
    );
    assert_eq!(reasons[1]["code"], "optional_property");
    // Chat Completions never rewrites: without `strict` nothing is enforced.
    let (code, found) = document(dir.path(), &["--api", "chat", "tool.json"]);
    assert_eq!((code, verdicts(&found)), (Some(0), vec![("f", "fallback")]));
    let (_, found) = document(dir.path(), &["tool.json"]);
    assert_eq!(verdicts(&found), [("f", "strict_after_rewriting")]);
}

#[test]
fn directories_lines_and_standard_input_are_read() {
    let tool = |name: &str| {
        format!(r#"{{"name": "{name}", "inputSchema": {{"type": "object", "properties": {{}}}}}}"#)
    };
    let dir = folder(&[
        (
            "tools/b/list.json",
            &format!(
                r#"{{"jsonrpc": "2.0", "id": 1, "result": {{"tools": [{}]}}}}"#,
                tool("listed")
            ),
        ),
        (
            "tools/a.jsonl",
            &format!("{}\n\n{}\n", tool("first"), tool("second")),
        ),
        ("tools/package.json", r#"{"name": "p", "version": "1.0.0"}"#),
        ("tools/.hidden/c.json", &tool("hidden")),
        ("tools/node_modules/d.json", &tool("vendored")),
        ("tools/notes.txt", "{"),
    ]);
    let (code, found) = document(dir.path(), &["tools"]);
    assert_eq!(code, Some(0), "{found}");
    let names: Vec<_> = verdicts(&found).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["first", "second", "listed"]);
    assert_eq!(found["tools"][1]["line"], 3);
    assert_eq!(found["summary"]["passed_over"], 1);

    let mut child = waypost()
        .args(["schema", "lint", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(tool("piped").as_bytes()).expect("read");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["tools"][0]["file"], "<stdin>");
    assert_eq!(verdicts(&found), [("piped", "strict_after_rewriting")]);
}

#[test]
fn names_are_checked_and_never_move_the_cursor() {
    let parameters = json!({"type": "object", "properties": {}});
    let function = |name: &str| json!({"type": "function", "name": name, "parameters": parameters});
    let tools = json!([
        function("same"),
        function("same"),
        function("a.b"),
        function("\u{1b}[2J")
    ]);
    let dir = folder(&[("tools.json", &tools.to_string())]);
    let (code, found) = document(dir.path(), &["tools.json"]);
    assert_eq!(code, Some(1));
    let reasons: Vec<_> = found["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| tool["reasons"][0]["code"].as_str().unwrap_or("-"))
        .collect();
    assert_eq!(reasons, ["-", "name_twice", "name_pattern", "name_pattern"]);
    let printed = text(&lint(dir.path(), &["tools.json"]).stdout);
    assert!(
        !printed.contains('\x1b') && printed.contains("\\u{1b}[2J"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_a_live_server() {
    let mcp = waypost_testkit::ScriptedMcp::start()
        .await
        .expect("an MCP server");
    let url = mcp.url();
    let (code, live) =
        tokio::task::spawn_blocking(move || document(folder(&[]).path(), &["--mcp-url", &url]))
            .await
            .expect("it ran");
    assert_eq!(code, Some(0), "{live}");
    assert!(!verdicts(&live).is_empty(), "{live}");

    // A server that is not there is an input that cannot be read.
    let url = mcp.url();
    drop(mcp);
    let (code, gone) =
        tokio::task::spawn_blocking(move || document(folder(&[]).path(), &["--mcp-url", &url]))
            .await
            .expect("it ran");
    assert_eq!(code, Some(2), "{gone}");
    assert_eq!(gone["problems"].as_array().map(Vec::len), Some(1), "{gone}");
}

/// `invopop/jsonschema`, which Go programs generate their schemas with, writes a
/// root that is only a reference.
fn generated_by_go(properties: Value) -> Value {
    json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/Args",
        "$defs": {"Args": {"type": "object", "properties": properties, "required": ["a"],
            "additionalProperties": false}}})
}

fn schemas() -> Vec<Value> {
    let closed = |a: Value| {
        json!({"type": "object", "properties": {"a": a}, "required": ["a"],
            "additionalProperties": false})
    };
    let text = json!({"type": "string"});
    let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    vec![
        closed(text.clone()),
        json!({"type": "object", "properties": {"a": text}}),
        closed(map.clone()),
        generated_by_go(json!({"a": text})),
        generated_by_go(json!({"a": map})),
        json!({"$ref": "#/$defs/b", "$defs": {"b": {"$ref": "#/$defs/c"}, "c": closed(map)}}),
        json!({"$ref": "#/$defs/nothing", "$defs": {}}),
        json!({"$ref": "#/$defs/u", "$defs": {"u": {"anyOf": [closed(text.clone())]}}}),
        json!({}),
        json!({"type": "object"}),
        json!({"properties": {"a": text}}),
        json!({"type": "array", "items": text}),
        json!({"type": "object", "anyOf": [closed(text.clone())]}),
        closed(json!({"type": "string", "pattern": "(?=x)"})),
        closed(json!({"enum": ["x", 1]})),
        closed(json!({"type": "object", "properties": {}, "required": true})),
    ]
}

#[tokio::test]
async fn lint_says_what_the_server_does() {
    let world = World::start().await;
    for schema in schemas() {
        for strict in [None, Some(true), Some(false)] {
            let mut tool = json!({"type": "function", "name": "f", "parameters": schema});
            if let Some(strict) = strict {
                tool["strict"] = json!(strict);
            }
            let body = json!({"model": "native?tokens=1", "tools": [tool], "input": "x"});
            let reply = world.client().post("/v1/responses", body.clone()).await;
            let server = if reply.status == 400 {
                "refused"
            } else {
                let echoed = &reply.ok().json["tools"][0];
                let is_strict = echoed["strict"] == true;
                match (is_strict, echoed["parameters"] == schema) {
                    (true, true) => "strict",
                    (true, false) => "strict_after_rewriting",
                    _ => "fallback",
                }
            };
            let dir = folder(&[("tool.json", &body.to_string())]);
            let (_, lint) = document(dir.path(), &["tool.json"]);
            let (_, lint) = verdicts(&lint)[0];
            if strict == Some(false) {
                // There it says what leaving it out would give.
                assert_eq!(lint == "refused", server == "refused", "{schema}");
            } else {
                assert_eq!(lint, server, "{schema} {strict:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_root_that_is_a_reference_is_inlined_also_in_best_effort() {
    let world = World::start().await;
    let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let schema = generated_by_go(json!({"a": map}));
    for strict in [Value::Null, json!(false)] {
        let tool = json!({"type": "function", "name": "f", "parameters": schema, "strict": strict});
        let body = json!({"model": "native?tokens=1", "tools": [tool], "input": "x"});
        let reply = world.client().post("/v1/responses", body.clone()).await;
        let echoed = &reply.ok().json["tools"][0];
        assert_eq!(echoed["strict"], false);
        assert_eq!(echoed["parameters"]["type"], "object");
        assert_eq!(echoed["parameters"]["properties"]["a"], map);
        assert_eq!(echoed["parameters"]["$ref"], Value::Null);
    }
}
