//! What was rewritten, as far as it is worth telling.

use super::{Change, ChangeCode, Level};

/// Changes that are told, and bytes of their pointers: a place can be written in long names, and
/// each change below it repeats them. The first is told whatever its length.
const MAX_CHANGES: usize = 512;
const MAX_BYTES: usize = 64 << 10;

/// The list of changes. Empty only if nothing was changed.
#[derive(Default)]
pub(super) struct Changes {
    told: Vec<Change>,
    bytes: usize,
}

impl Changes {
    /// Adds a change; `pointer` is not even made for one that is not told.
    pub(super) fn add(&mut self, code: ChangeCode, level: Level, pointer: impl FnOnce() -> String) {
        if self.told.len() >= MAX_CHANGES || self.bytes > MAX_BYTES {
            return;
        }
        let pointer = pointer();
        self.bytes += pointer.len();
        if self.told.is_empty() || self.bytes <= MAX_BYTES {
            self.told.push(Change {
                pointer,
                code,
                level,
            });
        }
    }

    pub(super) fn told(self) -> Vec<Change> {
        self.told
    }
}
