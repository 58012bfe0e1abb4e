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
    let output = Command::new(python)
        .args([script, &server.base_url, ADMIN_KEY])
        .output()
        .expect("Python runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The interpreter that `WAYPOST_TEST_PYTHON` names, or `python3`, if it has
/// the package `openai`.
fn python_with_openai() -> Option<String> {
    let python = std::env::var("WAYPOST_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python)
        .args(["-c", "import openai; openai.auth"])
        .output()
        .is_ok_and(|output| output.status.success());
    if found {
        return Some(python);
    }
    let line = format!("skipped: {python} has no package `openai`");
    assert!(
        std::env::var_os("WAYPOST_TEST_REQUIRE_ALL").is_none(),
        "{line}"
    );
    eprintln!("{line}");
    None
}
