//! Reads what the command line names: files, directories and standard input, within bounds.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A file of tools larger than this is none.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;
/// Files that one run looks at.
const MAX_FILES: usize = 20_000;
/// Directories inside one another.
const MAX_DIRECTORY_DEPTH: usize = 32;
/// Standard input.
const STDIN: &str = "-";

/// A text to look at, or why it cannot be had.
pub(super) struct Input {
    /// As messages name it.
    pub name: String,
    /// Named on the command line, so it has to hold something.
    pub named: bool,
    /// One JSON text per line.
    pub lines: bool,
    pub text: Result<String, String>,
}

/// Everything that `paths` name; directories in the order of their names.
pub(super) fn read(paths: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN {
            inputs.push(Input {
                name: "<stdin>".to_owned(),
                named: true,
                lines: false,
                text: bounded(io::stdin().lock()),
            });
        } else if path.is_dir() {
            let mut files = Vec::new();
            let walked = walk(path, 0, &mut files);
            if walked.is_ok() && files.is_empty() {
                inputs.push(failed(path, "no *.json or *.jsonl file is below it"));
            }
            inputs.extend(files.iter().map(|file| open(file, false)));
            if let Err((place, why)) = walked {
                inputs.push(failed(&place, &why));
            }
        } else {
            inputs.push(open(path, true));
        }
    }
    inputs
}

fn open(path: &Path, named: bool) -> Input {
    Input {
        name: path.display().to_string(),
        named,
        lines: path.extension().is_some_and(|ext| ext == "jsonl"),
        text: File::open(path)
            .map_err(|error| error.to_string())
            .and_then(bounded),
    }
}

fn failed(path: &Path, why: &str) -> Input {
    Input {
        name: path.display().to_string(),
        named: true,
        lines: false,
        text: Err(why.to_owned()),
    }
}

fn bounded(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    source
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    // Some editors write a byte order mark; JSON has none.
    Ok(text
        .strip_prefix('\u{feff}')
        .map_or(text.clone(), str::to_owned))
}

/// The files below `folder`. Symbolic links to directories are not followed: they can be circles.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, String)> {
    let here = |why: String| (folder.to_owned(), why);
    if depth > MAX_DIRECTORY_DEPTH {
        return Err(here(format!(
            "directories are nested deeper than {MAX_DIRECTORY_DEPTH}"
        )));
    }
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|error| here(error.to_string()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| here(error.to_string()))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() {
            if !hidden && entry.file_name() != "node_modules" {
                walk(&path, depth + 1, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|ext| ext == "json" || ext == "jsonl")
        {
            if files.len() == MAX_FILES {
                return Err(here(format!("there are more than {MAX_FILES} files")));
            }
            files.push(path);
        }
    }
    Ok(())
}
