//! Who imports whom, held against the tables of ARCHITECTURE.md: between the
//! crates, and between the top folders of the server.
//!
//! An arrow goes to where an item is defined, however it is reached: through a
//! re-export, a glob, a path in the middle of code, or within a macro's tokens.
//! Test code may import what it likes.

mod graph;
mod read;
mod table;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use graph::Graph;
use table::Table;

/// Sources by their path from the root of the repository.
pub type Sources = BTreeMap<PathBuf, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sources of all crates, without their tests.
fn sources() -> Sources {
    let mut all = Sources::new();
    for entry in fs::read_dir(root().join("crates")).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        gather(&Path::new("crates").join(name).join("src"), &mut all);
    }
    all
}

fn gather(folder: &Path, all: &mut Sources) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder") {
        let path = folder.join(entry.expect("an entry").file_name());
        if root().join(&path).is_dir() {
            gather(&path, all);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(root().join(&path)).expect("a text");
            all.insert(path, text);
        }
    }
}

fn tables() -> Table {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a page");
    Table::read(&page)
}

#[test]
fn nobody_imports_whom_the_tables_do_not_name() {
    let table = tables();
    let arrows = Graph::of(&sources()).arrows();
    let unknown = arrows.iter().filter(|arrow| !table.has(arrow));
    let unknown: Vec<String> = unknown.map(ToString::to_string).collect();
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}

/// A row that names nothing would hide that something was renamed.
#[test]
fn every_arrow_of_the_tables_is_there() {
    let arrows = Graph::of(&sources()).arrows();
    let unused = tables().unused(&arrows);
    assert!(unused.is_empty(), "nothing goes {}", unused.join(", "));
}

/// A forbidden arrow of each kind, planted.
#[test]
fn planted_arrows_are_found() {
    let clean = Graph::of(&sources());
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    let found = |graph: &Graph, module: &str, arrow: &str| {
        let arrows = graph.arrows_of(&path(module));
        arrows.iter().any(|one| one.to_string().ends_with(arrow))
    };
    for planted in [
        "use crate::responses::run::flush;",
        "use crate::{http, responses::run::flush as MOST};",
        "use super::responses::run;",
        "use crate::responses::run::*;",
        "fn planted() { let _ = crate::responses::run::flush; }",
        "fn planted() { use crate::responses::run; let _ = run::flush; }",
        "fn planted() { println!(\"{}\", crate::responses::run::flush); }",
        "type Planted = Vec<crate::responses::run::End>;",
        "#[serde(default = \"crate::responses::run::most\")] struct P;",
        // Through a re-export elsewhere, by name and by glob.
        "use crate::Elsewhere;",
        "use crate::*; fn planted(_: Elsewhere) {}",
    ] {
        let mut graph = clean.clone();
        graph.plant(
            &path("waypost"),
            "pub use responses::run::End as Elsewhere;",
        );
        assert!(!found(&graph, "waypost::clock", "clock -> responses"));
        graph.plant(&path("waypost::clock"), planted);
        assert!(
            found(&graph, "waypost::clock", ":1: clock -> responses"),
            "{planted}"
        );
    }
    let mut graph = clean.clone();
    graph.plant(&path("waypost-engine::id"), "use strict_schema::Resolved;");
    assert!(found(
        &graph,
        "waypost-engine::id",
        "waypost-engine -> strict-schema"
    ));
    // Behind a feature.
    let rules = path("waypost-identity::issuer");
    for planted in [
        "use outbound::client::Client;",
        "use outbound::client as odd; type Planted = odd::Client;",
    ] {
        let mut graph = clean.clone();
        graph.plant(&rules, planted);
        let arrow = "waypost-identity -> outbound::client";
        assert!(
            found(&graph, "waypost-identity::issuer", arrow),
            "{planted}"
        );
    }
}
