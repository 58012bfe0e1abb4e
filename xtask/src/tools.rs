//! Finding and preparing the programs that demo and tests use.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};

use crate::process::{self, Running};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// The build directory, which holds everything that demo and tests make.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Where `program` is on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The server and the scripted outside world.
pub struct Binaries {
    pub waypost: PathBuf,
    pub testkit: PathBuf,
}

/// Builds both. Cargo's own lines are shown: a first build takes minutes.
pub fn build_binaries() -> anyhow::Result<Binaries> {
    let mut build = cargo();
    build.args([
        "build",
        "--quiet",
        "--bins",
        "-p",
        "waypost",
        "-p",
        "waypost-testkit",
    ]);
    ensure!(
        process::run("cargo build", &mut build)?.success(),
        "the build failed"
    );
    let at = |name: &str| target().join("debug").join(name);
    Ok(Binaries {
        waypost: at("waypost"),
        testkit: at("waypost-testkit"),
    })
}

/// A Python virtual environment below the build directory.
pub struct Venv {
    folder: PathBuf,
    log: PathBuf,
}

impl Venv {
    /// Makes it, or takes it as it is.
    pub fn at(folder: PathBuf) -> anyhow::Result<Self> {
        let log = folder.with_extension("log");
        let venv = Self { folder, log };
        if !venv.python().is_file() || !venv.folder.join("bin/pip").is_file() {
            let python = find("python3").context("python3 is not installed")?;
            if venv.folder.exists() {
                std::fs::remove_dir_all(&venv.folder)?;
            }
            let mut make = Command::new(python);
            make.args(["-m", "venv"]).arg(&venv.folder);
            venv.logged("python3 -m venv", &mut make)
                .context("python3 cannot make a virtual environment (Debian: python3-venv)")?;
        }
        Ok(venv)
    }

    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Installs with pip, unless exactly this was installed before.
    pub fn install(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let done = self.folder.join("waypost-installed.txt");
        let line = arguments.join(" ") + "\n";
        let already = std::fs::read_to_string(&done).unwrap_or_default();
        if already.lines().any(|known| known == line.trim_end()) {
            return Ok(());
        }
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(arguments);
        self.logged("pip", &mut pip)?;
        std::fs::write(&done, already + &line)?;
        Ok(())
    }

    /// Runs `command` with its output in the log, whose last line says what went wrong.
    pub fn logged(&self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        let parent = self.log.parent().expect("below the build directory");
        std::fs::create_dir_all(parent)?;
        let log = std::fs::File::create(&self.log)?;
        command.stdout(log.try_clone()?).stderr(log);
        let status = process::run(name, command)?;
        ensure!(
            status.success(),
            "{name} failed: {}",
            last_line(&self.log).unwrap_or_else(|| status.to_string())
        );
        Ok(())
    }
}

/// The last line with something in it: where programs say what went wrong.
pub fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// Waits for the address that `service` writes to `file` once it serves.
pub fn ready(
    service: &Running,
    file: &Path,
    patience: Duration,
    log: &Path,
) -> anyhow::Result<String> {
    let deadline = Instant::now() + patience;
    loop {
        if let Ok(url) = std::fs::read_to_string(file) {
            return Ok(url.trim().to_owned());
        }
        let why = if let Some(status) = service.ended()? {
            format!("it ended ({status})")
        } else if Instant::now() > deadline {
            format!("nothing happened for {} s", patience.as_secs())
        } else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let said = last_line(log).unwrap_or_else(|| "it said nothing".to_owned());
        bail!("{why}: {said}\n       the whole log is {}", log.display());
    }
}

/// The body of `GET url`, for plain http on this machine.
pub fn get(url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").context("not an http URL")?;
    let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").context("no HTTP answer")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(anyhow!(
            "{url} answered {}",
            head.lines().next().unwrap_or_default()
        )),
    }
}

/// The standard output of a short program.
pub fn output(name: &str, command: &mut Command) -> anyhow::Result<String> {
    let child = process::spawn(name, command.stdout(Stdio::piped()))?;
    let mut out = String::new();
    child.stdout()?.read_to_string(&mut out)?;
    let status = child.wait()?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(out)
}
