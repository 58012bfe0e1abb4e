//! `cargo xtask bench`: builds release binaries and lets `waypost-bench` measure them.
//!
//! The measuring is a program of its own, because it needs an async runtime and is built with
//! optimizations; here is only what a person types.

use std::process::{Command, ExitCode};

use anyhow::ensure;

use crate::{corpora, process, tools};

#[derive(clap::Args)]
pub struct Args {
    /// About a minute instead of about seven: checks the bench, measures nothing
    #[arg(long)]
    quick: bool,
    /// Measure although the machine is busy; the table says so
    #[arg(long)]
    force: bool,
    /// Order of the rounds, to repeat a run
    #[arg(long)]
    seed: Option<u64>,
    /// Only these parts: foreground, background, lag, exchange, authentication, tools, memory, recovery
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the table goes [default: bench/RESULTS.md; nowhere for a quick or partial run]
    #[arg(long)]
    out: Option<std::path::PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut build = tools::cargo();
    build.args(["build", "--release", "--bins"]);
    for package in ["waypost", "waypost-testkit", "waypost-bench"] {
        build.args(["-p", package]);
    }
    ensure!(
        process::run("cargo build", &mut build)?.success(),
        "the build failed"
    );
    let binaries = tools::target().join("release");
    // Parked streams are descriptors: as many as the system gives.
    let mut bench = Command::new("sh");
    bench
        .args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\""])
        .arg(binaries.join("waypost-bench"))
        .arg("--binaries")
        .arg(&binaries)
        .arg("--work-dir")
        .arg(tools::target().join("bench"))
        .args(args.quick.then_some("--quick"))
        .args(args.force.then_some("--force"));
    if args.only.is_empty() || args.only.iter().any(|part| part == "tools") {
        match corpora::prepare() {
            Ok(schemas) => {
                bench.arg("--schemas").arg(schemas);
            }
            Err(error) => eprintln!("without public schemas: {error:#}"),
        }
    }
    if let Some(seed) = args.seed {
        bench.args(["--seed", &seed.to_string()]);
    }
    if !args.only.is_empty() {
        bench.args(["--only", &args.only.join(",")]);
    }
    let whole = !args.quick && args.only.is_empty();
    let out = args.out.clone().or_else(|| {
        let results = tools::root().join("bench").join("RESULTS.md");
        whole.then_some(results)
    });
    if let Some(out) = out {
        bench.arg("--out").arg(out);
    }
    let status = process::run("waypost-bench", &mut bench)?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
