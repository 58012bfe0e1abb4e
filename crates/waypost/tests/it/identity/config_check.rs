//! `waypost config check --connect` asks the issuers that the store names.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;
use waypost_testkit::{Issuer, issuer::Fault};

use super::{AUDIENCE, PROVIDERS, World};
use crate::harness::waypost;

/// The exit status, and what was said.
async fn check(dir: &Path) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(waypost());
    command.args(["config", "check", "--connect", "--config"]);
    command.arg(dir.join("waypost.toml"));
    command.env("WAYPOST_DATA_DIR", dir.join("data"));
    let output = command.output().await.expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), said)
}

/// The files of the data directory, and what is in them.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir.join("data")).expect("a data directory");
    files
        .map(|file| file.expect("a file"))
        .map(|file| {
            let name = file.file_name().into_string().expect("a name");
            (name, fs::read(file.path()).expect("its bytes"))
        })
        .collect()
}

/// Nothing is made or changed.
fn assert_unchanged(dir: &Path, before: &BTreeMap<String, Vec<u8>>) {
    let now = contents(dir);
    assert!(now.keys().eq(before.keys()), "{:?}", now.keys());
    for (name, bytes) in &now {
        assert!(before.get(name) == Some(bytes), "{name}");
    }
}

#[tokio::test]
async fn issuers_are_asked_beside_a_server_and_without_one() {
    let mut world = World::discovering().await;
    let dir = world.server.dir().to_owned();
    let well = format!(
        "ok: issuer {} (provider cluster): 1 of 1 keys usable, from {}",
        world.issuer.issuer(),
        world.issuer.url()
    );
    let (code, said) = check(&dir).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a running server has it open"), "{said}");
    assert!(said.contains(&well), "{said}");
    assert_eq!(world.issuer.fetches().discovery, 1);
    // The server goes on, reading and writing.
    world.access_token().await;

    // Nobody is asked whose keys the server would not fetch.
    let elsewhere = Issuer::start().await.expect("an issuer");
    let uploaded = json!({"type": "oidc", "name": "uploaded", "audience": AUDIENCE,
        "issuer": "https://uploaded.example.com",
        "verification": {"type": "uploaded_jwks", "jwks": elsewhere.jwks()}});
    world.admin_post(PROVIDERS, uploaded).await;
    let disabled = json!({"type": "oidc", "name": "disabled", "audience": AUDIENCE,
        "issuer": "https://disabled.example.com", "enabled": false});
    world.admin_post(PROVIDERS, disabled).await;
    assert!(world.server.terminate().await.success());
    let before = contents(&dir);
    let (code, said) = check(&dir).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("a running server"), "{said}");
    assert!(said.contains(&well), "{said}");
    assert!(!said.contains("example.com"), "{said}");
    assert_unchanged(&dir, &before);

    world.server.restart().await;
    let disable = json!({"enabled": false});
    world.admin_post(&world.provider_path(), disable).await;
    let (code, said) = check(&dir).await;
    assert_eq!(code, Some(0), "{said}");
    let none = "ok: issuers: none to ask, no enabled identity provider fetches keys";
    assert!(said.contains(none), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_an_issuer_is_said_with_what_would_be_right() {
    let world = World::with("fetch_timeout = \"2s\"", None).await;
    let dir = world.server.dir().to_owned();
    let failed = format!(
        "failed: issuer {} (provider cluster): ",
        world.issuer.issuer()
    );
    let fails = async |wants: &[&str]| {
        let (code, said) = check(&dir).await;
        assert_eq!(code, Some(1), "{said}");
        let line = said.lines().find(|line| line.contains(&failed));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        for part in wants {
            assert!(line.contains(part), "{part}: {line}");
        }
        world.issuer.reset();
    };
    world.issuer.fail_discovery(Fault::Status(404));
    fails(&[
        "/.well-known/openid-configuration: answered 404",
        "200 and the document are wanted",
    ])
    .await;
    world.issuer.fail_jwks(Fault::Reset);
    fails(&["/jwks: ", "this machine is to reach the issuer"]).await;
    world.issuer.fail_discovery(Fault::Hang);
    fails(&["longer than 2000 ms", "identity.fetch_timeout"]).await;
    world.issuer.fail_discovery(Fault::WrongIssuer);
    fails(&[
        "but the provider's issuer is",
        "give the provider the issuer",
    ])
    .await;
    let secret = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    world.issuer.publish(json!({"keys": [secret]}));
    fails(&[
        "none of its 1 keys can be used",
        "a shared secret",
        "is to publish a public key",
    ])
    .await;

    let mut keys = world.issuer.jwks();
    keys["keys"].as_array_mut().expect("a list").push(secret);
    world.issuer.publish(keys);
    let (code, said) = check(&dir).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(": 1 of 2 keys usable, from "), "{said}");
    assert!(said.contains("of the others, the first: "), "{said}");

    // Nobody listens, and then the origin is not allowed any more.
    let World { issuer, server, .. } = world;
    let origin = issuer.url();
    drop(issuer);
    let (code, said) = check(&dir).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&failed) && said.contains("no connection"),
        "{said}"
    );
    let file = dir.join("waypost.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, text.replace(&origin, "http://127.0.0.1:1")).expect("written");
    let (code, said) = check(&dir).await;
    assert_eq!(code, Some(1), "{said}");
    let rule = format!("identity.allow_private_issuers lists exactly {origin}");
    assert!(said.contains(&failed) && said.contains(&rule), "{said}");
    drop(server);
}

#[tokio::test]
async fn a_store_that_is_not_there_or_newer_names_no_issuer() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("waypost.toml"), "").expect("written");
    let (code, said) = check(dir.path()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok: issuers: none to ask, identity providers are kept in the store"),
        "{said}"
    );
    assert!(!dir.path().join("data").exists(), "nothing is made");

    let mut world = World::discovering().await;
    assert!(world.server.terminate().await.success());
    let database = world.server.dir().join("data/waypost.db");
    let mut bytes = fs::read(&database).expect("a database");
    // The schema's version, by the file format of SQLite.
    bytes[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    fs::write(&database, &bytes).expect("written");
    let before = contents(world.server.dir());
    let (code, said) = check(world.server.dir()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("failed: store: ") && said.contains("newer waypost (schema 9999"),
        "{said}"
    );
    assert!(!said.contains("issuer"), "{said}");
    assert_eq!(world.issuer.fetches().discovery, 0);
    assert_unchanged(world.server.dir(), &before);
}
