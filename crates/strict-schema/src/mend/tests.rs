use serde_json::{Value, json};

use super::mend;
use crate::limits::Size;
use crate::profile::Profile;

fn mended(schema: Value) -> Value {
    mend(&schema, &Profile::default()).unwrap_or(Value::Null)
}

fn with(property: Value) -> Value {
    json!({"type": "object", "properties": {"a": property}})
}

#[test]
fn what_is_fine_stays() {
    for schema in [
        json!({"type": "object", "properties": {}}),
        with(json!({"type": "array", "items": {"type": "string"}, "description": "d"})),
        with(json!({"anyOf": [{"type": "string"}, {"type": "null"}], "x-order": 1})),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"],
            "$defs": {"n": {"type": "object", "additionalProperties": {"type": "integer"}}}}),
    ] {
        assert_eq!(mended(schema.clone()), schema);
    }
}

#[test]
fn what_servers_list_is_made_fit() {
    for (schema, expected) in [
        (
            json!({"type": "object"}),
            json!({"type": "object", "properties": {}}),
        ),
        (json!({}), json!({"type": "object", "properties": {}})),
        (
            json!({"type": "object", "properties": []}),
            json!({"type": "object", "properties": {}}),
        ),
        (
            json!({"type": ["object", "null"], "properties": null, "required": null}),
            json!({"type": "object", "properties": {}}),
        ),
        (
            with(json!({"type": "array"})),
            with(json!({"type": "array", "items": {}})),
        ),
        (
            with(json!({"type": "array", "items": [{"type": "string"}]})),
            with(json!({"type": "array", "items": {}})),
        ),
        (
            with(json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true})),
            with(json!({"type": "integer", "exclusiveMinimum": 0})),
        ),
        (
            with(json!({"type": "integer", "maximum": 0, "exclusiveMaximum": false})),
            with(json!({"type": "integer", "maximum": 0})),
        ),
        (
            with(json!({"type": "string", "enum": null, "required": true, "title": 5})),
            with(json!({"type": "string"})),
        ),
        (with(json!("string")), with(json!({}))),
        (with(json!({"type": "str"})), with(json!({}))),
        (with(json!({"$ref": "#/nothing"})), with(json!({}))),
        (
            json!({"type": "object", "properties": {"a": {}}, "required": ["a", "a", 1],
                "additionalProperties": {"not": {}}}),
            json!({"type": "object", "properties": {"a": {}}, "required": ["a"],
                "additionalProperties": false}),
        ),
        (
            json!({"type": "object", "anyOf": [
                {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]},
                {"$ref": "#/$defs/c"}], "$defs": {"c": {"type": "object",
                "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}),
            json!({"type": "object", "$defs": {"c": {"type": "object",
                "properties": {"a": {"type": "integer"}}, "required": ["a"]}},
                "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "b": {}},
                "required": ["a"]}),
        ),
        (
            json!({"allOf": [
                {"type": "object", "properties": {"a": {}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {}}, "required": ["b"]}]}),
            json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}),
        ),
        (
            json!({"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "properties": {"a": {}}}}}),
            json!({"type": "object", "properties": {"a": {}},
                "$defs": {"x": {"type": "object", "properties": {"a": {}}}}}),
        ),
    ] {
        assert_eq!(mended(schema.clone()), expected, "{schema}");
    }
    for lost in [json!({"type": "string"}), json!([]), json!(true)] {
        assert_eq!(mend(&lost, &Profile::default()), None, "{lost}");
    }
}

#[test]
fn references_round_in_circles_come_to_an_end() {
    let circle =
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"a": {"$ref": "#"}}});
    assert_eq!(mended(circle)["type"], "object");
    let wide: Vec<_> = (0..64).map(|_| json!({"$ref": "#/$defs/a"})).collect();
    let wide = json!({"$ref": "#/$defs/a", "x": 1, "type": "object",
        "$defs": {"a": {"anyOf": wide}}});
    assert_eq!(mended(wide)["type"], "object");
}

#[test]
fn branches_of_a_union_are_one_object() {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let closed = |properties: Value, required: Value| {
        json!({"type": "object", "properties": properties, "required": required,
            "additionalProperties": false})
    };
    for (schema, expected) in [
        // Closed where every branch is, and required what all require.
        (
            json!({"oneOf": [closed(json!({"a": text, "b": text}), json!(["a", "b"])),
                closed(json!({"a": text, "c": number}), json!(["c", "a"]))]}),
            closed(json!({"a": text, "b": text, "c": number}), json!(["a"])),
        ),
        // One that is open takes anything for what only the other declares.
        (
            json!({"anyOf": [closed(json!({"a": text}), json!(["a"])),
                {"type": "object", "properties": {"b": number}, "required": ["b"]}]}),
            json!({"type": "object",
                "properties": {"a": {"anyOf": [text, {}]}, "b": number}}),
        ),
        // The root's own word holds beside each of its branches.
        (
            json!({"type": "object", "properties": {"a": text, "b": text},
                "additionalProperties": false,
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"type": "object", "properties": {"a": text, "b": text},
                "additionalProperties": false}),
        ),
        (
            json!({"type": "object", "properties": {"a": text}, "patternProperties": {"^x": text},
                "additionalProperties": false, "oneOf": [{"required": ["a"]}]}),
            json!({"type": "object", "properties": {"a": text}, "patternProperties": {"^x": text},
                "required": ["a"], "additionalProperties": false}),
        ),
        // What all parts say, all say.
        (
            json!({"allOf": [{"properties": {"a": text}, "required": ["a"]},
                {"properties": {"a": {"minLength": 1}}, "required": ["b"]}]}),
            json!({"type": "object",
                "properties": {"a": {"allOf": [text, {"minLength": 1}]}},
                "required": ["a", "b"]}),
        ),
        // A branch for what is no object says nothing about objects.
        (
            json!({"anyOf": [{"type": "null"}, false, closed(json!({"a": text}), json!(["a"]))]}),
            closed(json!({"a": text}), json!(["a"])),
        ),
        // What is undeclared in one branch is what that branch says of the undeclared.
        (
            json!({"anyOf": [{"properties": {"a": text}, "additionalProperties": number},
                {"properties": {"b": text}, "additionalProperties": number}]}),
            json!({"type": "object", "properties": {"a": {"anyOf": [text, number]},
                "b": {"anyOf": [number, text]}}, "additionalProperties": number}),
        ),
    ] {
        assert_eq!(mended(schema.clone()), expected, "{schema}");
    }
}

#[test]
fn what_stands_beside_a_reference_holds_too() {
    let base = json!({"type": "object", "properties": {"a": {"type": "string"}},
        "required": ["a"]});
    let defs = json!({"base": base, "more": {"$ref": "#/$defs/base", "required": ["c"],
        "properties": {"c": {}}}});
    let root = |beside: Value| {
        let mut root = json!({"$ref": "#/$defs/more", "$defs": defs});
        root.as_object_mut()
            .expect("an object")
            .extend(beside.as_object().expect("an object").clone());
        root
    };
    let beside = json!({"properties": {"b": {}}, "required": ["b"], "description": "d"});
    assert_eq!(
        mended(root(beside.clone())),
        json!({"type": "object", "$defs": defs, "description": "d",
            "properties": {"b": {}, "c": {}, "a": {"type": "string"}},
            "required": ["b", "c", "a"]})
    );
    // Before draft 2019-09 it did not, at the root or behind it.
    let mut old = root(beside);
    old["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    assert_eq!(
        mended(old.clone()),
        json!({"type": "object", "$schema": old["$schema"], "$defs": defs, "description": "d",
            "properties": {"a": {"type": "string"}}, "required": ["a"]})
    );
}

#[test]
fn what_refers_to_the_root_still_finds_it() {
    let branch = json!({"type": "object", "properties": {"next": {"$ref": "#"},
        "a": {"type": "string"}, "b": {"$ref": "#/anyOf/0/properties/a"}}});
    let moved = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/root2"},
        "a": {"type": "string"}, "b": {"$ref": "#/$defs/root2/anyOf/0/properties/a"}}});
    assert_eq!(
        mended(json!({"anyOf": [branch], "$defs": {"root": true}})),
        json!({"type": "object", "properties": moved["properties"],
            "$defs": {"root": true, "root2": {"anyOf": [moved]}}})
    );
    // A root that stays what it was is found where it was.
    let tree = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
    assert_eq!(mended(tree.clone()), tree);
    let tree = json!({"type": ["object", "null"], "properties": {"next": {"$ref": "#"}}});
    let moved =
        json!({"type": ["object", "null"], "properties": {"next": {"$ref": "#/$defs/root"}}});
    assert_eq!(
        mended(tree),
        json!({"type": "object", "properties": moved["properties"], "$defs": {"root": moved}})
    );
}

#[test]
fn references_go_where_schemas_are_and_nowhere_else() {
    let lost = json!({"$ref": "#/nothing"});
    let values = json!({"default": lost, "examples": [lost], "enum": [lost], "const": lost,
        "x-other": lost});
    for (property, expected) in [
        // In a schema, in a list of schemas, in a map of schemas.
        (json!({"items": lost}), json!({"items": {}})),
        (
            json!({"anyOf": [lost, {"type": "null"}]}),
            json!({"anyOf": [{}, {"type": "null"}]}),
        ),
        (
            json!({"properties": {"$ref": lost, "default": lost}}),
            json!({"properties": {"$ref": {}, "default": {}}}),
        ),
        (
            json!({"$ref": "#/nothing", "description": "d"}),
            json!({"description": "d"}),
        ),
        (json!({"$ref": "other.json#/a"}), json!({})),
        (values.clone(), values),
        // What turns around what stands below it does not become stricter.
        (json!({"not": {"items": lost}}), json!({})),
        (
            json!({"oneOf": [lost, {"type": "null"}]}),
            json!({"anyOf": [{}, {"type": "null"}]}),
        ),
        (
            json!({"if": lost, "then": false, "title": "t"}),
            json!({"title": "t"}),
        ),
        (
            json!({"contains": lost, "maxContains": 1}),
            json!({"contains": {}}),
        ),
        (
            json!({"properties": {"a": lost}, "unevaluatedProperties": false}),
            json!({"properties": {"a": {}}}),
        ),
        (json!({"not": {"enum": []}}), json!({})),
    ] {
        assert_eq!(mended(with(property.clone())), with(expected), "{property}");
    }
    // Nor behind a reference; nor is the target lost that went with it.
    let schema = json!({"type": "object", "properties": {
            "a": {"not": {"$ref": "#/$defs/x"}}, "b": {"$ref": "#/properties/a/not"}},
        "$defs": {"x": lost}});
    assert_eq!(
        mended(schema),
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "$defs": {"x": {}}})
    );
}

#[test]
fn a_chain_of_targets_that_go_with_one_another_comes_to_an_end() {
    let links = 40;
    let mut properties = json!({"p0": {"not": {"$ref": "#/nothing"}}});
    for link in 1..links {
        let before = format!("#/properties/p{}/not", link - 1);
        properties[format!("p{link}")] = json!({"not": {"allOf": [{"$ref": before}]}});
    }
    let mended = mended(json!({"type": "object", "properties": properties}));
    for link in 0..links {
        assert_eq!(mended["properties"][format!("p{link}")], json!({}));
    }
}

#[test]
fn references_in_a_circle_at_the_root_say_nothing() {
    let circle = json!({"$ref": "#/$defs/a", "$defs": {
        "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a", "description": "d"}}});
    assert_eq!(
        mended(circle),
        json!({"type": "object", "properties": {}, "$defs": {
            "a": {}, "b": {"description": "d"}}})
    );
    let circle = json!({"$ref": "#/$defs/a", "$defs": {
        "a": {"required": ["p"], "anyOf": [{"$ref": "#/$defs/b"}]},
        "b": {"properties": {"p": {}}, "allOf": [{"$ref": "#/$defs/a"}]}}});
    assert_eq!(
        (
            &mended(circle.clone())["required"],
            &mended(circle)["properties"]
        ),
        (&json!(["p"]), &json!({"p": {}}))
    );
}

/// What copies what: a definition of many nodes, reached on many ways.
#[test]
fn copies_are_within_the_guards() {
    let guards = Profile::default().guards;
    let wide = |count: usize, names: &str| -> Value {
        let all = (0..count).map(|n| (format!("{names}{n}"), json!({"enum": [1, 2, 3]})));
        all.collect::<serde_json::Map<_, _>>().into()
    };
    let branches = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({"$ref": format!("#/$defs/d{}", n % 2)}))
            .collect()
    };
    let deep = json!({"type": "object", "properties": wide(6_000, "deep")});
    let schema = json!({"anyOf": branches(250), "$defs": {
        "d0": {"properties": {"a": {"anyOf": [deep, {"type": "null"}]}}},
        "d1": {"properties": {"a": {"anyOf": [{"type": "null"}, deep]}}}}});
    for schema in [
        schema,
        json!({"$ref": "#/$defs/d", "$defs": {"d": {"type": "object",
            "properties": wide(15_000, "a")}}}),
        json!({"anyOf": branches(250), "$defs": {
            "d0": {"properties": wide(8_000, "a")}, "d1": {"properties": wide(8_000, "b")}}}),
        json!({"allOf": branches(250), "$defs": {
            "d0": {"properties": wide(8_000, "a")}, "d1": {"properties": wide(8_000, "a")}}}),
    ] {
        let mended = mended(schema);
        assert_eq!(mended["type"], "object");
        assert!(mended["properties"].is_object() && mended.get("anyOf").is_none());
        assert!(Size::of(&mended, &guards).is_ok());
    }
}
