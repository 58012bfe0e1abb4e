//! What is refused before it is looked at: schemas too big, too deep, too many.
//!
//! Every recursive walk of this crate goes down at most [`Limits::max_depth`]
//! levels of a value that [`Size::of`] has measured first, so no input decides
//! how deep the stack grows. The trap: a rewrite can wrap a schema once more, so
//! a rewritten schema is measured again.

use serde_json::Value;

/// Bounds for one JSON text or schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of JSON text; of a parsed schema, the bytes of its strings and keys.
    pub max_bytes: usize,
    /// Arrays and objects inside one another.
    pub max_depth: usize,
    /// JSON values in all, those that inlining a `$ref` adds included.
    pub max_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 20,
            max_depth: 100,
            max_nodes: 100_000,
        }
    }
}

/// Which bound was passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Excess {
    Bytes,
    Depth,
    Nodes,
}

/// The measure of a value.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Size {
    pub bytes: usize,
    pub nodes: usize,
}

impl Size {
    /// Measures `value`, and stops at the first bound it passes.
    pub(crate) fn of(value: &Value, limits: &Limits) -> Result<Size, Excess> {
        let mut size = Size::default();
        size.add(value, limits, 0)?;
        Ok(size)
    }

    fn add(&mut self, value: &Value, limits: &Limits, depth: usize) -> Result<(), Excess> {
        self.nodes += 1;
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => {
                if depth == limits.max_depth {
                    return Err(Excess::Depth);
                }
                for item in items {
                    self.add(item, limits, depth + 1)?;
                }
            }
            Value::Object(map) => {
                if depth == limits.max_depth {
                    return Err(Excess::Depth);
                }
                for (key, item) in map {
                    self.bytes += key.len();
                    self.add(item, limits, depth + 1)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if self.nodes > limits.max_nodes {
            return Err(Excess::Nodes);
        }
        if self.bytes > limits.max_bytes {
            return Err(Excess::Bytes);
        }
        Ok(())
    }
}
