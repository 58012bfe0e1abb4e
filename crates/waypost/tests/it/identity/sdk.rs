//! The recipes of `docs/identity.md`, run with the official SDKs.
//!
//! As in [`crate::sdk`]: a missing SDK skips its part with one line, unless
//! `WAYPOST_TEST_REQUIRE_ALL=1` makes that a failure. Node finds the package
//! `openai` through `NODE_PATH`.

use std::process::Command;

use super::{SUBJECT, World};

#[tokio::test]
async fn the_python_recipes() {
    let Some(python) = crate::sdk::python_with_openai() else {
        return;
    };
    run(Command::new(python), "identity.py").await;
}

#[tokio::test]
async fn the_node_recipe() {
    let found = Command::new("node")
        .args(["-e", "require('openai')"])
        .output()
        .is_ok_and(|output| output.status.success());
    if found {
        run(Command::new("node"), "identity.cjs").await;
        return;
    }
    let line = "skipped: node has no package `openai` on NODE_PATH";
    assert!(
        std::env::var_os("WAYPOST_TEST_REQUIRE_ALL").is_none(),
        "{line}"
    );
    eprintln!("{line}");
}

async fn run(mut program: Command, script: &str) {
    let world = World::uploaded().await;
    let bad = world.issuer.token(SUBJECT, "another-audience", 600);
    program
        .arg(format!("{}/tests/sdk/{script}", env!("CARGO_MANIFEST_DIR")))
        .args([&world.server.base_url, &world.provider_id])
        .args([
            &world.tenant.service_account_id,
            &world.subject_token(),
            &bad,
        ]);
    let output = tokio::task::spawn_blocking(move || program.output())
        .await
        .expect("no panic")
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
