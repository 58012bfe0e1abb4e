//! The seven types of JSON Schema, as a set.

use serde_json::Value;

/// The types that a `type` keyword names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TypeSet(u8);

const NAMES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

impl TypeSet {
    pub(crate) const NULL: TypeSet = TypeSet(1);
    pub(crate) const BOOLEAN: TypeSet = TypeSet(2);
    pub(crate) const INTEGER: TypeSet = TypeSet(4);
    pub(crate) const NUMBER: TypeSet = TypeSet(8);
    pub(crate) const STRING: TypeSet = TypeSet(16);
    pub(crate) const ARRAY: TypeSet = TypeSet(32);
    pub(crate) const OBJECT: TypeSet = TypeSet(64);
    /// Either of the two that hold numbers.
    pub(crate) const NUMERIC: TypeSet = TypeSet(4 | 8);
    pub(crate) const CONTAINER: TypeSet = TypeSet(32 | 64);
    pub(crate) const SCALAR: TypeSet = TypeSet(1 | 2 | 4 | 8 | 16);
    pub(crate) const NONE: TypeSet = TypeSet(0);

    /// Reads `type`: a name, or a list of different names.
    pub(crate) fn read(value: &Value) -> Option<TypeSet> {
        match value {
            Value::String(name) => Self::named(name),
            Value::Array(names) => {
                let mut set = Self::NONE;
                for name in names {
                    let one = Self::named(name.as_str()?)?;
                    if set.meets(one) {
                        return None;
                    }
                    set = set.plus(one);
                }
                (set != Self::NONE).then_some(set)
            }
            _ => None,
        }
    }

    pub(crate) fn named(name: &str) -> Option<TypeSet> {
        NAMES
            .iter()
            .position(|known| *known == name)
            .map(|bit| TypeSet(1 << bit))
    }

    /// The narrowest type of a value. An integral float is an integer, as
    /// JSON Schema has it.
    pub(crate) fn of_value(value: &Value) -> TypeSet {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() && float.fract() != 0.0 => Self::NUMBER,
                _ => Self::INTEGER,
            },
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(crate) const fn plus(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 | other.0)
    }

    pub(crate) const fn meets(self, other: TypeSet) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn within(self, other: TypeSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether a value of type `one` is of one of these types.
    pub(crate) const fn admits(self, one: TypeSet) -> bool {
        self.meets(one) || one.0 == Self::INTEGER.0 && self.meets(Self::NUMBER)
    }

    /// The types that both admit. Integers are numbers.
    pub(crate) fn intersect(self, other: TypeSet) -> TypeSet {
        let mut both = self.0 & other.0;
        if self.admits(Self::INTEGER) && other.admits(Self::INTEGER) && both & 8 == 0 {
            both |= 4;
        }
        TypeSet(both)
    }

    pub(crate) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, n)| n)
    }

    /// As `type` is written: one name, or the list of them.
    pub(crate) fn to_value(self) -> Value {
        let mut names: Vec<Value> = self.names().map(Value::from).collect();
        if names.len() == 1 {
            names.remove(0)
        } else {
            Value::Array(names)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_names_and_lists_and_nothing_else() {
        assert_eq!(TypeSet::read(&json!("string")), Some(TypeSet::STRING));
        let set = TypeSet::read(&json!(["object", "null"])).unwrap();
        assert_eq!(set.to_value(), json!(["null", "object"]));
        for bad in [
            json!("int"),
            json!([]),
            json!(["null", "null"]),
            json!(1),
            json!([1]),
        ] {
            assert_eq!(TypeSet::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn integers_are_numbers() {
        assert_eq!(TypeSet::of_value(&json!(2.0)), TypeSet::INTEGER);
        assert_eq!(TypeSet::of_value(&json!(2.5)), TypeSet::NUMBER);
        assert!(
            TypeSet::NUMBER.admits(TypeSet::INTEGER) && !TypeSet::INTEGER.admits(TypeSet::NUMBER)
        );
        assert_eq!(
            TypeSet::NUMBER.intersect(TypeSet::INTEGER),
            TypeSet::INTEGER
        );
        assert_eq!(TypeSet::NUMERIC.intersect(TypeSet::NUMBER), TypeSet::NUMBER);
    }
}
