//! What resolving found, by schema.
//!
//! The key is the schema itself, in a compact form that no two schemas share:
//! a hit compares all of it, so no choice of schemas can make one tenant's
//! stand for another's. Order of keys is part of it, as it is of a schema.

use std::{cell::RefCell, sync::Arc};

use moka::sync;
use serde_json::Value;

use super::Prepared;

/// Bytes that may be kept.
pub(super) const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Larger entries are not kept: a handful would push out everything else.
const MAX_ENTRY: usize = 1024 * 1024;
/// About what a value costs in memory beside its text.
const NODE_BYTES: usize = 80;
/// A buffer that grew beyond this is not kept for the next key.
const MAX_BUFFER: usize = 64 * 1024;

/// What is kept.
pub(super) struct Cache(sync::Cache<Arc<[u8]>, Arc<Prepared>>);

impl Default for Cache {
    fn default() -> Self {
        Self(
            sync::Cache::builder()
                .weigher(|key: &Arc<[u8]>, prepared: &Arc<Prepared>| {
                    u32::try_from(weight(key, prepared)).unwrap_or(u32::MAX)
                })
                .max_capacity(MAX_BYTES)
                .build(),
        )
    }
}

impl Cache {
    pub(super) fn get(&self, key: &Key<'_>) -> Option<Arc<Prepared>> {
        self.0.get(key.0)
    }

    pub(super) fn put(&self, key: &Key<'_>, prepared: &Arc<Prepared>) {
        if weight(key.0, prepared) <= MAX_ENTRY {
            self.0.insert(key.0.into(), prepared.clone());
        }
    }
}

#[cfg(test)]
impl Cache {
    /// Entries and bytes, with nothing left to be done.
    pub(super) fn measure(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

/// A schema, what was asked of it, and where it stands.
pub(super) struct Key<'k>(&'k [u8]);

impl Key<'_> {
    /// About as many as the schema has as JSON.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Writes the key into this thread's buffer and hands it to `f`.
    pub(super) fn with<T>(
        scope: u8,
        schema: Option<&Value>,
        strict: Option<bool>,
        f: impl FnOnce(&Key<'_>) -> T,
    ) -> T {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        // Taken out, not borrowed: `f` may run anything.
        let mut buffer = BUFFER.take();
        buffer.clear();
        buffer.push(scope);
        buffer.push(match strict {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        });
        if let Some(schema) = schema {
            write(schema, &mut buffer);
        }
        let result = f(&Key(&buffer));
        if buffer.capacity() <= MAX_BUFFER {
            BUFFER.replace(buffer);
        }
        result
    }
}

/// Each value begins with its kind; what has a length says it first. The depth
/// is bounded by the body's parser.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    let length = |out: &mut Vec<u8>, len: usize| out.extend_from_slice(&(len as u32).to_le_bytes());
    match value {
        Value::Null => out.push(b'n'),
        Value::Bool(false) => out.push(b'f'),
        Value::Bool(true) => out.push(b't'),
        Value::Number(number) => {
            let (kind, bits) = if let Some(n) = number.as_u64() {
                (b'u', n)
            } else if let Some(n) = number.as_i64() {
                (b'i', n.cast_unsigned())
            } else {
                (b'd', number.as_f64().unwrap_or_default().to_bits())
            };
            out.push(kind);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Value::String(text) => {
            out.push(b's');
            length(out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            out.push(b'a');
            length(out, items.len());
            for item in items {
                write(item, out);
            }
        }
        Value::Object(map) => {
            out.push(b'o');
            length(out, map.len());
            for (key, item) in map {
                length(out, key.len());
                out.extend_from_slice(key.as_bytes());
                write(item, out);
            }
        }
    }
}

fn weight(key: &[u8], prepared: &Prepared) -> usize {
    let reasons = prepared.fallback.iter().flatten();
    key.len()
        + prepared.parameters.as_ref().map_or(0, bytes)
        // What undoes a rewrite is smaller than what was rewritten.
        + if prepared.restore.is_empty() { 0 } else { key.len() }
        + reasons
            .map(|reason| NODE_BYTES + reason.pointer.len() + reason.message.len())
            .sum::<usize>()
        + size_of::<Prepared>()
}

fn bytes(value: &Value) -> usize {
    NODE_BYTES
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes).sum(),
            Value::Object(map) => map.iter().map(|(key, item)| key.len() + bytes(item)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}
