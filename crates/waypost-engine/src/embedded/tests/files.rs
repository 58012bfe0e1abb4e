//! The data directory: permissions, the lock, and files that Waypost did not write.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    Engine,
    conformance::kit::*,
    embedded::{
        DATABASE_FILE, EmbeddedOptions, LOCK_FILE, OpenError, migrate::KNOWN, open, providers,
    },
};

fn open_in(dir: &Path) -> Result<Engine, OpenError> {
    open(&EmbeddedOptions::new(dir))
}

fn refused(dir: &Path) -> OpenError {
    open_in(dir).err().expect("opening should be refused")
}

/// Every file of the directory but the lock, with its bytes.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    let mut all: Vec<_> = files
        .map(|file| (file.file_name().into_string().unwrap(), file.path()))
        .filter(|(name, _)| name != LOCK_FILE && !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn only_the_owner_reads_the_data() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("a").join("b");
    let engine = open_in(&dir).unwrap();
    project(&engine).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in [
        DATABASE_FILE.to_owned(),
        format!("{DATABASE_FILE}-wal"),
        format!("{DATABASE_FILE}-shm"),
        LOCK_FILE.to_owned(),
    ] {
        assert_eq!(mode(&dir.join(&name)), 0o600, "{name}");
    }
    engine.store.close().await;
}

/// Restores a database and its log as after a crash, with the modes of a usual
/// umask.
async fn restored_by_hand(dir: &Path) {
    let made = TempDir::new().unwrap();
    let engine = open_in(made.path()).unwrap();
    project(&engine).await;
    fs::create_dir_all(dir).unwrap();
    for name in [
        DATABASE_FILE.to_owned(),
        format!("{DATABASE_FILE}-wal"),
        LOCK_FILE.to_owned(),
    ] {
        let copy = dir.join(&name);
        fs::copy(made.path().join(&name), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    }
    engine.store.close().await;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_directory_restored_by_hand_is_private_again() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (other, dir_mode) in [(None, 0o700), (Some("notes.txt"), 0o755)] {
        let temp = TempDir::new().unwrap();
        let dir = temp.path().join("data");
        restored_by_hand(&dir).await;
        if let Some(name) = other {
            fs::write(dir.join(name), "not Waypost's").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let engine = open_in(&dir).unwrap();
        assert_eq!(mode(&dir), dir_mode);
        for name in [
            DATABASE_FILE.to_owned(),
            format!("{DATABASE_FILE}-wal"),
            format!("{DATABASE_FILE}-shm"),
            LOCK_FILE.to_owned(),
        ] {
            assert_eq!(mode(&dir.join(&name)), 0o600, "{name}");
        }
        if let Some(name) = other {
            assert_eq!(mode(&dir.join(name)), 0o644);
        }
        engine.store.close().await;
    }
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_directory() {
    let temp = TempDir::new().unwrap();
    let engine = open_in(temp.path()).unwrap();
    let error = refused(temp.path());
    let pid = std::process::id();
    assert!(matches!(error, OpenError::Locked { pid: Some(p), .. } if p == pid));
    assert!(
        error.to_string().contains(&format!("process {pid}")),
        "{error}"
    );
    // The refusal did not disturb the holder.
    project(&engine).await;
    engine.store.close().await;
    let engine = open_in(temp.path()).unwrap();
    assert_eq!(engine.store.directory_version().await.unwrap(), 1);
    engine.store.close().await;
}

/// The writer must always be the last connection to close, so repeat the test.
#[tokio::test]
async fn closing_leaves_no_log() {
    for _ in 0..20 {
        let temp = TempDir::new().unwrap();
        let engine = open_in(temp.path()).unwrap();
        project(&engine).await;
        engine.store.close().await;
        let names: Vec<_> = contents(temp.path())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, [DATABASE_FILE]);
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_not_touched() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let engine = open_in(dir).unwrap();
    project(&engine).await;
    engine.store.close().await;
    let newer = KNOWN + 1;
    let raw = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    raw.pragma_update(None, "user_version", newer).unwrap();
    drop(raw);

    let before = contents(dir);
    let error = refused(dir);
    assert!(matches!(error, OpenError::Newer { found, .. } if found == newer));
    assert!(error.to_string().contains("newer waypost"), "{error}");
    assert_eq!(contents(dir), before);
}

/// The newer program may have crashed while its migration was in the log only.
#[tokio::test]
async fn a_newer_database_is_refused_while_its_version_is_in_the_log() {
    let temp = TempDir::new().unwrap();
    let (dir, copy) = (temp.path().join("a"), temp.path().join("b"));
    open_in(&dir).unwrap().store.close().await;
    let raw = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    raw.pragma_update(None, "user_version", KNOWN + 1).unwrap();
    fs::create_dir(&copy).unwrap();
    for (name, bytes) in contents(&dir) {
        fs::write(copy.join(name), bytes).unwrap();
    }
    drop(raw);

    let before = contents(&copy);
    assert!(
        before
            .iter()
            .any(|(name, log)| name.ends_with("-wal") && !log.is_empty())
    );
    assert!(matches!(refused(&copy), OpenError::Newer { .. }));
    assert_eq!(contents(&copy), before);
}

/// A check reads the directory of a running server, of a crashed one, and of a
/// stopped one.
#[tokio::test]
async fn a_look_into_the_directory_changes_nothing() {
    // These characters have a meaning in a URI.
    let temp = TempDir::with_prefix("a?b#c%20 ").unwrap();
    let dir = temp.path().join("data");
    let names = |dir: &Path| -> Vec<String> {
        let providers = providers(dir).unwrap();
        providers
            .into_iter()
            .map(|provider| provider.name)
            .collect()
    };
    let files = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert!(names(&dir).is_empty() && !dir.exists());

    let engine = open_in(&dir).unwrap();
    provider(&engine, "one").await;
    let running = files(&dir);
    assert_eq!(names(&dir), ["one"]);
    assert_eq!(files(&dir), running);
    // The engine still works after the check.
    provider(&engine, "two").await;
    let crashed = temp.path().join("crashed");
    fs::create_dir(&crashed).unwrap();
    for (name, bytes) in contents(&dir) {
        fs::write(crashed.join(name), bytes).unwrap();
    }
    engine.store.close().await;

    // Changes in the log are committed, too.
    let before = contents(&crashed);
    assert!(
        before
            .iter()
            .any(|(name, log)| name.ends_with("-wal") && !log.is_empty())
    );
    assert_eq!(names(&crashed), ["one", "two"]);
    assert_eq!(contents(&crashed), before);

    let (stopped, before) = (files(&dir), contents(&dir));
    assert_eq!(names(&dir), ["one", "two"]);
    assert_eq!((files(&dir), contents(&dir)), (stopped, before));

    let raw = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    raw.pragma_update(None, "user_version", KNOWN + 1).unwrap();
    drop(raw);
    let before = contents(&dir);
    assert!(matches!(providers(&dir), Err(OpenError::Newer { .. })));
    assert_eq!(contents(&dir), before);
}

#[test]
fn another_programs_file_is_refused_and_not_touched() {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join(DATABASE_FILE);
    let unusable = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = refused(temp.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    };
    unusable(b"some notes");
    unusable(&[b'x'; 5000]);
    unusable(b"SQLite format 3\0 cut off");
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE t (n)")
        .unwrap();
    drop(other);
    unusable(&fs::read(&path).unwrap());
}

#[test]
fn a_damaged_database_is_refused() {
    let temp = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = open_in(temp.path()).unwrap();
    runtime.block_on(engine.store.close());
    let path = temp.path().join(DATABASE_FILE);
    let mut bytes = fs::read(&path).unwrap();
    // Damage the page of the schema, after the header.
    bytes[100..4096].fill(0xAA);
    fs::write(&path, bytes).unwrap();
    let error = refused(temp.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_used_says_why() {
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = refused(&file.join("data"));
    assert!(matches!(error, OpenError::CreateDir { .. }), "{error}");
    for name in [LOCK_FILE, DATABASE_FILE] {
        let dir = temp.path().join(format!("dir of {name}"));
        fs::create_dir_all(dir.join(name)).unwrap();
        let error = refused(&dir);
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
