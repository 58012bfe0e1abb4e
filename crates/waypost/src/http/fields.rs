//! Reading a request body field by field, with the API's own error sentences:
//! what was wrong, where (`param` is the path), what would be right.

use serde_json::{Map, Value};

use crate::http::error::ApiError;

/// How long a cached prompt may be asked to live.
pub const CACHE_TTLS: &[&str] = &["30m", "12h"];

/// A JSON object being read. Whatever was not asked for when [`Fields::end`]
/// is called is an unknown parameter.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
    seen: Vec<&'static str>,
}

type Result<T, E = ApiError> = std::result::Result<T, E>;

impl<'a> Fields<'a> {
    /// The object at `path` (empty for the body itself).
    pub fn new(value: &'a Value, path: &str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                path: path.to_owned(),
                seen: Vec::new(),
            }),
            other => Err(wrong_type(path, "an object", other)),
        }
    }

    /// The path of this object.
    pub fn here(&self) -> &str {
        &self.path
    }

    /// The path of a field of this object.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The field as it is; null is as good as absent.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.seen.push(name);
        self.map.get(name).filter(|v| !v.is_null())
    }

    pub fn string(&mut self, name: &'static str) -> Result<Option<&'a str>> {
        let path = self.path(name);
        self.value(name)
            .map(|v| v.as_str().ok_or_else(|| wrong_type(&path, "a string", v)))
            .transpose()
    }

    pub fn required_string(&mut self, name: &'static str) -> Result<&'a str> {
        self.string(name)?.ok_or_else(|| missing(&self.path(name)))
    }

    /// A string of at most `max` characters.
    pub fn bounded_string(&mut self, name: &'static str, max: usize) -> Result<Option<&'a str>> {
        let value = self.string(name)?;
        // Characters are never more than bytes.
        if let Some(text) = value.filter(|text| text.len() > max) {
            let len = text.chars().count();
            if len > max {
                let path = self.path(name);
                return Err(ApiError::invalid(format!(
                    "Invalid '{path}': string too long. Expected a string with maximum length \
                     {max}, but got a string with length {len} instead."
                ))
                .param(path.clone())
                .code("string_above_max_length"));
            }
        }
        Ok(value)
    }

    /// A string that must be there, of 1 to `max` characters.
    pub fn sized_string(&mut self, name: &'static str, max: usize) -> Result<&'a str> {
        let path = self.path(name);
        match self.bounded_string(name, max)? {
            None => Err(missing(&path)),
            Some("") => Err(ApiError::invalid(format!(
                "Invalid '{path}': empty string. Expected a string with minimum length 1, but \
                 got an empty string instead."
            ))
            .param(path)
            .code("empty_string")),
            Some(text) => Ok(text),
        }
    }

    /// A string that must be there, of at most `max` characters.
    pub fn required_text(&mut self, name: &'static str, max: usize) -> Result<&'a str> {
        self.bounded_string(name, max)?
            .ok_or_else(|| missing(&self.path(name)))
    }

    /// One of `words`.
    pub fn word(&mut self, name: &'static str, words: &[&'static str]) -> Result<Option<&'a str>> {
        let value = self.string(name)?;
        match value {
            Some(word) if !words.contains(&word) => Err(bad_word(&self.path(name), word, words)),
            _ => Ok(value),
        }
    }

    pub fn bool(&mut self, name: &'static str) -> Result<Option<bool>> {
        let path = self.path(name);
        self.value(name)
            .map(|v| v.as_bool().ok_or_else(|| wrong_type(&path, "a boolean", v)))
            .transpose()
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&mut self, name: &'static str, min: u64, max: u64) -> Result<Option<u64>> {
        let path = self.path(name);
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(n) if n.is_u64() => n.as_u64().unwrap_or_default(),
            Value::Number(n) if n.is_i64() => {
                return Err(out_of_range(
                    &path,
                    "integer",
                    "below minimum",
                    ">=",
                    &min,
                    n,
                ));
            }
            other => return Err(wrong_type(&path, "an integer", other)),
        };
        if number < min {
            return Err(out_of_range(
                &path,
                "integer",
                "below minimum",
                ">=",
                &min,
                &number,
            ));
        }
        if number > max {
            return Err(out_of_range(
                &path,
                "integer",
                "above maximum",
                "<=",
                &max,
                &number,
            ));
        }
        Ok(Some(number))
    }

    /// A number from `min` to `max`.
    pub fn decimal(&mut self, name: &'static str, min: f64, max: f64) -> Result<Option<f64>> {
        let path = self.path(name);
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let Some(number) = value.as_f64() else {
            return Err(wrong_type(&path, "a decimal", value));
        };
        if number < min {
            return Err(out_of_range(
                &path,
                "decimal",
                "below minimum",
                ">=",
                &min,
                &number,
            ));
        }
        if number > max {
            return Err(out_of_range(
                &path,
                "decimal",
                "above maximum",
                "<=",
                &max,
                &number,
            ));
        }
        Ok(Some(number))
    }

    pub fn array(&mut self, name: &'static str) -> Result<Option<&'a Vec<Value>>> {
        let path = self.path(name);
        self.value(name)
            .map(|v| v.as_array().ok_or_else(|| wrong_type(&path, "an array", v)))
            .transpose()
    }

    pub fn object(&mut self, name: &'static str) -> Result<Option<Fields<'a>>> {
        let path = self.path(name);
        self.value(name).map(|v| Fields::new(v, &path)).transpose()
    }

    /// Where a cached prompt may end, on a content part.
    pub fn prompt_cache_breakpoint(&mut self) -> Result<Option<Value>> {
        const NAME: &str = "prompt_cache_breakpoint";
        let Some(value) = self.value(NAME) else {
            return Ok(None);
        };
        let mut point = Self::new(value, &self.path(NAME))?;
        if point.word("mode", &["explicit"])?.is_none() {
            return Err(missing(&point.path("mode")));
        }
        point.word("ttl", CACHE_TTLS)?;
        point.end()?;
        Ok(Some(value.clone()))
    }

    /// An object that says nothing to this server: it may be there, of at most
    /// `max` bytes as JSON, and nothing is done with it.
    pub fn opaque(&mut self, name: &'static str, max: usize) -> Result<()> {
        let path = self.path(name);
        let Some(value) = self.value(name) else {
            return Ok(());
        };
        if !value.is_object() {
            return Err(wrong_type(&path, "an object", value));
        }
        let len = value.to_string().len();
        if len > max {
            return Err(ApiError::invalid(format!(
                "Invalid '{path}': too long. Expected an object of at most {max} bytes as JSON, \
                 but got one of {len}."
            ))
            .param(path)
            .code("string_above_max_length"));
        }
        Ok(())
    }

    /// A field whose meaning we could only pretend to honour.
    pub fn refuse(&mut self, name: &'static str, why: &str) -> Result<()> {
        match self.value(name) {
            None => Ok(()),
            Some(_) => Err(unsupported(&self.path(name), why)),
        }
    }

    /// Every field was asked for, or it is unknown.
    pub fn end(&self) -> Result<()> {
        match self
            .map
            .keys()
            .find(|key| !self.seen.contains(&key.as_str()))
        {
            None => Ok(()),
            Some(unknown) => Err(self::unknown(&self.path(unknown))),
        }
    }
}

/// `Unknown parameter: '…'.`
pub fn unknown(path: &str) -> ApiError {
    ApiError::invalid(format!("Unknown parameter: '{path}'."))
        .param(path.to_owned())
        .code("unknown_parameter")
}

/// `Missing required parameter: '…'.`
pub fn missing(path: &str) -> ApiError {
    ApiError::invalid(format!("Missing required parameter: '{path}'."))
        .param(path.to_owned())
        .code("missing_required_parameter")
}

/// `Invalid type for '…': expected …, but got … instead.`
pub fn wrong_type(path: &str, expected: &str, got: &Value) -> ApiError {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let what = if path.is_empty() {
        "the request body".to_owned()
    } else {
        format!("'{path}'")
    };
    let error = ApiError::invalid(format!(
        "Invalid type for {what}: expected {expected}, but got {got} instead."
    ))
    .code("invalid_type");
    if path.is_empty() {
        error
    } else {
        error.param(path.to_owned())
    }
}

/// `Invalid value: '…'. Supported values are: ….`
pub fn bad_word(path: &str, word: &str, words: &[&str]) -> ApiError {
    let quoted = words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>();
    let list = match quoted.as_slice() {
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [others @ .., last] => format!("{}, and {last}", others.join(", ")),
        [] => String::new(),
    };
    let word: String = word.chars().take(64).collect();
    ApiError::invalid(format!(
        "Invalid value: '{word}'. Supported values are: {list}."
    ))
    .param(path.to_owned())
    .code("invalid_value")
}

/// `Unsupported parameter: '…' ….`
pub fn unsupported(path: &str, why: &str) -> ApiError {
    ApiError::invalid(format!("Unsupported parameter: '{path}'. {why}"))
        .param(path.to_owned())
        .code("unsupported_parameter")
}

fn out_of_range(
    path: &str,
    kind: &str,
    side: &str,
    sign: &str,
    bound: &dyn std::fmt::Display,
    got: &dyn std::fmt::Display,
) -> ApiError {
    let code = match (kind, sign) {
        ("integer", ">=") => "integer_below_min_value",
        ("integer", _) => "integer_above_max_value",
        (_, ">=") => "decimal_below_min_value",
        _ => "decimal_above_max_value",
    };
    ApiError::invalid(format!(
        "Invalid '{path}': {kind} {side} value. Expected a value {sign} {bound}, but got {got} \
         instead."
    ))
    .param(path.to_owned())
    .code(code)
}
