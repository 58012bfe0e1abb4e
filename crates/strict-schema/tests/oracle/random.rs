//! Random strict schemas and documents from one seed.

use serde_json::{Map, Number, Value, json};

/// SplitMix64: small, seedable, good enough to wander.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const NAMES: [&str; 9] = ["a", "ab", "abc", "b", "é", "k\"q", "kind", "x/y~z", ""];
const TEXTS: [&str; 10] = [
    "",
    "a",
    "ab",
    "abc",
    "red",
    "rot",
    "é",
    "\u{1F600}",
    "a\"b",
    "line\n",
];
const PATTERNS: [(&str, &str); 7] = [
    ("^[a-z]+$", "abc"),
    ("^a", "abc"),
    ("b$", "ab"),
    (r"^\d{3}-\d{2}$", "123-45"),
    ("é|x", "xé"),
    ("^(foo|bar)?$", "foo"),
    ("^.{2,3}$", "a\u{1F600}"),
];
const FORMATS: [(&str, &str); 9] = [
    ("date-time", "2024-02-29T12:00:00Z"),
    ("time", "12:00:00+01:00"),
    ("date", "2024-02-29"),
    ("duration", "P1DT2H"),
    ("email", "a.b@example.org"),
    ("hostname", "host-1.example.org"),
    ("ipv4", "192.168.0.255"),
    ("ipv6", "2001:db8::ff"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
];

/// What a schema may be made of.
#[derive(Clone, Copy)]
pub struct Taste {
    /// Formats and `multipleOf` fractions, on which engines differ.
    pub formats: bool,
    /// Open objects, `allOf`, `oneOf`, optional properties.
    pub loose: bool,
}

pub fn schema(random: &mut Random, taste: Taste) -> Value {
    let mut root = node(random, taste, 3, false);
    let recursive = json!({
        "type": "object",
        "properties": {
            "v": node(random, taste, 0, false),
            "next": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]}
        },
        "required": ["v", "next"],
        "additionalProperties": false
    });
    root["$defs"] = json!({"list": recursive, "leaf": node(random, taste, 1, false)});
    root
}

fn node(random: &mut Random, taste: Taste, depth: usize, inner: bool) -> Value {
    let kinds = if depth == 0 { 9 } else { 14 };
    match random.below(kinds) {
        0 | 1 => string(random, taste),
        2 | 3 => number(random, taste),
        4 => json!({"type": "boolean"}),
        5 => json!({"type": "null"}),
        6 => {
            let count = 1 + random.below(4);
            let options: Vec<Value> = (0..count).map(|_| constant(random, 1)).collect();
            json!({ "enum": options })
        }
        7 => json!({"const": constant(random, 2)}),
        8 => json!({"type": ["string", "null"], "enum": ["C", "Fa", null]}),
        9 => {
            let mut array = json!({"type": "array", "items": node(random, taste, depth - 1, true)});
            if random.chance(2) {
                array["minItems"] = random.below(3).into();
            }
            if random.chance(2) {
                array["maxItems"] = (2 + random.below(2)).into();
            }
            array
        }
        10 => {
            let count = 1 + random.below(3);
            let keyword = match random.below(6) {
                0 if taste.loose => "allOf",
                1 if taste.loose => "oneOf",
                _ => "anyOf",
            };
            let branches: Vec<Value> = (0..count)
                .map(|_| node(random, taste, depth - 1, true))
                .collect();
            json!({ keyword: branches })
        }
        11 if inner => json!({"$ref": random.pick(&["#/$defs/list", "#/$defs/leaf"])}),
        _ => object(random, taste, depth),
    }
}

fn object(random: &mut Random, taste: Taste, depth: usize) -> Value {
    let mut properties = Map::new();
    for _ in 0..random.below(5) {
        let name = *random.pick(&NAMES);
        properties.insert(name.to_owned(), node(random, taste, depth - 1, true));
    }
    let mut required: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
    let mut closed = json!(false);
    if taste.loose {
        if random.chance(2) {
            required.retain(|_| !random.chance(2));
        }
        closed = match random.below(4) {
            0 => json!(true),
            1 => node(random, taste, depth - 1, true),
            _ => closed,
        };
    }
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": closed
    });
    if taste.loose && random.chance(6) {
        object["maxProperties"] = random.below(4).into();
        object["minProperties"] = random.below(3).into();
    }
    object
}

fn string(random: &mut Random, taste: Taste) -> Value {
    match random.below(if taste.formats { 5 } else { 4 }) {
        0 => json!({"type": "string"}),
        1 => {
            let low = random.below(3);
            json!({"type": "string", "minLength": low, "maxLength": low + random.below(3)})
        }
        2 => json!({"type": "string", "pattern": random.pick(&PATTERNS).0}),
        3 => {
            let count = 1 + random.below(4);
            let options: Vec<&str> = (0..count).map(|_| *random.pick(&TEXTS)).collect();
            json!({"type": "string", "enum": options})
        }
        _ => json!({"type": "string", "format": random.pick(&FORMATS).0}),
    }
}

fn number(random: &mut Random, taste: Taste) -> Value {
    let mut schema = json!({"type": random.pick(&["integer", "number"])});
    let low = random.below(30) as i64 - 15;
    match random.below(6) {
        0 => schema["minimum"] = low.into(),
        1 => {
            schema["minimum"] = low.into();
            schema["maximum"] = (low + random.below(20) as i64).into();
        }
        2 => {
            schema["exclusiveMinimum"] = low.into();
            schema["exclusiveMaximum"] = (low + 2 + random.below(20) as i64).into();
        }
        3 => schema["multipleOf"] = (1 + random.below(5)).into(),
        4 if taste.formats => schema["multipleOf"] = json!(0.01),
        _ => {}
    }
    schema
}

fn constant(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => random.chance(2).into(),
        2 => (random.below(20) as i64 - 10).into(),
        3 => json!(1.5),
        4 => (*random.pick(&TEXTS)).into(),
        5 => (0..random.below(3))
            .map(|_| constant(random, depth - 1))
            .collect(),
        _ => {
            let mut members = Map::new();
            for _ in 0..random.below(3) {
                members.insert(
                    (*random.pick(&NAMES)).to_owned(),
                    constant(random, depth - 1),
                );
            }
            members.into()
        }
    }
}

/// A value that often, not always, fits the schema.
pub fn instance(random: &mut Random, root: &Value, schema: &Value, depth: usize) -> Value {
    if random.chance(40) {
        return constant(random, 2);
    }
    if depth > 9 {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return instance(
            random,
            root,
            &root[&"$defs"][&reference["#/$defs/".len()..]],
            depth + 1,
        );
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(options) = schema["enum"].as_array() {
        return random.pick(options).clone();
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(branches) = schema[keyword].as_array() {
            // The last branch often ends a recursion.
            let branch = if depth > 5 {
                &branches[branches.len() - 1]
            } else {
                random.pick(branches)
            };
            return instance(random, root, branch, depth + 1);
        }
    }
    match schema["type"].as_str() {
        Some("string") => text_for(random, schema).into(),
        Some("integer" | "number") => number_for(random, schema),
        Some("boolean") => random.chance(2).into(),
        Some("array") => {
            let low = schema["minItems"].as_u64().unwrap_or(0) as usize;
            let high = schema["maxItems"].as_u64().unwrap_or(3) as usize;
            let count = low + random.below((high.saturating_sub(low) + 1).max(1));
            (0..count)
                .map(|_| instance(random, root, &schema["items"], depth + 1))
                .collect()
        }
        Some("object") => {
            let mut members = Map::new();
            if let Some(properties) = schema["properties"].as_object() {
                for (name, schema) in properties {
                    members.insert(name.clone(), instance(random, root, schema, depth + 1));
                }
            }
            if schema["additionalProperties"] != json!(false) && random.chance(2) {
                let extra = instance(random, root, &schema["additionalProperties"], depth + 1);
                members.insert((*random.pick(&NAMES)).to_owned(), extra);
            }
            members.into()
        }
        _ => Value::Null,
    }
}

fn text_for(random: &mut Random, schema: &Value) -> String {
    if let Some(pattern) = schema["pattern"].as_str() {
        let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
        return known.map_or("", |(_, sample)| sample).to_owned();
    }
    if let Some(format) = schema["format"].as_str() {
        let known = FORMATS.iter().find(|(known, _)| *known == format);
        return known.map_or("", |(_, sample)| sample).to_owned();
    }
    let low = schema["minLength"].as_u64().unwrap_or(0) as usize;
    let high = schema["maxLength"].as_u64().unwrap_or(6) as usize;
    let count = low + random.below(high - low + 1);
    (0..count)
        .map(|_| *random.pick(&['a', 'z', '"', '\\', 'é', '\u{1F600}', '\n', ' ']))
        .collect()
}

fn number_for(random: &mut Random, schema: &Value) -> Value {
    let bound = |name: &str| schema[name].as_f64();
    let low = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|low| low + 1.0));
    let high = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|high| high - 1.0));
    let low = low.unwrap_or_else(|| high.map_or(-20.0, |high| high - 20.0));
    let span = high.map_or(20.0, |high| high - low);
    let mut value = low + random.below(span as usize + 1) as f64;
    if let Some(step) = bound("multipleOf") {
        value = (value / step).round() * step;
    }
    if schema["type"] == "number" && random.chance(4) {
        value += 0.5;
    }
    if value.fract() == 0.0 {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Writes a value as some JSON text: any member order, whitespace, escapes, number spelling.
pub fn write(random: &mut Random, value: &Value, style: Style, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                space(random, style, out);
                write(random, item, style, out);
                space(random, style, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if style.shuffled {
                for index in (1..members.len()).rev() {
                    members.swap(index, random.below(index + 1));
                }
            }
            out.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                space(random, style, out);
                write_text(random, name, style, out);
                space(random, style, out);
                out.push(b':');
                space(random, style, out);
                write(random, value, style, out);
                space(random, style, out);
            }
            out.push(b'}');
        }
        Value::String(text) => write_text(random, text, style, out),
        Value::Number(number) if style.free && random.chance(4) => {
            let spelling = match (random.below(3), number.as_i64()) {
                (0, Some(value)) => format!("{value}.0"),
                (1, Some(value)) => format!("{value}0e-1"),
                (2, Some(value)) => format!("{value}E+0"),
                _ => number.to_string(),
            };
            out.extend_from_slice(spelling.as_bytes());
        }
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

#[derive(Clone, Copy)]
pub struct Style {
    pub shuffled: bool,
    /// Whitespace, escapes and number spellings at random.
    pub free: bool,
}

fn space(random: &mut Random, style: Style, out: &mut Vec<u8>) {
    if style.free {
        for _ in 0..random.below(3) {
            out.push(*random.pick(b" \n\t\r"));
        }
    }
}

fn write_text(random: &mut Random, text: &str, style: Style, out: &mut Vec<u8>) {
    if !style.free {
        out.extend_from_slice(Value::from(text).to_string().as_bytes());
        return;
    }
    out.push(b'"');
    for character in text.chars() {
        if random.chance(4) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        } else {
            let quoted = Value::from(character.to_string()).to_string();
            out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        }
    }
    out.push(b'"');
}

/// Damages a text somewhere.
pub fn mutate(random: &mut Random, text: &mut Vec<u8>) {
    for _ in 0..1 + random.below(2) {
        let at = random.below(text.len() + 1);
        match random.below(5) {
            0 => text.truncate(at),
            1 if at < text.len() => {
                text.remove(at);
            }
            2 if at < text.len() => {
                text[at] = *random.pick(b"{}[],:\"\\0159-.eEtfnu abcxd\xc3\xa9\xff\n")
            }
            3 => text.insert(
                at,
                *random.pick(b"{}[],:\"\\0159-.eEtfnu abcxd\xc3\xa9\xff\n"),
            ),
            _ => {
                let end = (at + random.below(12)).min(text.len());
                let piece = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, piece);
            }
        }
    }
}
