//! The programs of the play: model server, identity provider, Waypost.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;

use crate::process::{self, Running};
use crate::tools::{self, Binaries, Venv};

/// How long a program may take until it serves. Loading the model is the longest.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of a dead server's claim on a job. Short, so that nobody waits long in a demo; the default is
/// 30 s.
const LEASE: &str = "2s";

/// The scripts of the demo.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("demo")
        .join(name)
}

/// A folder for one run: logs, configuration, data.
pub struct Stage {
    pub folder: PathBuf,
    pub binaries: Binaries,
}

/// A program that serves.
pub struct Service {
    pub url: String,
    running: Running,
}

impl Stage {
    /// An empty folder; what an earlier run left is removed.
    pub fn new(folder: PathBuf, binaries: Binaries) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, binaries })
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Starts a program that writes its address to a ready file, which `arguments` gets.
    fn serve(
        &self,
        name: &str,
        program: &Path,
        arguments: impl FnOnce(&mut Command, &Path),
    ) -> anyhow::Result<Service> {
        let ready = self.folder.join(format!("{name}.ready"));
        if ready.exists() {
            std::fs::remove_file(&ready)?;
        }
        let log = self.log(name);
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .stdout(output.try_clone()?)
            .stderr(output);
        arguments(&mut command, &ready);
        let running = process::spawn(name, &mut command)?;
        let url = tools::ready(&running, &ready, PATIENCE, &log)
            .with_context(|| format!("{name} does not serve"))?;
        Ok(Service { url, running })
    }

    pub fn model(&self, venv: &Venv) -> anyhow::Result<Service> {
        self.serve("model", &venv.python(), |command, ready| {
            command
                .arg(script("model.py"))
                .arg(ready)
                .arg(std::process::id().to_string());
        })
    }

    /// A role of the test kit: `issuer` or `upstream`.
    pub fn scripted(&self, role: &str) -> anyhow::Result<Service> {
        self.serve(role, &self.binaries.testkit, |command, ready| {
            let parent = std::process::id().to_string();
            command.args([role, "--parent-pid", &parent, "--ready-file"]);
            command.arg(ready);
        })
    }

    /// Waypost at `listen`; port 0 picks a free one.
    pub fn waypost(&self, listen: &str, admin_key: &str) -> anyhow::Result<Service> {
        self.serve("waypost", &self.binaries.waypost, |command, ready| {
            command
                .args(["serve", "--listen", listen, "--config", "waypost.toml"])
                .arg("--ready-file")
                .arg(ready)
                .env("WAYPOST_ADMIN_KEY", admin_key);
            // The demo's own file decides, not what a shell happens to export.
            for name in [
                "CONFIG",
                "LISTEN",
                "DATA_DIR",
                "UPSTREAM_URL",
                "UPSTREAM_API",
                "UPSTREAM_DIALECT",
            ] {
                command.env_remove(format!("WAYPOST_{name}"));
            }
        })
    }

    pub fn configure(&self, model: &Model, issuer: Option<&str>) -> anyhow::Result<()> {
        let issuers: Vec<&str> = issuer.into_iter().collect();
        let key = match std::env::var_os("WAYPOST_UPSTREAM_API_KEY") {
            Some(_) if model.is_own => "api_key = \"env:WAYPOST_UPSTREAM_API_KEY\"\n",
            _ => "",
        };
        let config = format!(
            "data_dir = \"data\"\n\n\
             [identity]\nallow_private_issuers = {issuers:?}\n\n\
             [responses]\nlease = \"{LEASE}\"\n\n\
             [[upstreams]]\nname = \"demo\"\nbase_url = {:?}\napi = \"chat\"\n{key}\
             dialect = {:?}\nassistant_prefill = {}\n",
            model.base_url, model.dialect, model.continues,
        );
        Ok(std::fs::write(self.folder.join("waypost.toml"), config)?)
    }
}

impl Service {
    /// As a crash would: no warning, no clean-up.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.running.kill()
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(&self.url)
    }

    pub fn ended(&self) -> anyhow::Result<bool> {
        Ok(self.running.ended()?.is_some())
    }

    /// SIGTERM; returns how long it took.
    pub fn stop(self) -> Duration {
        let asked = Instant::now();
        self.running.terminate();
        asked.elapsed()
    }
}

/// The model server that answers.
pub struct Model {
    /// With the version segment, like `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    pub name: String,
    pub dialect: &'static str,
    /// Whether an answer that a crash cut off can go on where it stopped.
    pub continues: bool,
    /// The person's own server.
    pub is_own: bool,
}

impl Model {
    /// Asks the person's own server what it is.
    pub fn probe(base_url: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Answer {
            model: String,
            owned_by: String,
        }
        let python = tools::find("python3").context("python3 is not installed")?;
        let mut probe = Command::new(python);
        probe.arg(script("probe.py")).arg(base_url);
        let answer =
            tools::output("probe.py", probe.stderr(Stdio::inherit())).with_context(|| {
                format!("{base_url}/models does not answer as a model server would")
            })?;
        let answer: Answer = serde_json::from_str(&answer)?;
        let dialect = match answer.owned_by.as_str() {
            "llamacpp" => "llama.cpp",
            "vllm" => "vllm",
            "sglang" => "sglang",
            "library" => "ollama",
            _ => "generic",
        };
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            name: answer.model,
            dialect,
            continues: matches!(dialect, "llama.cpp" | "vllm"),
            is_own: true,
        })
    }
}
