//! The command line.

use std::{fs, process::Output};

use serde_json::json;

use crate::harness::{TestServer, waypost};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn create_key(dir: &std::path::Path) -> Output {
    waypost()
        .args(["admin-key", "create", "--name", "first", "--data-dir"])
        .arg(dir)
        .output()
        .expect("it runs")
}

#[test]
fn config_check_prints_what_is_in_effect_with_secrets_masked() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("waypost.toml");
    fs::write(
        &file,
        "[[upstreams]]\nname = \"a\"\nbase_url = \"http://127.0.0.1:9/v1\"\napi_key = \"env:UPSTREAM_KEY\"\n",
    )
    .expect("written");
    let output = waypost()
        .args(["config", "check", "--config"])
        .arg(&file)
        .env("UPSTREAM_KEY", "sk-very-secret")
        .env("WAYPOST_ADMIN_KEY", "another-very-secret-thing")
        .env("WAYPOST_LISTEN", "127.0.0.1:7777")
        .output()
        .expect("it runs");
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(printed.contains("listen = \"127.0.0.1:7777\""), "{printed}");
    assert!(printed.contains("lease = \"30s\""), "{printed}");
    assert!(!printed.contains("very-secret"), "{printed}");

    let output = waypost()
        .args(["config", "check", "--config"])
        .arg(&file)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    let error = text(&output.stderr);
    assert!(
        error.contains("waypost.toml:4:") && error.contains("UPSTREAM_KEY is not set"),
        "{error}"
    );
}

#[test]
fn serve_refuses_a_wrong_configuration_with_64() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("waypost.toml");
    fs::write(&file, "[engine]\nkind = \"cluster\"\n").expect("written");
    let output = waypost()
        .args(["serve", "--config"])
        .arg(&file)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("waypost.toml:2:"));
}

#[tokio::test]
async fn an_admin_key_made_beside_the_server_works_in_it() {
    let mut server = TestServer::start().await;
    let data = server.dir().join("data");

    // The running server holds the directory.
    let output = create_key(&data);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("/v1/organization/admin_api_keys"), "{error}");
    assert!(output.stdout.is_empty());

    assert!(server.terminate().await.success());
    let output = create_key(&data);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let key = text(&output.stdout);
    let key = key.strip_suffix('\n').expect("one line");
    assert!(key.starts_with("sk-admin-") && !key.contains('\n'), "{key}");

    server.restart().await;
    let keys = server
        .client(key)
        .get("/v1/organization/admin_api_keys")
        .await
        .ok();
    assert_eq!(keys.json["data"][0]["name"], json!("first"));
    assert!(!keys.text.contains(&key[20..30]), "the key is shown once");
}
