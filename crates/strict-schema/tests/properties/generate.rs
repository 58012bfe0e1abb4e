//! Schemas and arguments from a tape of random bytes.
//!
//! A tape shrinks well: fewer bytes and smaller numbers are simpler schemas.

use serde_json::{Map, Value, json};

/// Random choices, read one by one; zeros when it is used up.
pub struct Tape<'t> {
    bytes: &'t [u8],
}

impl<'t> Tape<'t> {
    pub fn new(bytes: &'t [u8]) -> Self {
        Self { bytes }
    }

    pub fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        usize::from(*first) % bound
    }

    /// True once in `n`; false when the tape is used up.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub fn pick<'v, T>(&mut self, of: &'v [T]) -> &'v T {
        &of[self.below(of.len())]
    }
}

/// Names of properties: some would be keywords elsewhere.
const NAMES: [&str; 12] = [
    "a",
    "b",
    "kind",
    "$ref",
    "__proto__",
    "",
    "type",
    "anyOf",
    "é/~%",
    "it's",
    "$defs",
    "items",
];

pub const PATTERNS: [&str; 5] = ["^a+$", "b", r"^\d{2}$", "^[a-z]*", "x$"];

pub const STRINGS: [&str; 12] = [
    "",
    "a",
    "aa",
    "b",
    "12",
    "x",
    "ab12x",
    "2024-01-31",
    "e@example.com",
    "zz",
    "key",
    "aaaaaaaaa",
];

/// A function's parameters: mostly objects with definitions.
pub fn schema(tape: &mut Tape<'_>) -> Value {
    let mut root = object(tape, 4);
    if tape.once_in(2) {
        let mut definitions = Map::new();
        for name in ["A", "B/c", "C"].into_iter().take(1 + tape.below(3)) {
            definitions.insert(name.into(), node(tape, 3));
        }
        let keyword = if tape.once_in(6) {
            "definitions"
        } else {
            "$defs"
        };
        root[keyword] = definitions.into();
    }
    if tape.once_in(12) {
        let inner = root["properties"]["a"].take();
        root["$defs"]["Root"] = if inner.is_object() {
            inner
        } else {
            object(tape, 2)
        };
        root = json!({"$ref": "#/$defs/Root", "$defs": root["$defs"]});
    }
    root
}

fn node(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut schema = match tape.below(if depth == 0 { 9 } else { 22 }) {
        0 => json!({"type": "string"}),
        1 => string(tape),
        2 => json!({"type": "integer"}),
        3 => number(tape),
        4 => json!({"type": ["string", "null"]}),
        5 => json!({"enum": ["x", "y"]}),
        6 => json!({"type": "boolean"}),
        7 => values(tape),
        8 => reference(tape),
        9..=12 => object(tape, depth - 1),
        13 => array(tape, depth - 1),
        14 => json!({"anyOf": nodes(tape, depth - 1)}),
        15 => json!({"anyOf": [node(tape, depth - 1), {"type": "null"}]}),
        16 => json!({"oneOf": nodes(tape, depth - 1)}),
        17 => json!({"oneOf": [tagged(tape, "x", depth - 1), tagged(tape, "y", depth - 1)]}),
        18 => json!({"allOf": nodes(tape, depth - 1)}),
        19 => conjunction(tape, depth - 1),
        20 => map(tape, depth - 1),
        _ => odd(tape, depth - 1),
    };
    if let Value::Object(schema) = &mut schema {
        if tape.once_in(8) {
            schema.insert("description".into(), "about it".into());
        }
        if tape.once_in(20) {
            schema.insert("default".into(), Value::Null);
        }
        if tape.once_in(25) {
            schema.insert("x-order".into(), 1.into());
        }
        if tape.once_in(25) {
            let inner = json!({"A": node(tape, 0), "D": {"type": "string"}});
            schema.insert("$defs".into(), inner);
        }
    }
    schema
}

fn nodes(tape: &mut Tape<'_>, depth: usize) -> Vec<Value> {
    (0..=tape.below(3)).map(|_| node(tape, depth)).collect()
}

fn string(tape: &mut Tape<'_>) -> Value {
    let mut schema = json!({"type": "string"});
    match tape.below(6) {
        0 => schema["minLength"] = tape.below(4).into(),
        1 => schema["maxLength"] = tape.below(6).into(),
        2 => schema["pattern"] = (*tape.pick(&PATTERNS)).into(),
        3 => schema["format"] = (*tape.pick(&["date", "email", "uri", "int32"])).into(),
        4 => schema["enum"] = json!(["a", "12", "zz"]),
        _ => {
            schema["minLength"] = tape.below(4).into();
            schema["maxLength"] = tape.below(6).into();
        }
    }
    schema
}

fn number(tape: &mut Tape<'_>) -> Value {
    let mut schema = json!({"type": *tape.pick(&["integer", "number"])});
    for keyword in [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    ] {
        if tape.once_in(4) {
            schema[keyword] = (1 + tape.below(7)).into();
        }
    }
    schema
}

fn values(tape: &mut Tape<'_>) -> Value {
    match tape.below(6) {
        0 => json!({"const": "x"}),
        1 => json!({"enum": [1, "x", null]}),
        2 => json!({"enum": [1, 2.5]}),
        3 => json!({"type": ["integer", "null"], "enum": [1, 2]}),
        4 => json!({"enum": [[1], {"a": 1}]}),
        _ => json!({"type": ["string"], "const": "a"}),
    }
}

fn reference(tape: &mut Tape<'_>) -> Value {
    let target = *tape.pick(&[
        "#/$defs/A",
        "#/$defs/B~1c",
        "#/$defs/C",
        "#",
        "#/properties/a",
        "#/$defs/A/properties/b",
        "#/definitions/A",
        "#/$defs/D",
    ]);
    let mut schema = json!({"$ref": target});
    if tape.once_in(10) {
        schema["minLength"] = 2.into();
    }
    schema
}

fn object(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for _ in 0..tape.below(4) {
        let name = *tape.pick(&NAMES);
        properties.insert(name.into(), node(tape, depth));
        if !tape.once_in(3) && !required.contains(&name) {
            required.push(name);
        }
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !tape.once_in(4) {
        schema["required"] = json!(required);
    }
    match tape.below(16) {
        1 | 2 => schema["additionalProperties"] = false.into(),
        3 => schema["additionalProperties"] = true.into(),
        4 => schema["minProperties"] = tape.below(4).into(),
        5 => schema["maxProperties"] = tape.below(5).into(),
        6 => schema["unevaluatedProperties"] = false.into(),
        7 => schema["propertyNames"] = json!({"type": "string"}),
        8 => schema["required"] = json!(["nowhere"]),
        9 => schema["type"] = json!(["object", "null"]),
        10 => {
            schema
                .as_object_mut()
                .expect("an object")
                .shift_remove("type");
        }
        _ => {}
    }
    schema
}

fn tagged(tape: &mut Tape<'_>, tag: &str, depth: usize) -> Value {
    let mut schema = object(tape, depth);
    schema["properties"]["kind"] = json!({"const": tag});
    if tape.once_in(2) {
        schema["required"] = json!(["kind"]);
    }
    schema
}

fn conjunction(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut schema = object(tape, depth);
    schema["allOf"] = match tape.below(3) {
        0 => json!([object(tape, depth)]),
        1 => json!([reference(tape), object(tape, depth)]),
        _ => json!([object(tape, depth), {"allOf": [object(tape, 0)]}]),
    };
    schema
}

fn array(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut schema = json!({"type": "array", "items": node(tape, depth)});
    match tape.below(8) {
        0 => schema["minItems"] = tape.below(3).into(),
        1 => schema["maxItems"] = tape.below(3).into(),
        2 => schema["uniqueItems"] = tape.once_in(2).into(),
        3 => schema["contains"] = json!({"const": 1}),
        _ => {}
    }
    schema
}

fn map(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": node(tape, depth)});
    match tape.below(6) {
        1 => schema["minProperties"] = tape.below(3).into(),
        2 => schema["maxProperties"] = tape.below(3).into(),
        3 => schema["propertyNames"] = json!({"maxLength": 3}),
        _ => {}
    }
    schema
}

fn odd(tape: &mut Tape<'_>, depth: usize) -> Value {
    match tape.below(10) {
        0 => json!({}),
        1 => json!(true),
        2 => json!({"type": "object"}),
        3 => json!({"type": "object", "additionalProperties": false}),
        4 => json!({"type": "object", "anyOf": [object(tape, depth)]}),
        5 => json!({"type": "string", "not": {"const": "x"}}),
        6 => json!({"type": "array"}),
        7 => json!({"type": "array", "prefixItems": [node(tape, depth)], "items": false}),
        8 => json!({"type": "object", "patternProperties": {"^a": node(tape, depth)}}),
        _ => json!({"type": "string", "pattern": "^(?!x)"}),
    }
}

/// Any JSON with keywords for keys: schemas that nobody would write.
pub fn nonsense(tape: &mut Tape<'_>, depth: usize) -> Value {
    const KEYS: [&str; 24] = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "definitions",
        "enum",
        "const",
        "format",
        "pattern",
        "minimum",
        "maxLength",
        "not",
        "nullable",
        "propertyNames",
        "minItems",
        "default",
        "multipleOf",
        "prefixItems",
    ];
    match tape.below(if depth == 0 { 7 } else { 12 }) {
        0 => Value::Null,
        1 => tape.once_in(2).into(),
        2 => json!(tape.below(9)),
        3 => json!(-1.5),
        4 => (*tape.pick(&[
            "object",
            "array",
            "string",
            "#",
            "#/$defs/a",
            "#/properties/type",
        ]))
        .into(),
        5 => (*tape.pick(&["(", "^a$", "", "date", "#/$defs/type/items"])).into(),
        6 | 7 => (0..tape.below(4))
            .map(|_| nonsense(tape, depth.saturating_sub(1)))
            .collect(),
        _ => {
            let mut map = Map::new();
            for _ in 0..tape.below(6) {
                map.insert(
                    (*tape.pick(&KEYS)).into(),
                    nonsense(tape, depth.saturating_sub(1)),
                );
            }
            map.into()
        }
    }
}
