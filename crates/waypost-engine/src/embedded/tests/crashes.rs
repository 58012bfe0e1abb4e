//! Crashes: torn logs, kill -9, and leases after a restart.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    Engine,
    conformance::kit::*,
    embedded::{DATABASE_FILE, EmbeddedOptions, OpenError, open},
    events::EventBatch,
    id,
};

/// Names the directory of the child tests below.
const CHILD_DIR: &str = "WAYPOST_TEST_CHILD_DIR";

fn open_in(dir: &Path) -> Engine {
    open(&EmbeddedOptions::new(dir)).unwrap()
}

fn check_integrity(dir: &Path) {
    let conn = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let verdict: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let orphans = conn
        .prepare("PRAGMA foreign_key_check")
        .unwrap()
        .exists([])
        .unwrap();
    assert!(!orphans);
}

/// If the end of the log is damaged, every event that was acknowledged before the
/// damage is still there.
#[tokio::test]
async fn a_torn_log_loses_nothing_before_the_tear() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("live");
    let log_file = format!("{DATABASE_FILE}-wal");
    let engine = open_in(&dir);
    let lease = running(&engine, LONG).await;
    let id = &lease.response_id;
    let size = || fs::metadata(dir.join(&log_file)).unwrap().len();
    // acknowledged[n] is the log's size when event n was durable.
    let mut acknowledged = vec![size()];
    for seq in 1..=60_u64 {
        let event = format!("{seq} {}", "x".repeat((seq * 97 % 3000) as usize));
        let append = (engine.store).append_events(&lease, seq, EventBatch::of([event]));
        append.await.unwrap();
        acknowledged.push(size());
    }
    assert!(acknowledged.is_sorted_by(|a, b| a < b), "no checkpoint yet");
    let database = fs::read(dir.join(DATABASE_FILE)).unwrap();
    let log_bytes = fs::read(dir.join(&log_file)).unwrap();
    engine.store.close().await;

    let (from, to) = (acknowledged[0], acknowledged[60]);
    let spread = (0..40).map(|n| from + (to - from) * n / 40 + n * 31 % 97);
    let edges = [1, 20, 40].into_iter().flat_map(|n| {
        let end: u64 = acknowledged[n];
        [end - 1, end, end + 1, end + 24]
    });
    for (n, at) in spread.chain(edges).enumerate() {
        let copy = temp.path().join(n.to_string());
        fs::create_dir(&copy).unwrap();
        let mut torn = log_bytes.clone();
        match n % 3 {
            0 => torn.truncate(at as usize),
            1 => torn[at as usize..].fill(0),
            _ => torn[at as usize..]
                .iter_mut()
                .for_each(|byte| *byte ^= 0x5A),
        }
        fs::write(copy.join(DATABASE_FILE), &database).unwrap();
        fs::write(copy.join(&log_file), torn).unwrap();

        let engine = open_in(&copy);
        let events = log(&engine, id).await;
        let kept = acknowledged.iter().filter(|end| **end <= at).count();
        assert!(events.len() >= kept, "{} of {kept} at {at}", events.len());
        for (seq, event) in events.iter().enumerate().skip(1) {
            assert!(event.starts_with(&format!("{seq} ")));
        }
        // The log can be written on from there.
        project(&engine).await;
        engine.store.close().await;
        check_integrity(&copy);
        fs::remove_dir_all(&copy).unwrap();
    }
}

/// Runs one of the ignored tests below in its own process.
fn child(test: &str, dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg(format!("embedded::tests::crashes::{test}"))
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test: writes until it is killed, and prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by kill_9_loses_nothing_acknowledged"]
async fn child_writer() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    let engine = open_in(Path::new(&dir));
    // The child ends by itself if its parent does not kill it.
    let until = Instant::now() + Duration::from_secs(20);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let engine = engine.clone();
        tasks.push(tokio::spawn(async move {
            let queue = id::fresh("queue_");
            let id = queued(&engine, &queue).await;
            let job = claim(&engine, &queue, 1, LONG).await.remove(0);
            for seq in 1.. {
                let batch = EventBatch::of([format!("{id} {seq}")]);
                let append = engine.store.append_events(&job.lease, seq, batch);
                append.await.unwrap();
                acknowledge(&format!("event {id} {seq}"));
                if seq % 10 == 0 {
                    acknowledge(&format!("project {} 0", project(&engine).await.id));
                }
                assert!(Instant::now() < until, "nobody killed it");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Prints one line in one write.
fn acknowledge(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_acknowledged() {
    let temp = TempDir::new().unwrap();
    let mut events: BTreeMap<String, usize> = BTreeMap::new();
    let mut projects = Vec::new();
    for round in 0..8 {
        let mut writer = child("child_writer", temp.path());
        let output = BufReader::new(writer.stdout.take().unwrap());
        let (started, lines) = std::sync::mpsc::sync_channel(1);
        let reading = std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            // The kill may cut off the last line, which then has no end.
            for line in output.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8(line).unwrap();
                let words: Vec<&str> = line.split(' ').collect();
                if let ["event" | "project", ..] = words[..] {
                    let _ = started.try_send(());
                    acknowledged.push(line);
                }
            }
            acknowledged
        });
        lines
            .recv_timeout(Duration::from_secs(20))
            .expect("the child writes");
        // A different moment in each round and each run.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let moment = u64::from(now.subsec_micros()) % 50_000 + round * 20_000;
        let moment = Duration::from_micros(moment);
        std::thread::sleep(moment);
        writer.kill().unwrap();
        writer.wait().unwrap();
        let mut acknowledged = reading.join().unwrap();
        // The last line may be cut off and still look complete.
        acknowledged.pop();
        for line in acknowledged {
            let words: Vec<&str> = line.split(' ').collect();
            let [kind, id, seq] = words[..] else {
                panic!("{line}")
            };
            if kind == "project" {
                projects.push(id.to_owned());
            } else {
                let seq: usize = seq.parse().unwrap();
                let last = events.entry(id.to_owned()).or_default();
                *last = seq.max(*last);
            }
        }

        let engine = open_in(temp.path());
        for (id, last) in &events {
            let log = log(&engine, id).await;
            assert!(log.len() > *last, "{id}: {} of {last}", log.len());
            for (seq, event) in log.iter().enumerate().skip(1) {
                assert_eq!(*event, format!("{id} {seq}"));
            }
        }
        for id in &projects {
            engine.store.get_project(id).await.unwrap();
        }
        engine.store.close().await;
        check_integrity(temp.path());
    }
    assert!(events.values().sum::<usize>() > 100 && !projects.is_empty());
}

/// Not a test: tries to open a directory, and prints the outcome.
#[test]
#[ignore = "run by a_second_process_is_refused"]
fn child_opener() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    match open(&EmbeddedOptions::new(dir)) {
        Err(error @ OpenError::Locked { .. }) => acknowledge(&format!("refused: {error}")),
        Err(error) => acknowledge(&format!("other error: {error}")),
        Ok(_) => acknowledge("opened"),
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let temp = TempDir::new().unwrap();
    let engine = open_in(temp.path());
    let said = |child: Child| {
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let output = said(child("child_opener", temp.path()));
    let holder = format!("in use by process {}", std::process::id());
    assert!(
        output.contains("refused: ") && output.contains(&holder),
        "{output}"
    );
    engine.store.close().await;
    let output = said(child("child_opener", temp.path()));
    assert!(output.contains("opened"), "{output}");
}

/// The lock proves that no other worker is alive, so no job waits for its lease to
/// expire.
#[tokio::test]
async fn opening_ends_all_leases() {
    let temp = TempDir::new().unwrap();
    let engine = open_in(temp.path());
    let id = queued(&engine, "q").await;
    let waiting = queued(&engine, "q").await;
    let old = claim(&engine, "q", 1, LONG).await.remove(0).lease;
    let released = running(&engine, LONG).await;
    let hour = Duration::from_hours(1);
    let release = engine.store.release_job(&released, hour, true);
    release.await.unwrap();
    engine.store.close().await;

    let engine = open_in(temp.path());
    assert_eq!(engine.store.ready_queues().await.unwrap(), ["q"]);
    assert_eq!(engine.store.job_counts().await.unwrap().queued, 3);
    let append = (engine.store).append_events(&old, 1, EventBatch::of(["late"]));
    assert_eq!(kind(&append.await), "fenced");
    assert!(
        engine
            .store
            .heartbeat("worker", LONG)
            .await
            .unwrap()
            .is_empty()
    );
    let jobs = claim(&engine, "q", 9, LONG).await;
    let found: Vec<_> = (jobs.iter())
        .map(|job| (&job.lease.response_id, job.taken_over, job.attempt))
        .collect();
    assert_eq!(found, [(&id, true, 2), (&waiting, false, 1)]);
    assert!(jobs[0].lease.epoch > old.epoch);
    engine.store.close().await;
}
