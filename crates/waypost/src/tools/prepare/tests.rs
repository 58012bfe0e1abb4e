use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::{config::HostedTools, tools::declare::Declarer};

fn preparer(config: &ToolsConfig) -> Preparer {
    Preparer::new(config, &Metrics::new()).expect("a known profile")
}

fn place(name: &str) -> Place<'_> {
    Place {
        at: Where::ResponsesTool { index: 0, name },
        item: None,
    }
}

fn open_object() -> Value {
    json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}})
}

#[test]
fn a_schema_is_resolved_once_whatever_its_tool_is_called() {
    let preparer = preparer(&ToolsConfig::default());
    let first = preparer
        .function(Some(&open_object()), None, place("f"))
        .expect("strict");
    let again = preparer
        .function(Some(&open_object()), None, place("g"))
        .expect("strict");
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(first.bytes, again.bytes);
}

#[test]
fn what_differs_is_not_taken_for_the_same() {
    let preparer = preparer(&ToolsConfig::default());
    let schema = open_object();
    let first = preparer
        .function(Some(&schema), None, place("f"))
        .expect("strict");
    // The order of properties is the order of the arguments.
    let reordered =
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    assert_eq!(schema, reordered, "equal as values");
    let other = preparer
        .function(Some(&reordered), None, place("f"))
        .expect("strict");
    assert!(!Arc::ptr_eq(&first, &other));
    let keys = |prepared: &Prepared| -> Vec<String> {
        let schema = prepared.parameters.as_ref().expect("a resolved schema");
        let properties = schema["properties"].as_object().expect("properties");
        properties.keys().cloned().collect()
    };
    assert_eq!(
        (keys(&first), keys(&other)),
        (
            vec!["b".to_owned(), "a".to_owned()],
            vec!["a".to_owned(), "b".to_owned()]
        )
    );

    let untouched = preparer
        .function(Some(&schema), Some(false), place("f"))
        .expect("anything");
    assert!(!untouched.strict && untouched.parameters.is_none());
    assert!(
        preparer
            .function(Some(&schema), Some(true), place("f"))
            .is_err()
    );
    assert!(
        preparer
            .format(&schema, false, Where::ResponsesFormat { name: "n" })
            .is_ok()
    );
    assert!(
        preparer
            .format(&schema, true, Where::ResponsesFormat { name: "n" })
            .is_err()
    );
}

/// JSON values of any shape.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let pair = ("[a-c]{0,1}", inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(Value::from),
            proptest::collection::vec(pair, 0..3)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    /// Two schemas have one key exactly if they are one JSON text.
    #[test]
    fn keys_are_as_different_as_texts(a in value(), b in value()) {
        let key = |value: &Value| {
            let mut out = Vec::new();
            cache::write(value, &mut out);
            out
        };
        let text = |value: &Value| value.to_string();
        prop_assert_eq!(key(&a) == key(&b), text(&a) == text(&b));
    }
}

#[test]
fn the_cache_is_bounded_in_bytes() {
    let preparer = preparer(&ToolsConfig::default());
    let schema = |at: usize, len: usize| json!({"type": "object", "properties": {}, "description": format!("{at} {}", "x".repeat(len))});
    for at in 0..200 {
        preparer
            .function(Some(&schema(at, 200_000)), None, place("f"))
            .expect("strict");
    }
    let (entries, bytes) = preparer.cache.measure();
    assert!(
        entries > 10 && bytes <= cache::MAX_BYTES,
        "{entries} {bytes}"
    );
    // One that is too large is resolved and not kept.
    let large = schema(0, 900_000);
    let first = preparer.function(Some(&large), None, place("f"));
    let second = preparer.function(Some(&large), None, place("f"));
    let (first, second) = (first.expect("strict"), second.expect("strict"));
    assert!(!Arc::ptr_eq(&first, &second));
}

#[test]
fn level_c_is_for_the_requests_own_tools_and_says_how_to_undo_it() {
    let preparer = preparer(&ToolsConfig {
        optional_as_nullable: true,
        ..ToolsConfig::default()
    });
    let function = json!({"type": "function", "name": "find", "parameters": open_object()});
    let body = json!({"tools": [function,
        {"type": "namespace", "name": "crm", "description": "d", "tools": [function]}]});
    let mut declarer = Declarer::new(&preparer, HostedTools::Refuse);
    let mut fields = crate::http::fields::Fields::new(&body, "").expect("an object");
    let tools = declarer.of_request(&mut fields).expect("tools");
    let mut arguments = json!({"b": null, "a": "x"});
    let restores: Vec<&String> = declarer.restores.keys().collect();
    assert_eq!(restores, ["crm.find", "find"]);
    declarer.restores["crm.find"].apply(&mut arguments);
    assert_eq!(arguments, json!({"a": "x"}));
    assert!(tools[0]["parameters"].to_string().contains("null"));

    let mut declarer = Declarer::new(&preparer, HostedTools::Refuse);
    let tools = declarer
        .of_item("input[0]", std::slice::from_ref(&function))
        .expect("tools");
    assert!(declarer.restores.is_empty());
    assert_eq!(tools[0]["strict"], true);
    assert!(!tools[0]["parameters"].to_string().contains("null"));
}

#[test]
fn the_schemas_of_one_request_are_bounded_together() {
    let preparer = preparer(&ToolsConfig::default());
    let tools: Vec<Value> = (0..6)
        .map(|at| {
            json!({"type": "function", "name": format!("f{at}"), "parameters":
                {"type": "object", "properties": {}, "description": "x".repeat(1_000_000)}})
        })
        .collect();
    let mut declarer = Declarer::new(&preparer, HostedTools::Refuse);
    assert!(declarer.of_item("input[0]", &tools[..4]).is_ok());
    let error = declarer
        .of_item("input[1]", &tools[4..])
        .expect_err("too much");
    assert!(error.message().contains("together"), "{}", error.message());
}

#[test]
fn an_unknown_profile_is_said() {
    let config = ToolsConfig {
        profile: "openai".to_owned(),
        ..ToolsConfig::default()
    };
    let error = Preparer::new(&config, &Metrics::new())
        .err()
        .expect("no such profile");
    assert_eq!(
        error.to_string(),
        "is `openai`: it must be one of openai-2026, openai-2024, azure, fine-tuned"
    );
}
