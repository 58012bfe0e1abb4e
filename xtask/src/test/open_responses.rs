//! The compliance suite of Open Responses, from a checkout that the person has.
//!
//! The suite is copied beside `tests/node/open-responses`, below the build directory, where its
//! runner and its one package are installed; the checkout is only read.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Outcome;
use super::clients::{install_node, no_node, node_folder, node_tests};

/// Names the checkout.
pub const DIR: &str = "OPEN_RESPONSES_DIR";
/// Where the part's own files are, below `tests/node`.
const PART: &str = "open-responses";
/// What the suite consists of.
const FOLDERS: [&str; 3] = ["bin", "src/lib", "src/generated"];
/// What says that a folder is such a checkout.
const RUNNER: &str = "bin/compliance-test.ts";

/// The checkout, if one is named.
pub fn checkout() -> Option<PathBuf> {
    let named = std::env::var_os(DIR).filter(|dir| !dir.is_empty())?;
    Some(PathBuf::from(named))
}

pub fn run() -> anyhow::Result<Outcome> {
    let checkout = checkout().with_context(|| {
        format!("{DIR} is not set: set it to a checkout of github.com/openresponses/openresponses")
    })?;
    ensure!(
        checkout.join(RUNNER).is_file(),
        "{DIR} names {}, which has no {RUNNER}: it has to be a checkout of \
         github.com/openresponses/openresponses",
        checkout.display()
    );
    if let Some(skipped) = no_node() {
        return Ok(skipped);
    }
    if let Err(error) = install_node(".").and_then(|()| install_node(PART)) {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    let folder = node_folder(PART);
    for part in FOLDERS {
        let to = folder.join(part);
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        copy(&checkout.join(part), &to)?;
    }
    node_tests(Path::new("node"), PART, "open-responses.test.mjs")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(from)
        .with_context(|| format!("{DIR}: cannot read {}", from.display()))?;
    std::fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
