//! The keywords of one schema object, except references and combinators, as atoms.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    atoms::{ArrayAtom, Literals, Minus, NumberAtom, ObjectAtom, StringAtom},
    compile::{ANY, Builder, Kinds, invalid, never},
    format::Format,
    formula::{AtomId, Expr, Kind, NodeId},
};
use crate::{CompileError, pointer::escape};

/// The formats the `jsonschema` crate asserts beyond the nine of the strict subset.
const OTHER_FORMATS: [&str; 10] = [
    "idn-email",
    "idn-hostname",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "uri",
    "uri-reference",
    "uri-template",
];

type Schema = Map<String, Value>;

pub(crate) fn own_keywords<'s>(
    builder: &mut Builder<'s>,
    map: &'s Schema,
    pointer: &str,
) -> Result<Kinds, CompileError> {
    let types = Types::read(map, pointer)?;
    let mut kinds = never();
    for kind in [Kind::Null, Kind::True, Kind::False] {
        kinds[kind as usize] = Expr::Always(types.has(kind));
    }
    if types.has(Kind::String) {
        kinds[Kind::String as usize] = builder.string(map, pointer)?;
    }
    if types.has(Kind::Number) {
        kinds[Kind::Number as usize] = builder.number(map, types.integer, pointer)?;
    }
    if types.has(Kind::Array) {
        kinds[Kind::Array as usize] = builder.array(map, pointer)?;
    }
    if types.has(Kind::Object) {
        kinds[Kind::Object as usize] = builder.object(map, pointer)?;
    }
    for keyword in ["const", "enum"] {
        let Some(value) = map.get(keyword) else {
            continue;
        };
        let options = match (keyword, value) {
            ("enum", Value::Array(options)) => options.as_slice(),
            ("enum", _) => return Err(invalid(pointer, "'enum' must be an array")),
            _ => std::slice::from_ref(value),
        };
        kinds = builder.constants(kinds, options)?;
    }
    Ok(kinds)
}

/// What the `type` keyword admits.
struct Types {
    mask: u8,
    /// Numbers must be integers.
    integer: bool,
}

impl Types {
    fn read(map: &Schema, pointer: &str) -> Result<Self, CompileError> {
        let names = match map.get("type") {
            None => {
                return Ok(Self {
                    mask: 0x7f,
                    integer: false,
                });
            }
            Some(Value::Array(names)) => names.as_slice(),
            Some(name) => std::slice::from_ref(name),
        };
        let mut mask = 0;
        let (mut integer, mut number) = (false, false);
        for name in names {
            mask |= match name.as_str() {
                Some("null") => 1 << Kind::Null as u8,
                Some("boolean") => (1 << Kind::True as u8) | (1 << Kind::False as u8),
                Some("string") => 1 << Kind::String as u8,
                Some("array") => 1 << Kind::Array as u8,
                Some("object") => 1 << Kind::Object as u8,
                Some("number") => {
                    number = true;
                    1 << Kind::Number as u8
                }
                Some("integer") => {
                    integer = true;
                    1 << Kind::Number as u8
                }
                _ => return Err(invalid(pointer, &format!("{name} is not a type"))),
            };
        }
        Ok(Self {
            mask,
            integer: integer && !number,
        })
    }

    fn has(&self, kind: Kind) -> bool {
        self.mask >> kind as u8 & 1 == 1
    }
}

impl<'s> Builder<'s> {
    fn string(&mut self, map: &Schema, pointer: &str) -> Result<Expr, CompileError> {
        let mut atom = StringAtom {
            min: limit(map, "minLength", pointer)?.unwrap_or(0),
            max: limit(map, "maxLength", pointer)?,
            ..StringAtom::default()
        };
        if let Some(pattern) = map.get("pattern") {
            let pattern = pattern
                .as_str()
                .ok_or_else(|| invalid(pointer, "'pattern' must be a string"))?;
            atom.pattern = self.table(pattern);
            if atom.pattern.is_none() {
                self.unsupported("pattern", pointer)?;
            }
        }
        if let Some(Value::String(name)) = map.get("format") {
            atom.format = Format::named(name);
            if OTHER_FORMATS.contains(&name.as_str()) {
                self.unsupported("format", pointer)?;
            }
        }
        Ok(if atom.is_free() {
            Expr::Always(true)
        } else {
            self.add_string(atom)
        })
    }

    fn add_string(&mut self, atom: StringAtom) -> Expr {
        self.parts.strings.push(atom);
        Expr::Atom((self.parts.strings.len() - 1) as AtomId)
    }

    pub(crate) fn literals<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Expr {
        self.add_string(StringAtom {
            literals: Some(Literals::new(texts)),
            ..StringAtom::default()
        })
    }

    pub(crate) fn only_literals(&self, atom: AtomId) -> bool {
        let atom = &self.parts.strings[atom as usize];
        atom.literals.is_some() && atom.max.is_none() && atom.pattern.is_none()
    }

    fn number(&mut self, map: &Schema, integer: bool, pointer: &str) -> Result<Expr, CompileError> {
        let mut asked = Map::new();
        let mut wanted = if integer { "an integer" } else { "a number" }.to_owned();
        for (keyword, words) in [
            ("minimum", "at least"),
            ("exclusiveMinimum", "greater than"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "less than"),
            ("multipleOf", "a multiple of"),
        ] {
            if let Some(value) = map.get(keyword) {
                if value.is_boolean() && keyword.starts_with("exclusive") {
                    // Draft 4.
                    self.unsupported(keyword, pointer)?;
                    continue;
                }
                if !value.is_number() {
                    return Err(invalid(pointer, &format!("'{keyword}' must be a number")));
                }
                let joint = if asked.is_empty() { ": " } else { ", " };
                let _ = write!(wanted, "{joint}{words} {value}");
                asked.insert(keyword.to_owned(), value.clone());
            }
        }
        if asked.is_empty() && !integer {
            return Ok(Expr::Always(true));
        }
        let bound = |keyword: &str| map.get(keyword).and_then(Value::as_f64);
        let (low, above) = (bound("minimum"), bound("exclusiveMinimum"));
        let (high, below) = (bound("maximum"), bound("exclusiveMaximum"));
        let minus = if low.is_some_and(|low| low > 0.0) || above.is_some_and(|above| above >= 0.0) {
            Minus::Never
        } else if high.is_some_and(|high| high < 0.0) || below.is_some_and(|below| below <= 0.0) {
            Minus::Must
        } else if low == Some(0.0) {
            Minus::ZeroOnly
        } else {
            Minus::Free
        };
        // Two bounds of one kind can leave nothing; the rest is found at the number's end.
        let possible = low.zip(high).is_none_or(|(low, high)| low <= high)
            && above.zip(high).is_none_or(|(above, high)| above < high)
            && low.zip(below).is_none_or(|(low, below)| low < below)
            && above.zip(below).is_none_or(|(above, below)| above < below);
        let exact = if asked.is_empty() {
            None
        } else {
            asked.insert(
                "type".into(),
                if integer { "integer" } else { "number" }.into(),
            );
            Some(number_validator(&Value::Object(asked), pointer)?)
        };
        Ok(self.add_number(NumberAtom {
            integer,
            minus,
            exact,
            wanted,
            possible,
        }))
    }

    pub(crate) fn add_number(&mut self, atom: NumberAtom) -> Expr {
        self.parts.numbers.push(atom);
        Expr::Atom((self.parts.numbers.len() - 1) as AtomId)
    }

    fn array(&mut self, map: &'s Schema, pointer: &str) -> Result<Expr, CompileError> {
        let mut atom = ArrayAtom {
            min: limit(map, "minItems", pointer)?.unwrap_or(0),
            max: limit(map, "maxItems", pointer)?,
            rest: Some(ANY),
            ..ArrayAtom::default()
        };
        match map.get("items") {
            None => {}
            Some(Value::Array(_)) if self.is_modern() => {
                return Err(invalid(pointer, "'items' must be a schema"));
            }
            Some(Value::Array(_)) => self.unsupported("items", pointer)?,
            Some(items) => atom.rest = Some(self.place(format!("{pointer}/items"), items)?),
        }
        if let (true, Some(prefix)) = (self.is_modern(), map.get("prefixItems")) {
            let prefix = prefix
                .as_array()
                .ok_or_else(|| invalid(pointer, "'prefixItems' must be an array"))?;
            for (index, item) in prefix.iter().enumerate() {
                let node = self.place(format!("{pointer}/prefixItems/{index}"), item)?;
                atom.prefix.push(node);
            }
        }
        let free = atom.min == 0
            && atom.max.is_none()
            && atom.rest == Some(ANY)
            && atom.prefix.iter().all(|&node| node == ANY);
        Ok(if free {
            Expr::Always(true)
        } else {
            self.add_array(atom)
        })
    }

    pub(crate) fn add_array(&mut self, atom: ArrayAtom) -> Expr {
        self.parts.arrays.push(atom);
        Expr::Atom((self.parts.arrays.len() - 1) as AtomId)
    }

    fn object(&mut self, map: &'s Schema, pointer: &str) -> Result<Expr, CompileError> {
        let mut declared: Vec<(&str, NodeId)> = Vec::new();
        match map.get("properties") {
            None => {}
            Some(Value::Object(properties)) => {
                for (name, schema) in properties {
                    let at = format!("{pointer}/properties/{}", escape(name));
                    declared.push((name, self.place(at, schema)?));
                }
            }
            Some(_) => return Err(invalid(pointer, "'properties' must be an object")),
        }
        let extra = match map.get("additionalProperties") {
            None | Some(Value::Bool(true)) => Some(ANY),
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(self.place(format!("{pointer}/additionalProperties"), schema)?),
        };
        let mut required: Vec<&str> = Vec::new();
        match map.get("required") {
            None => {}
            Some(Value::Array(names)) => {
                for name in names {
                    let name = name
                        .as_str()
                        .ok_or_else(|| invalid(pointer, "'required' must hold strings"))?;
                    required.push(name);
                }
            }
            Some(_) => return Err(invalid(pointer, "'required' must be an array")),
        }
        let (min, max) = (
            limit(map, "minProperties", pointer)?.unwrap_or(0),
            limit(map, "maxProperties", pointer)?,
        );
        if declared.is_empty()
            && required.is_empty()
            && extra == Some(ANY)
            && min == 0
            && max.is_none()
        {
            return Ok(Expr::Always(true));
        }
        let known: std::collections::HashSet<&str> =
            declared.iter().map(|&(name, _)| name).collect();
        let undeclared: Vec<&str> = required
            .iter()
            .copied()
            .filter(|name| !known.contains(name))
            .collect();
        for name in undeclared {
            // A name that is required twice is one name.
            if declared.iter().rev().all(|&(known, _)| known != name) {
                match extra {
                    Some(extra) => declared.push((name, extra)),
                    // Required and forbidden: no object fits.
                    None => return Ok(Expr::Always(false)),
                }
            }
        }
        Ok(self.add_object(&declared, &required, extra, (min, max)))
    }

    pub(crate) fn add_object(
        &mut self,
        declared: &[(&str, NodeId)],
        required: &[&str],
        extra: Option<NodeId>,
        (min, max): (u64, Option<u64>),
    ) -> Expr {
        let names = Literals::new(declared.iter().map(|&(name, _)| name));
        let mut children = vec![ANY; declared.len()];
        let mut order = Vec::with_capacity(declared.len());
        for &(name, node) in declared {
            if let Some(at) = names.position(name) {
                children[at] = node;
                order.push(at as u32);
            }
        }
        let mut bits = vec![0_u64; declared.len().div_ceil(64)];
        for at in required.iter().filter_map(|name| names.position(name)) {
            bits[at / 64] |= 1 << (at % 64);
        }
        self.parts.objects.push(ObjectAtom {
            names,
            children,
            required: bits,
            declared: order,
            extra,
            min,
            max,
        });
        Expr::Atom((self.parts.objects.len() - 1) as AtomId)
    }
}

pub(crate) fn number_validator(
    schema: &Value,
    pointer: &str,
) -> Result<jsonschema::Validator, CompileError> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .offline()
        .build(schema)
        .map_err(|error| invalid(pointer, &error.to_string()))
}

/// A non-negative integer keyword; JSON Schema lets it be written as 2.0.
fn limit(map: &Schema, keyword: &str, pointer: &str) -> Result<Option<u64>, CompileError> {
    let Some(value) = map.get(keyword) else {
        return Ok(None);
    };
    value
        .as_u64()
        .or_else(|| {
            let number = value.as_f64()?;
            (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
        })
        .map(Some)
        .ok_or_else(|| {
            invalid(
                pointer,
                &format!("'{keyword}' must be a non-negative integer"),
            )
        })
}
