//! The event log's unit: a batch of encoded events.
//!
//! An event is a JSON object *without* `sequence_number`. Its number is its place
//! in the log, and readers add it. So a cancel can append its terminal event in
//! one transaction, without knowing how far the worker got.

use bytes::{BufMut, Bytes, BytesMut};

/// Consecutive events, each as a `u32` length (big endian) and that many bytes.
/// Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventBatch {
    count: u32,
    bytes: Bytes,
}

/// Builds an [`EventBatch`].
#[derive(Debug, Default)]
pub struct EventBatchBuilder {
    count: u32,
    bytes: BytesMut,
}

impl EventBatchBuilder {
    /// Appends one encoded event.
    pub fn push(&mut self, event: &[u8]) {
        let len = u32::try_from(event.len()).expect("an event is far under 4 GiB");
        self.bytes.reserve(4 + event.len());
        self.bytes.put_u32(len);
        self.bytes.put_slice(event);
        self.count += 1;
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many events it holds.
    pub fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Whether it holds no events.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes the events and leaves the builder empty.
    pub fn take(&mut self) -> EventBatch {
        let batch = EventBatch {
            count: self.count,
            bytes: self.bytes.split().freeze(),
        };
        self.count = 0;
        batch
    }
}

impl EventBatch {
    /// A batch of the given events.
    pub fn of<E: AsRef<[u8]>>(events: impl IntoIterator<Item = E>) -> Self {
        let mut builder = EventBatchBuilder::default();
        for event in events {
            builder.push(event.as_ref());
        }
        builder.take()
    }

    /// Reads a batch from its stored bytes. `None` if they are not a batch.
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let mut rest: &[u8] = &bytes;
        let mut count = 0;
        while !rest.is_empty() {
            let (len, tail) = rest.split_at_checked(4)?;
            let len = u32::from_be_bytes(len.try_into().ok()?) as usize;
            rest = tail.split_at_checked(len)?.1;
            count += 1;
        }
        Some(Self { count, bytes })
    }

    /// How many events.
    pub fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Whether the batch has no events.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The events, in order.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let head = self.bytes.get(at..at + 4)?;
            let len = u32::from_be_bytes(head.try_into().ok()?) as usize;
            let event = self.bytes.slice(at + 4..at + 4 + len);
            at += 4 + len;
            Some(event)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(events in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let batch = EventBatch::of(&events);
            prop_assert_eq!(batch.count(), events.len() as u64);
            let again = EventBatch::decode(batch.as_bytes().clone()).unwrap();
            prop_assert_eq!(again.iter().map(|e| e.to_vec()).collect::<Vec<_>>(), events);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(batch) = EventBatch::decode(Bytes::from(bytes)) {
                prop_assert_eq!(batch.iter().count() as u64, batch.count());
            }
        }
    }
}
