//! Public schemas against `strict-schema`: downloads the packages that carry them, turns them into
//! lines of JSON and runs the crate's `proof` tests over every one.
//!
//! The data stays below the build directory and is never committed. What the crate makes of it is:
//! `crates/strict-schema/tests/proof/frozen.txt`. A difference fails; `--accept` writes a new table
//! once somebody has judged the difference.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::process;
use crate::tools::{Venv, cargo, find, root, target};

/// Where the tests look for the lines.
const DATA: &str = "STRICT_SCHEMA_CORPORA";
/// Set: the table is written instead of compared.
const ACCEPT: &str = "STRICT_SCHEMA_ACCEPT";

#[derive(clap::Args)]
pub struct Args {
    /// Write the table anew instead of comparing with it
    #[arg(long)]
    accept: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let data = prepare()?;
    Ok(if prove(&data, args.accept)?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Downloads and collects, unless exactly this was collected before: the folder with the lines.
pub fn prepare() -> anyhow::Result<PathBuf> {
    ensure!(
        find("python3").is_some(),
        "python3 is not installed (Debian: python3 python3-venv)"
    );
    let sources = root().join("xtask/corpora");
    let requirements = sources.join("requirements.txt");
    let collect = sources.join("collect.py");
    let recipe = std::fs::read_to_string(&requirements)? + &std::fs::read_to_string(&collect)?;

    let folder = target().join("test").join("corpora");
    let data = folder.join("data");
    let done = folder.join("collected.txt");
    if std::fs::read_to_string(&done).is_ok_and(|before| before == recipe) {
        return Ok(data);
    }
    let venv = Venv::at(folder.join("python"))?;
    let packages = folder.join("packages");
    for old in [&packages, &data] {
        if old.exists() {
            std::fs::remove_dir_all(old)?;
        }
    }
    download(&venv, &requirements, &packages)
        .context("the packages with the public schemas cannot be downloaded")?;
    let mut python = Command::new(venv.python());
    python.arg(&collect).arg(&packages).arg(&data);
    ensure!(
        process::run("collect.py", &mut python)?.success(),
        "the packages do not hold what xtask/corpora/collect.py looks for"
    );
    std::fs::write(done, recipe)?;
    Ok(data)
}

/// The files as they are: nothing is installed.
fn download(venv: &Venv, requirements: &Path, packages: &Path) -> anyhow::Result<()> {
    let mut pip = Command::new(venv.python());
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--require-hashes"])
        // Only its source distribution has the test suite.
        .args(["--no-binary", "jsonschema"])
        .arg("--requirement")
        .arg(requirements)
        .arg("--dest")
        .arg(packages);
    venv.logged("pip download", &mut pip)
}

/// Runs the tests that need the lines.
pub fn prove(data: &Path, accept: bool) -> anyhow::Result<std::process::ExitStatus> {
    let mut test = cargo();
    test.args(["test", "-p", "strict-schema", "--test", "proof"])
        .args(["--", "--ignored", "--nocapture", "corpora"])
        .env(DATA, data);
    if accept {
        test.env(ACCEPT, "1");
    }
    process::run("cargo test", &mut test)
}
