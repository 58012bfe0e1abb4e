//! A full disk under the event log.
//!
//! The data directory lies on a file system of a few megabytes, which takes
//! the right to mount one. Without that right the test says so and is skipped,
//! or fails where everything is required.

use std::{fs, io::Write, os::unix::fs::symlink, path::PathBuf, process::Command, time::Duration};

use tempfile::TempDir;

use super::{must_complete, proved};
use crate::{
    harness::TestServer,
    support::{World, until, upstreams},
};

const SIZE: &str = "size=24m";

/// A small file system of our own, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "waypost-test"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            _ => None,
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("a file");
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may be a moment from its end.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A world whose data lies on the disk.
async fn world_on(disk: &SmallDisk) -> World {
    let upstream = waypost_testkit::ScriptedUpstream::start()
        .await
        .expect("a model server");
    let config = format!(
        "[responses]\nlease = \"2s\"\nmax_attempts = 100\n{}",
        upstreams(&upstream.base_url(), 64)
    );
    let mut server = TestServer::builder().config(&config).start().await;
    assert!(server.terminate().await.success());
    let data = server.dir().join("data");
    fs::remove_dir_all(&data).expect("a directory to replace");
    symlink(disk.0.path(), &data).expect("a link to the small disk");
    server.restart().await;
    let tenant = server.project("tests").await;
    World {
        server,
        upstream,
        tenant,
    }
}

#[tokio::test]
async fn jobs_survive_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else {
        let why = "mounting a small file system is not allowed here";
        let required = std::env::var("WAYPOST_TEST_REQUIRE_ALL").is_ok_and(|v| v == "1");
        assert!(!required, "{why}, and every part is required");
        eprintln!("SKIPPED: {why}");
        return;
    };
    let world = world_on(&disk).await;
    let done = world.background_streamable("chat?tokens=5").await;
    let answered = world.ended(&done).await;
    // Once for less than the lease, once for longer.
    for (round, full_for) in [(1, 1000), (2, 5000)] {
        let mut jobs = Vec::new();
        for n in 0..16 {
            let dialect = if n % 3 == 0 { "chat" } else { "prefill" };
            let model = format!("{dialect}?tokens=150&delay_ms=10&prompt_tokens={round}{n}");
            jobs.push((world.background_streamable(&model).await, model));
        }
        for (id, _) in &jobs {
            world.running(id).await;
        }
        disk.fill();
        let probe = world.server.anonymous();
        until("/readyz says that it is not ready", async || {
            let reply = probe.get("/readyz").await;
            reply.status == 503 && reply.json["parts"]["store"]["ready"] == false
        })
        .await;
        let reason = probe.get("/readyz").await.text;
        assert!(
            reason.contains("room") || reason.contains("full"),
            "{reason}"
        );
        tokio::time::sleep(Duration::from_millis(full_for)).await;
        // It is up, and what is stored can be read.
        assert_eq!(probe.get("/healthz").await.status, 200);
        assert_eq!(world.get(&done).await.ok().json, answered);
        let log = world.replay(&done, None).await.collect().await;
        assert_eq!(crate::support::checked(&log), answered);
        // What cannot be kept is refused, not promised.
        let body = serde_json::json!({"model": "chat?tokens=1", "input": "x", "background": true});
        let reply = world.client().post("/v1/responses", body).await;
        reply.error(503, None, reply.json["error"]["code"].as_str());
        disk.empty();
        let (mut completed, mut failed) = (0, 0);
        for (id, model) in &jobs {
            world.ended(id).await;
            let response = proved(&world, id, model).await;
            if response["status"] == "completed" {
                completed += 1;
            } else {
                assert!(!must_complete(model), "{model}: {response}");
                failed += 1;
            }
        }
        until("/readyz says that it is ready", async || {
            probe.get("/readyz").await.status == 200
        })
        .await;
        println!("full for {full_for} ms: {completed} completed, {failed} failed honestly");
    }
    let next = world.background_streamable("chat?tokens=5").await;
    world.ended(&next).await;
    proved(&world, &next, "chat?tokens=5").await;
}
