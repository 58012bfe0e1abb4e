//! `cargo xtask`: what the project does to itself. Builds on nothing of ours: it starts the
//! programs as a person would.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod corpora;
mod demo;
mod model;
mod process;
mod terminal;
mod test;
mod tools;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Demo, tests and bench of Waypost")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch a keyless workload get an answer that survives a crash
    Demo(demo::Args),
    /// Run the tests: everything, or one part
    Test(test::Args),
    /// Judge public tool schemas and compare with the frozen table
    Corpora(corpora::Args),
    /// Measure the server against the budgets
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = process::watch_signals().and_then(|()| match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => Ok(test::run(&args)),
        Command::Corpora(args) => corpora::run(&args),
        Command::Bench(args) => bench::run(&args),
    });
    done.unwrap_or_else(|error| {
        while process::is_stopping() {
            std::thread::park();
        }
        eprintln!("\n{} {error:#}", terminal::red("error:"));
        ExitCode::FAILURE
    })
}
