//! Random documents for a schema, spelled in any legal way, and damaged ones.

use serde_json::{Map, Number, Value, json};

use super::random::{FORMATS, NAMES, PATTERNS, Random, constant};

/// A value that often, not always, fits the schema.
pub fn instance(random: &mut Random, root: &Value, schema: &Value, depth: usize) -> Value {
    if random.chance(40) {
        return constant(random, true, 2);
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
    for _ in 0..=random.below(2) {
        let at = random.below(text.len() + 1);
        match random.below(5) {
            0 => text.truncate(at),
            1 if at < text.len() => {
                text.remove(at);
            }
            2 if at < text.len() => {
                text[at] = *random.pick(b"{}[],:\"\\0159-.eEtfnu abcxd\xc3\xa9\xff\n");
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
