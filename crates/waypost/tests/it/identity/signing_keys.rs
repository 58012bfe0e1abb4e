//! The keys that sign access tokens: rotation, the master key, the command.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use super::{World, is_accepted};
use crate::harness::waypost;

fn rotate(dir: &Path, more: &[&str]) -> Output {
    waypost()
        .args(["signing-key", "rotate", "--data-dir"])
        .arg(dir.join("data"))
        .args(more)
        .output()
        .expect("the command runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn kids(world: &World) -> Vec<String> {
    let jwks = world
        .server
        .anonymous()
        .get("/.well-known/jwks.json")
        .await
        .ok();
    jwks.json["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["kid"].as_str().expect("a kid").to_owned())
        .collect()
}

#[tokio::test]
async fn rotation_publishes_first_and_keeps_old_tokens() {
    let mut world = World::uploaded().await;
    let token = world.access_token().await;
    let before = kids(&world).await;
    let running = rotate(world.server.dir(), &[]);
    assert!(!running.status.success(), "the server holds the lock");
    assert!(
        said(&running).contains("lock") || said(&running).contains("use"),
        "{}",
        said(&running)
    );

    assert!(world.server.terminate().await.success());
    let rotated = rotate(world.server.dir(), &[]);
    assert!(rotated.status.success(), "{}", said(&rotated));
    world.server.restart().await;
    let after = kids(&world).await;
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0]);
    assert!(is_accepted(&world.server.client(&token)).await);
    // The new key does not sign yet.
    let fresh = world.access_token().await;
    assert_eq!(fresh.split('.').next(), token.split('.').next());
    assert!(is_accepted(&world.server.client(&fresh)).await);
}

#[tokio::test]
async fn replacing_all_keys_refuses_every_token() {
    let mut world = World::uploaded().await;
    let token = world.access_token().await;
    let before = kids(&world).await;
    assert!(world.server.terminate().await.success());
    let replaced = rotate(world.server.dir(), &["--replace-all"]);
    assert!(replaced.status.success(), "{}", said(&replaced));
    world.server.restart().await;
    let after = kids(&world).await;
    assert_eq!(after.len(), 1);
    assert_ne!(after, before);
    assert!(!is_accepted(&world.server.client(&token)).await);
    assert!(is_accepted(&world.workload().await).await);
}

#[tokio::test]
async fn the_master_key_is_private_and_needed() {
    let mut world = World::uploaded().await;
    let data = world.server.dir().join("data");
    let path = data.join("master.key");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(world.server.terminate().await.success());

    let serve = || {
        waypost()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .output()
            .expect("the command runs")
    };
    let kept = fs::read_to_string(&path).expect("readable");
    fs::remove_file(&path).expect("removed");
    let missing = serve();
    assert!(!missing.status.success());
    assert!(said(&missing).contains("master.key"), "{}", said(&missing));
    assert!(!path.exists(), "a new one would open nothing");

    fs::write(&path, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").expect("written");
    let wrong = serve();
    assert!(!wrong.status.success());
    assert!(
        said(&wrong).contains("another master key"),
        "{}",
        said(&wrong)
    );
    fs::write(&path, "nonsense").expect("written");
    let damaged = serve();
    assert!(!damaged.status.success());
    assert!(
        said(&damaged).contains("holds no master key"),
        "{}",
        said(&damaged)
    );

    // The same key from the configuration is as good as the file.
    fs::remove_file(&path).expect("removed");
    let config = world.server.dir().join("waypost.toml");
    let text = fs::read_to_string(&config).expect("readable");
    let text = format!("{text}\nmaster_key = \"{}\"\n", kept.trim());
    fs::write(&config, text).expect("written");
    world.server.restart().await;
    assert!(is_accepted(&world.workload().await).await);
    assert!(!path.exists());
    assert!(!world.server.log().contains(kept.trim()));
}
