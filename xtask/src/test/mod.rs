//! `cargo xtask test`: every check there is, a part at a time.
//!
//! A part whose tool is missing is skipped with one line; with `WAYPOST_TEST_REQUIRE_ALL=1`, as in
//! CI, that is a failure. The tools' own output is shown as it is. The compliance suite of Open
//! Responses runs where somebody names a checkout of it; nothing here brings one.

mod clients;
mod open_responses;

use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::corpora;
use crate::model;
use crate::process;
use crate::terminal::{bold, dim, green, red, span, yellow};
use crate::tools::{self, cargo, find};

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
    /// The server through what people use on top: agent frameworks, coding agents
    Clients,
    /// The compliance suite of Open Responses, of the checkout that OPEN_RESPONSES_DIR names
    OpenResponses,
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
        Part::Clients,
        Part::OpenResponses,
        Part::Model,
    ];
    let require_all = std::env::var_os(REQUIRE_ALL).is_some_and(|value| value == "1");
    let mut lines = Vec::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for part in all {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        if args.only.is_empty()
            && let Some(why) = part.not_asked_for()
        {
            lines.push(format!("not asked for: {why}"));
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
            "{mark}  {:<28}{:>12}{why}",
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
    /// Why the part is left out of the whole command; asked for by name, it says so as an error.
    fn not_asked_for(self) -> Option<String> {
        let is_left_out = self == Self::OpenResponses && open_responses::checkout().is_none();
        is_left_out.then(|| format!("open-responses, {} is not set", open_responses::DIR))
    }

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
            Self::Clients => "clients: agents, frameworks",
            Self::OpenResponses => "open-responses: its suite",
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
            Self::Python => clients::python(),
            Self::Node => clients::node(),
            Self::Clients => clients::frameworks(),
            Self::OpenResponses => open_responses::run(),
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
    clients::surround(&mut client)?;
    finish("strict_calls.py", scene.trust(&mut client))
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
