//! `enum` and `const`: values of any kind as atoms.

use serde_json::{Number, Value, json};

use super::{
    atoms::{ArrayAtom, Minus, NumberAtom, is_integer},
    compile::{Builder, Kinds, all, anything, never},
    formula::{Expr, Kind},
    keywords::number_validator,
};
use crate::CompileError;

/// Nesting of a constant's value.
const MAX_CONST_DEPTH: usize = 64;
/// Numbers listed in a message.
const MAX_LISTED: usize = 20;

impl Builder<'_> {
    /// `enum` and `const`: the options that the other keywords beside them leave.
    pub(crate) fn constants(
        &mut self,
        own: Kinds,
        options: &[Value],
    ) -> Result<Kinds, CompileError> {
        let mut texts = Vec::new();
        let mut numbers = Vec::new();
        let mut others = Vec::new();
        for option in options {
            match option {
                Value::String(text) => {
                    let fits = match &own[Kind::String as usize] {
                        Expr::Atom(atom) => self.parts.strings[*atom as usize].accepts(text),
                        expr => *expr == Expr::Always(true),
                    };
                    if fits {
                        texts.push(text.as_str());
                    }
                }
                Value::Number(number) => {
                    let fits = match &own[Kind::Number as usize] {
                        Expr::Atom(atom) => self.parts.numbers[*atom as usize].accepts(number),
                        expr => *expr == Expr::Always(true),
                    };
                    if fits {
                        numbers.push(number);
                    }
                }
                other => others.push(self.constant(other, 0)?),
            }
        }
        let mut kinds = self.any(others)?;
        for kind in [
            Kind::Null,
            Kind::True,
            Kind::False,
            Kind::Array,
            Kind::Object,
        ] {
            let constants = std::mem::replace(&mut kinds[kind as usize], Expr::Always(false));
            kinds[kind as usize] = Expr::all(vec![own[kind as usize].clone(), constants]);
        }
        if !texts.is_empty() {
            kinds[Kind::String as usize] = self.literals(texts);
        }
        if !numbers.is_empty() {
            kinds[Kind::Number as usize] = self.numbers(&numbers)?;
        }
        Ok(kinds)
    }

    fn numbers(&mut self, numbers: &[&Number]) -> Result<Expr, CompileError> {
        let values: Vec<f64> = numbers
            .iter()
            .filter_map(|number| number.as_f64())
            .collect();
        let (low, high) = values
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), &value| {
                (low.min(value), high.max(value))
            });
        let minus = match (low, high) {
            (low, _) if low > 0.0 => Minus::Never,
            (_, high) if high < 0.0 => Minus::Must,
            (0.0, _) => Minus::ZeroOnly,
            _ => Minus::Free,
        };
        let list: Vec<String> = numbers
            .iter()
            .take(MAX_LISTED)
            .map(ToString::to_string)
            .collect();
        let more = if numbers.len() > MAX_LISTED {
            ", ..."
        } else {
            ""
        };
        let wanted = match numbers {
            [_] => list[0].clone(),
            _ => format!("one of {}{more}", list.join(", ")),
        };
        Ok(self.add_number(NumberAtom {
            integer: numbers.iter().all(|number| is_integer(number)),
            minus,
            exact: Some(number_validator(&json!({ "enum": numbers }), "")?),
            wanted,
            possible: true,
        }))
    }

    fn constant(&mut self, value: &Value, depth: usize) -> Result<Kinds, CompileError> {
        if depth > MAX_CONST_DEPTH {
            return Err(CompileError::TooLarge {
                what: "levels in a constant",
                limit: MAX_CONST_DEPTH,
            });
        }
        let mut kinds = never();
        match value {
            Value::Null => kinds[Kind::Null as usize] = Expr::Always(true),
            Value::Bool(true) => kinds[Kind::True as usize] = Expr::Always(true),
            Value::Bool(false) => kinds[Kind::False as usize] = Expr::Always(true),
            Value::String(text) => kinds[Kind::String as usize] = self.literals([text.as_str()]),
            Value::Number(number) => kinds[Kind::Number as usize] = self.numbers(&[number])?,
            Value::Array(items) => {
                let mut atom = ArrayAtom {
                    min: items.len() as u64,
                    max: Some(items.len() as u64),
                    ..ArrayAtom::default()
                };
                for item in items {
                    let item = self.constant(item, depth + 1)?;
                    atom.prefix.push(self.add_node(item, String::new())?);
                }
                kinds[Kind::Array as usize] = self.add_array(atom);
            }
            Value::Object(members) => {
                let mut declared = Vec::new();
                for (name, value) in members {
                    let node = self.constant(value, depth + 1)?;
                    declared.push((name.as_str(), self.add_node(node, String::new())?));
                }
                let required: Vec<&str> = declared.iter().map(|&(name, _)| name).collect();
                kinds[Kind::Object as usize] =
                    self.add_object(&declared, &required, None, (0, None));
            }
        }
        Ok(all(vec![anything(), kinds]))
    }
}
