//! Keeps the data directory private to its owner.
//!
//! Waypost creates it with mode 0700, and its files with 0600. A copy that somebody
//! restored by hand often has the modes of their umask (0755, 0644). It holds hashes
//! of keys, and every request and answer, so opening it removes other users' access.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::{DATABASE_FILE, LOCK_FILE, OpenError, beside};

pub(super) const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The mode bits of group and others.
const OTHERS: u32 = 0o077;
/// Every file of a data directory has a name that begins with one of these. The
/// master key belongs to the server, not to the engine, but is kept here too.
const OURS: [&str; 3] = [DATABASE_FILE, LOCK_FILE, "master.key"];

/// Opens a file for writing. Creates it with mode 0600 if it does not exist.
pub(super) fn private_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|source| OpenError::NotWritable {
            path: path.to_owned(),
            source,
        })
}

/// Removes other users' access to the directory and the engine's files in it, and
/// logs each change. A directory that holds other files keeps its mode: it may be a
/// home directory or `/tmp`. If a mode cannot be changed (another user owns the file,
/// as in volumes that a group owns), this logs a warning and opening continues.
pub(super) fn restore_modes(dir: &Path) {
    let database = dir.join(DATABASE_FILE);
    for path in [
        beside(&database, "-wal"),
        beside(&database, "-shm"),
        beside(&database, "-journal"),
        dir.join(LOCK_FILE),
        database,
    ] {
        narrow(&path);
    }
    if only_ours(dir).unwrap_or(false) {
        narrow(dir);
    }
}

fn only_ours(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !OURS.iter().any(|ours| name.starts_with(ours)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn narrow(path: &Path) {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!("cannot read the mode of {}: {error}", path.display());
            return;
        }
    };
    let wanted = mode & !OTHERS;
    if wanted == mode {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(wanted)) {
        Ok(()) => tracing::warn!(
            "{} was accessible to others (mode {mode:o}); it is now {wanted:o}",
            path.display()
        ),
        Err(error) => tracing::warn!(
            "{} is accessible to others (mode {mode:o}), and its mode cannot be changed: {error}",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_access_of_others_is_removed() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        for (mode, left) in [
            (0o644, 0o600),
            (0o777, 0o700),
            (0o444, 0o400),
            (0o600, 0o600),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            narrow(&path);
            let now = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(now, left, "{mode:o}");
        }
    }
}
