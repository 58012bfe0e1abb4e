//! `docs/troubleshooting.md` has every code that callers are told, and only
//! log lines that there are.

use std::{collections::BTreeSet, fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("../../docs/troubleshooting.md")).expect("the document")
}

/// The sources of the server and the engine, in one.
fn sources() -> String {
    fn read(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, all);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                all.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let mut all = String::new();
    read(&root().join("src"), &mut all);
    read(&root().join("../waypost-engine/src"), &mut all);
    all
}

#[test]
fn every_code_is_explained() {
    let (document, sources) = (document(), sources());
    let codes: BTreeSet<&str> = sources
        .split(".code(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(codes.len() > 40, "{codes:?}");
    let missing: Vec<_> = codes
        .iter()
        .filter(|code| !document.contains(&format!("`{code}`")))
        .collect();
    assert!(missing.is_empty(), "not in troubleshooting.md: {missing:?}");
}

#[test]
fn the_log_lines_are_those_that_there_are() {
    let (document, sources) = (document(), sources());
    let lines = document
        .split("## Lines in the log")
        .nth(1)
        .expect("the part on log lines");
    let lines = lines.split("\n## ").next().expect("its end");
    let rows = lines.lines().filter(|line| line.starts_with("| `"));
    let mut seen = 0;
    for row in rows {
        let named = row.split(" | ").next().expect("a cell");
        for line in named.split('`').skip(1).step_by(2) {
            for piece in line.split('…').map(str::trim) {
                assert!(sources.contains(piece), "no line says {piece:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10);
}
