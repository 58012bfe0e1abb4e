//! The processes: ready files, signals, and nothing left behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hyper::Method;
use tokio::process::{Child, Command};

use crate::client::{PATIENCE, request};

/// A folder of this test run's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(role: &str, ready: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_waypost-testkit"))
        .arg(role)
        .args(["--listen", "127.0.0.1:0", "--ready-file"])
        .arg(ready)
        .args(more)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ready(file: &Path) -> String {
    let url = async {
        loop {
            if let Ok(url) = std::fs::read_to_string(file) {
                return url;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, url)
        .await
        .expect("a ready file in time")
}

async fn ended(child: &mut Child) -> std::process::ExitStatus {
    tokio::time::timeout(PATIENCE, child.wait())
        .await
        .expect("an end in time")
        .unwrap()
}

#[tokio::test]
async fn both_roles_serve_once_ready_and_end_on_sigterm() {
    let folder = Folder::new("sigterm");
    for (role, path) in [("upstream", "/v1/models"), ("issuer", "/jwks")] {
        let file = folder.0.join(role);
        let mut child = start(role, &file, &[]);
        let url = ready(&file).await;
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        assert_eq!(request(address, Method::GET, path, "").await.status, 200);
        let pid = child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
        assert!(ended(&mut child).await.success(), "{role}");
    }
}

#[tokio::test]
async fn they_end_with_the_process_they_belong_to() {
    let folder = Folder::new("parent");
    let file = folder.0.join("ready");
    let mut parent = Command::new("sleep")
        .arg("60")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = parent.id().unwrap().to_string();
    let mut child = start("upstream", &file, &["--parent-pid", &pid]);
    ready(&file).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(
        child.try_wait().unwrap().is_none(),
        "the parent is still there"
    );
    // Killed, not waited for: a zombie counts as gone.
    parent.start_kill().unwrap();
    assert!(ended(&mut child).await.success());
    parent.wait().await.unwrap();
}
