//! The official SDKs against the real server. Their own types judge.
//!
//! They are other languages' programs: where one is missing the part is skipped
//! with one clear line, unless `WAYPOST_TEST_REQUIRE_ALL=1` makes that a
//! failure.

use std::process::Command;

use crate::harness::{ADMIN_KEY, TestServer};

#[tokio::test]
async fn admin_through_the_python_sdk() {
    let Some(python) = python_with_openai() else {
        return;
    };
    let server = TestServer::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/admin.py");
    run(Command::new(python).args([script, &server.base_url, ADMIN_KEY]));
}

#[tokio::test]
async fn admin_through_the_node_sdk() {
    if !node_has_openai() {
        return;
    }
    let server = TestServer::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/admin.mjs");
    run(Command::new("node").args([script, &server.base_url, ADMIN_KEY]));
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether `node` finds the package `openai` from the folder that
/// `WAYPOST_TEST_NODE` names, or from here.
fn node_has_openai() -> bool {
    let folder = std::env::var("WAYPOST_TEST_NODE").unwrap_or_else(|_| ".".to_owned());
    let found = Command::new("node")
        .args(["-e", "require('openai')"])
        .current_dir(&folder)
        .output()
        .is_ok_and(|output| output.status.success());
    found || skip(&format!("node finds no package `openai` from {folder}"))
}

/// `false`, after saying so; a failure where everything is required.
fn skip(why: &str) -> bool {
    assert!(
        std::env::var_os("WAYPOST_TEST_REQUIRE_ALL").is_none(),
        "{why}"
    );
    eprintln!("skipped: {why}");
    false
}

/// The interpreter that `WAYPOST_TEST_PYTHON` names, or `python3`, if it has
/// the package `openai`.
pub fn python_with_openai() -> Option<String> {
    let python = std::env::var("WAYPOST_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python)
        .args(["-c", "import openai; openai.auth"])
        .output()
        .is_ok_and(|output| output.status.success());
    (found || skip(&format!("{python} has no package `openai`"))).then_some(python)
}
