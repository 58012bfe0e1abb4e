//! Random strict schemas from one seed.

use serde_json::{Map, Value, json};

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

pub const NAMES: [&str; 9] = ["a", "ab", "abc", "b", "é", "k\"q", "kind", "x/y~z", ""];
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
pub const PATTERNS: [(&str, &str); 7] = [
    ("^[a-z]+$", "abc"),
    ("^a", "abc"),
    ("b$", "ab"),
    (r"^\d{3}-\d{2}$", "123-45"),
    ("é|x", "xé"),
    ("^(foo|bar)?$", "foo"),
    ("^.{2,3}$", "a\u{1F600}"),
];
pub const FORMATS: [(&str, &str); 9] = [
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
    /// Bounds on numbers, and numbers among constants.
    pub numbers: bool,
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
            let options: Vec<Value> = (0..count)
                .map(|_| constant(random, taste.numbers, 1))
                .collect();
            json!({ "enum": options })
        }
        7 => json!({"const": constant(random, taste.numbers, 2)}),
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
    if !taste.numbers {
        return schema;
    }
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

pub fn constant(random: &mut Random, numbers: bool, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => random.chance(2).into(),
        2 if numbers => (random.below(20) as i64 - 10).into(),
        3 if numbers => json!(1.5),
        2..=4 => (*random.pick(&TEXTS)).into(),
        5 => (0..random.below(3))
            .map(|_| constant(random, numbers, depth - 1))
            .collect(),
        _ => {
            let mut members = Map::new();
            for _ in 0..random.below(3) {
                members.insert(
                    (*random.pick(&NAMES)).to_owned(),
                    constant(random, numbers, depth - 1),
                );
            }
            members.into()
        }
    }
}
