//! Public tool schemas, where `cargo xtask corpora` has collected them.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Files of function documents; the other ones hold schemas that are no tools.
const FILES: [&str; 2] = ["bfcl.jsonl", "github.jsonl"];
/// What counts as large: the largest fiftieth of these schemas is.
const LARGE: usize = 1500;

/// The large schemas among them, as compact JSON texts.
pub fn large(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut large = Vec::new();
    for file in FILES {
        let path = folder.join(file);
        let lines =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for line in lines.lines() {
            let entry: Value = serde_json::from_str(line)?;
            let text = entry["schema"].to_string();
            if text.len() >= LARGE {
                large.push(text);
            }
        }
    }
    ensure!(!large.is_empty(), "no schema of {LARGE} B or more");
    Ok(large)
}
