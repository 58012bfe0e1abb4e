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
fn config_check_prints_what_is_in_effect_with_secrets_as_references() {
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
    assert!(
        printed.contains("api_key = \"env:UPSTREAM_KEY\""),
        "{printed}"
    );
    assert!(printed.contains("# How long the end may take"), "{printed}");
    assert!(printed.contains("Default: \"10s\""), "{printed}");

    // What is printed is a file with the same effect.
    let again = dir.path().join("again.toml");
    fs::write(&again, &printed).expect("written");
    let output = waypost()
        .args(["config", "check", "--config"])
        .arg(&again)
        .env("UPSTREAM_KEY", "sk-very-secret")
        .env("WAYPOST_ADMIN_KEY", "another-very-secret-thing")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let same = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("# It was read"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(same(&text(&output.stdout)), same(&printed));

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
fn config_check_reads_the_files_that_it_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("waypost.toml");
    fs::write(&file, "[tls]\ncert = \"no.pem\"\nkey = \"no.pem\"\n").expect("written");
    let output = waypost()
        .args(["config", "check", "--config"])
        .arg(&file)
        .env("WAYPOST_LISTN", "127.0.0.1:1")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    let error = text(&output.stderr);
    // Beside the file, not in the working directory.
    let missing = dir.path().join("no.pem").display().to_string();
    assert!(
        error.contains("cannot read") && error.contains(&missing),
        "{error}"
    );
    assert!(
        error.contains("WAYPOST_LISTN does nothing: is WAYPOST_LISTEN meant?"),
        "{error}"
    );
}

#[tokio::test]
async fn the_start_says_where_its_files_are_and_what_it_does_not_know() {
    let server = TestServer::builder()
        .env("WAYPOST_UPSTREAM_DIALEKT", "vllm")
        .start()
        .await;
    let data = server.dir().join("data");
    let file = server.dir().join("waypost.toml");
    for line in [
        format!("configuration: {}", file.display()),
        format!("data directory: {}", data.display()),
        format!(
            "{} does not exist yet: a new, empty one is made",
            data.display()
        ),
        "open files: at most".to_owned(),
        "WAYPOST_UPSTREAM_DIALEKT does nothing: is WAYPOST_UPSTREAM_DIALECT meant?".to_owned(),
    ] {
        server.wait_for_log(&line).await;
    }
}

#[tokio::test]
async fn a_limit_of_open_files_that_is_too_low_is_raised_or_told() {
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().expect("a directory");
    // 500 for good, of which 200 at first.
    let waypost = waypost();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg("ulimit -Sn 200; ulimit -Hn 500; exec \"$@\"")
        .arg("sh")
        .arg(waypost.get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .arg("--ready-file")
        .arg(dir.path().join("ready"))
        .stderr(Stdio::from(
            fs::File::create(dir.path().join("log")).expect("a log"),
        ))
        .spawn()
        .expect("it starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    // The line after those that are looked for.
    let log = || fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    while !log().contains("does not allow") && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let log = log();
    assert!(log.contains("open files: at most 500"), "{log}");
    assert!(log.contains("http.max_connections is 20000"), "{log}");
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

#[test]
fn an_admin_key_needs_the_data_directory_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("waypost.toml");
    // Secrets that only the server has, and a file that the server refuses.
    fs::write(
        &file,
        "data_dir = \"data\"\n[identity]\nmaster_key = \"file:no.key\"\n[[upstreams]]\nname = \"a\"\nbase_url = \"http://127.0.0.1:9/v1\"\napi_key = \"env:UPSTREAM_KEY\"\n",
    )
    .expect("written");
    let create = || {
        let mut command = waypost();
        command.args(["admin-key", "create", "--name", "first"]);
        command
    };
    let made = |output: Output, place: &str| {
        let error = text(&output.stderr);
        assert!(output.status.success(), "{error}");
        let place = dir.path().join(place);
        assert!(error.contains(&place.display().to_string()), "{error}");
        assert!(place.join("waypost.db").exists());
    };
    let output = create().arg("--config").arg(&file).output();
    made(output.expect("it runs"), "data");
    let output = create()
        .env("WAYPOST_CONFIG", &file)
        .env("WAYPOST_LISTEN", "nowhere")
        .arg("--data-dir")
        .arg(dir.path().join("flag"))
        .output();
    made(output.expect("it runs"), "flag");
    let output = create()
        .env("WAYPOST_CONFIG", dir.path().join("missing.toml"))
        .env("WAYPOST_DATA_DIR", dir.path().join("variable"))
        .output();
    made(output.expect("it runs"), "variable");

    fs::write(&file, "data_dir = 5\n").expect("written");
    let output = create().arg("--config").arg(&file).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    let error = text(&output.stderr);
    assert!(
        error.contains("waypost.toml:1:") && error.contains("data_dir"),
        "{error}"
    );
}
