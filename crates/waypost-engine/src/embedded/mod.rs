//! The embedded engine.

use std::path::PathBuf;

use crate::Engine;

#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    pub data_dir: PathBuf,
}

impl EmbeddedOptions {
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} is in use", data_dir.display())]
    Locked { data_dir: PathBuf, pid: Option<u32> },
}

pub fn open(options: &EmbeddedOptions) -> Result<Engine, OpenError> {
    Err(OpenError::Locked {
        data_dir: options.data_dir.clone(),
        pid: None,
    })
}
