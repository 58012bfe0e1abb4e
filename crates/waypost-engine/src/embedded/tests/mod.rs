//! Tests of what only this engine promises: files, lock, recovery after crashes.

mod crashes;
mod files;
mod load;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{EmbeddedOptions, open};
use crate::{Engine, conformance::Factory};

mod conforms {
    use super::InTempDir;

    crate::conformance!(InTempDir::new());
}

/// Opens engines in a temporary directory of their own.
struct InTempDir(TempDir);

impl InTempDir {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn open(&self) -> Engine {
        open(&EmbeddedOptions::new(self.0.path())).unwrap()
    }
}

#[async_trait]
impl Factory for InTempDir {
    async fn fresh(&self) -> Engine {
        self.open()
    }

    async fn reopen(&self, engine: Engine) -> Option<Engine> {
        engine.store.close().await;
        Some(self.open())
    }
}
