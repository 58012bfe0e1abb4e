//! `--ready-file`: the base URL, written once requests are served.

use std::{fs, io, io::Write, path::Path};

/// Writes beside the file and renames, so that a reader sees all or nothing.
pub(super) fn write(path: &Path, base_url: &str) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let mut file = fs::File::create(&temporary)?;
    file.write_all(base_url.as_bytes())?;
    file.write_all(b"\n")?;
    drop(file);
    fs::rename(&temporary, path)
}
