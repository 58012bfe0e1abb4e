//! `cargo xtask test`: every check there is, a part at a time.
//!
//! A part whose tool is missing is skipped with one line; with `WAYPOST_TEST_REQUIRE_ALL=1`, as in
//! CI, that is a failure. The tools' own output is shown as it is.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context;

use crate::corpora;
use crate::model;
use crate::process;
use crate::terminal::{bold, dim, green, red, span, yellow};
use crate::tools::{self, Venv, cargo, find, root, target};

/// The official SDKs and the runner of the Python tests.
const PYTHON_PACKAGES: [&str; 4] = [
    "openai==3.54.0",
    "openai-agents==0.24.0",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
];
const REQUIRE_ALL: &str = "WAYPOST_TEST_REQUIRE_ALL";

#[derive(clap::Args)]
pub struct Args {
    /// Run only this part; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Formatting
    Fmt,
    /// Lints; warnings are errors
    Clippy,
    /// Dependencies: bans, licences, sources
    Deny,
    /// All Rust tests
    Rust,
    /// Examples in Rust documentation
    Doc,
    /// Public tool schemas: what strict mode makes of each
    Corpora,
    /// The server through the official Python SDK
    Python,
    /// The server through the official Node SDK
    Node,
    /// A hundred strict calls of a small real model that knows no tools
    Model,
}

enum Outcome {
    Passed,
    Failed(String),
    /// With the tool that is missing.
    Skipped(String),
}

pub fn run(args: &Args) -> ExitCode {
    let all = [
        Part::Fmt,
        Part::Clippy,
        Part::Deny,
        Part::Rust,
        Part::Doc,
        Part::Corpora,
        Part::Python,
        Part::Node,
        Part::Model,
    ];
    let require_all = std::env::var_os(REQUIRE_ALL).is_some_and(|value| value == "1");
    let mut lines = Vec::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for part in all {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        println!("\n{}", bold(&format!("── {}", part.title())));
        let since = Instant::now();
        let outcome = part
            .run()
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let (mark, why) = match outcome {
            Outcome::Passed => {
                passed += 1;
                (green("passed "), String::new())
            }
            Outcome::Skipped(why) if !require_all => {
                skipped += 1;
                (yellow("skipped"), format!("  {why}"))
            }
            Outcome::Skipped(why) | Outcome::Failed(why) => {
                failed += 1;
                (red("FAILED "), format!("  {why}"))
            }
        };
        let line = format!(
            "{mark}  {:<26}{:>12}{why}",
            part.title(),
            dim(&span(since.elapsed()))
        );
        println!("{line}");
        lines.push(line);
    }
    println!("\n{}", bold("── Summary"));
    for line in lines {
        println!("{line}");
    }
    // One word and a colon, then the counts: CI reads this line.
    println!("parts: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::Fmt => "fmt: formatting",
            Self::Clippy => "clippy: lints",
            Self::Deny => "deny: dependencies",
            Self::Rust => "rust: all tests",
            Self::Doc => "doc: examples",
            Self::Corpora => "corpora: public schemas",
            Self::Python => "python: the official SDK",
            Self::Node => "node: the official SDK",
            Self::Model => "model: 100 strict calls",
        }
    }

    fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Fmt => fmt(),
            Self::Clippy => in_cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
            Self::Deny => deny(),
            Self::Rust => rust(),
            Self::Doc => in_cargo(&["test", "--workspace", "--doc"]),
            Self::Corpora => public_schemas(),
            Self::Python => python(),
            Self::Node => node(),
            Self::Model => real_model(),
        }
    }
}

fn fmt() -> anyhow::Result<Outcome> {
    if find("cargo-fmt").is_none() {
        return Ok(missing("cargo-fmt", "rustup component add rustfmt"));
    }
    in_cargo(&["fmt", "--all", "--check"])
}

fn deny() -> anyhow::Result<Outcome> {
    if find("cargo-deny").is_none() {
        return Ok(missing("cargo-deny", "cargo install cargo-deny --locked"));
    }
    // Advisories need a database from the network; they have a place of their own.
    in_cargo(&[
        "deny",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ])
}

fn rust() -> anyhow::Result<Outcome> {
    // The server's tests start its program, and the test kit's.
    if find("cargo-nextest").is_some() {
        in_cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        in_cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"])
    }
}

fn public_schemas() -> anyhow::Result<Outcome> {
    let data = match corpora::prepare() {
        Ok(data) => data,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let status = corpora::prove(&data, false)?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(status.to_string())
    })
}

fn python() -> anyhow::Result<Outcome> {
    if find("python3").is_none() {
        return Ok(missing("python3", "Debian: python3 python3-venv"));
    }
    let venv = match Venv::at(target().join("test").join("python")) {
        Ok(venv) => venv,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    if let Err(error) = venv.install(&PYTHON_PACKAGES) {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    let mut pytest = Command::new(venv.python());
    pytest
        .args(["-m", "pytest", "-p", "no:cacheprovider"])
        .arg(root().join("tests/python"));
    for_clients(&mut pytest)?;
    finish("pytest", &mut pytest)
}

fn node() -> anyhow::Result<Outcome> {
    for (program, how) in [("node", "Debian: nodejs"), ("npm", "Debian: npm")] {
        if find(program).is_none() {
            return Ok(missing(program, how));
        }
    }
    let folder = target().join("test").join("node");
    if let Err(error) = install_node(&folder) {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    let mut node = Command::new("node");
    node.current_dir(&folder)
        .args(["--test", "--test-reporter=spec", "all.test.mjs"]);
    for_clients(&mut node)?;
    finish("node", &mut node)
}

fn real_model() -> anyhow::Result<Outcome> {
    if find("python3").is_none() {
        return Ok(missing("python3", "Debian: python3 python3-venv"));
    }
    let venv = match model::prepare() {
        Ok(venv) => venv,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let scene = model::Scene::start(&venv, tools::build_binaries()?)?;
    let mut client = scene.client(&venv);
    for_clients(&mut client)?;
    finish("strict_calls.py", scene.trust(&mut client))
}

/// Copies the tests below the build directory, where their packages go: Node looks for packages
/// beside the file that asks for them.
fn install_node(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for old in sources(folder)? {
        std::fs::remove_file(old)?;
    }
    for file in sources(&root().join("tests/node"))? {
        let name = file.file_name().context("a file has a name")?;
        std::fs::copy(&file, folder.join(name))?;
    }
    let lock = std::fs::read_to_string(folder.join("package-lock.json"))?;
    let done = folder.join("installed-lock.txt");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    anyhow::ensure!(
        process::run("npm", &mut npm)?.success(),
        "npm cannot install the packages of tests/node"
    );
    Ok(std::fs::write(done, lock)?)
}

/// The files of a folder that belong to the Node tests.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|ext| ext == "mjs" || ext == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Where the clients find the programs, and none of the shell's credentials.
fn for_clients(command: &mut Command) -> anyhow::Result<()> {
    let binaries = tools::build_binaries()?;
    command
        .env("WAYPOST_BIN", binaries.waypost)
        .env("WAYPOST_TESTKIT_BIN", binaries.testkit)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("OPENAI_") || is_server_setting(&name) {
            command.env_remove(&*name);
        }
    }
    Ok(())
}

fn is_server_setting(name: &str) -> bool {
    name.starts_with("WAYPOST_") && !name.ends_with("_BIN")
}

fn in_cargo(arguments: &[&str]) -> anyhow::Result<Outcome> {
    finish("cargo", cargo().args(arguments))
}

fn finish(name: &str, command: &mut Command) -> anyhow::Result<Outcome> {
    let status = process::run(name, command)?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(status.to_string())
    })
}

fn missing(tool: &str, how: &str) -> Outcome {
    Outcome::Skipped(format!("{tool} is not installed ({how})"))
}
