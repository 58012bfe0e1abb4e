//! The workload's process, and what it reports: one JSON object a line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use super::stage::script;
use crate::process::{self, Running};
use crate::tools;

/// Silence after which the workload is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// What `workload.py` says.
#[derive(Debug, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Said {
    Exchanged {
        seconds: f64,
        token_bytes: usize,
    },
    Created {
        id: String,
        seconds: f64,
    },
    Text {
        delta: String,
    },
    Dropped {
        event: u64,
    },
    /// The connection broke, and nobody had meant it to.
    Lost {
        event: u64,
        problem: String,
    },
    Resumed {
        first: u64,
        seconds: f64,
        away_seconds: f64,
    },
    Finished(Finished),
}

#[derive(Debug, Deserialize)]
pub struct Finished {
    pub status: String,
    pub events: usize,
    /// The concatenation of all deltas, over all connections.
    pub seen: String,
    /// The output text of `GET`.
    pub stored: String,
    pub output_tokens: Option<u64>,
    pub error: Option<String>,
}

/// What `admin.py` made.
#[derive(Debug, Deserialize)]
pub struct Ids {
    pub project: String,
    pub service_account: String,
    pub provider: String,
    pub rule: String,
}

/// The settings of both scripts.
pub type Settings = BTreeMap<&'static str, Value>;

/// A script that gets `settings`, and none of the shell's OpenAI credentials.
fn command(python: &Path, name: &str, settings: &Settings, log: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(python);
    command
        .arg("-u")
        .arg(script(name))
        .env("DEMO", serde_json::to_string(settings)?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .stderr(File::options().create(true).append(true).open(log)?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OPENAI_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Does what an operator does once.
pub fn set_up(python: &Path, settings: &Settings, log: &Path) -> anyhow::Result<Ids> {
    let said = tools::output("admin.py", &mut command(python, "admin.py", settings, log)?);
    let said = said.with_context(|| problem(log))?;
    Ok(serde_json::from_str(&said)?)
}

/// A running workload.
pub struct Workload<'a> {
    running: Running,
    lines: Receiver<std::io::Result<String>>,
    log: &'a Path,
}

impl<'a> Workload<'a> {
    pub fn start(python: &Path, settings: &Settings, log: &'a Path) -> anyhow::Result<Self> {
        let running = process::spawn(
            "workload.py",
            &mut command(python, "workload.py", settings, log)?,
        )?;
        let output = BufReader::new(running.stdout()?);
        let (sender, lines) = sync_channel(64);
        // Ends with the pipe, so with the process.
        std::thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
        Ok(Self {
            running,
            lines,
            log,
        })
    }

    /// The next report; `None` once the workload is through.
    pub fn next(&self) -> anyhow::Result<Option<Said>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let line = line?;
                let said = serde_json::from_str(&line);
                said.map(Some)
                    .with_context(|| format!("not a report: {line}"))
            }
            Err(RecvTimeoutError::Timeout) => {
                bail!("the workload said nothing for {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.running.wait()?;
                if !status.success() {
                    bail!("the workload failed: {}", problem(self.log));
                }
                Ok(None)
            }
        }
    }
}

fn problem(log: &Path) -> String {
    let line = tools::last_line(log).unwrap_or_else(|| "it said nothing".to_owned());
    format!("{line}\n       the whole log is {}", log.display())
}
