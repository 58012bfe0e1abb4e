//! Every schema of the public corpora: classified, checked, and compared with `frozen.txt`.
//!
//! `STRICT_SCHEMA_CORPORA` names the folder with the lines, `STRICT_SCHEMA_ACCEPT=1` writes the table
//! anew. `verdicts.txt` beside the lines says what became of each schema, and after a difference
//! `verdicts.before.txt` what had become of it, to be compared with any diff.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use strict_schema::Profile;

use crate::{
    catch::caught,
    chance::{Chance, Digest},
    checks::{self, Judged, Soundness},
    table::Table,
};

/// Of one folder, in the order of the table.
const CORPORA: [&str; 4] = ["bfcl", "github", "suite", "schemastore"];
/// Made for each schema that resolves, beside those that the corpus has.
const SAMPLES: usize = 12;
/// Broken promises in the message.
const SHOWN: usize = 10;

#[derive(Deserialize)]
struct Line {
    name: String,
    schema: Value,
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    data: Value,
    valid: Option<bool>,
}

#[test]
#[ignore = "needs the data of `cargo xtask corpora`"]
fn corpora_are_classified_as_frozen() {
    let folder = std::env::var_os("STRICT_SCHEMA_CORPORA").map(PathBuf::from);
    let folder = folder.expect("run `cargo xtask corpora`: it sets STRICT_SCHEMA_CORPORA");
    let mut table = Table::default();
    let mut verdicts = String::new();
    let mut broken = Vec::new();
    for corpus in CORPORA {
        let lines = lines(&folder, corpus);
        one_corpus(corpus, &lines, &mut table, &mut verdicts, &mut broken);
    }
    assert!(
        broken.is_empty(),
        "{} schemas break a promise; the first:\n{}",
        broken.len(),
        broken[..broken.len().min(SHOWN)].join("\n\n")
    );
    let found = table.to_string();
    println!("{found}");

    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/frozen.txt");
    let expected = fs::read_to_string(&frozen).unwrap_or_default();
    let kept = folder.join("verdicts.txt");
    if std::env::var_os("STRICT_SCHEMA_ACCEPT").is_some() {
        fs::write(&frozen, &found).expect("the table can be written");
        fs::write(kept, verdicts).expect("the verdicts can be written");
        return;
    }
    if found == expected {
        fs::write(kept, verdicts).expect("the verdicts can be written");
        return;
    }
    let before = folder.join("verdicts.before.txt");
    if kept.exists() && !before.exists() {
        fs::rename(&kept, &before).expect("the verdicts can be kept");
    }
    fs::write(&kept, &verdicts).expect("the verdicts can be written");
    panic!(
        "the table differs from tests/proof/frozen.txt:\n{}\n\
         Each schema: {} (before: {}).\n\
         If the difference is right: cargo xtask corpora --accept",
        crate::table::difference(&expected, &found),
        kept.display(),
        before.display(),
    );
}

fn lines(folder: &Path, corpus: &str) -> Vec<Line> {
    let path = folder.join(format!("{corpus}.jsonl"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn one_corpus(
    corpus: &'static str,
    lines: &[Line],
    table: &mut Table,
    verdicts: &mut String,
    broken: &mut Vec<String>,
) {
    let profile = Profile::default();
    let mut digest = Digest::new();
    let mut soundness = Soundness::default();
    let (mut disputed, mut mandatory) = (0, 0);
    for (number, line) in lines.iter().enumerate() {
        let judged = caught(|| checks::judge(&line.schema, &profile));
        let Judged {
            class,
            resolved,
            makes_mandatory,
        } = match judged {
            Ok(judged) => judged,
            Err(why) => {
                broken.push(format!("{corpus} {}: {why}", line.name));
                continue;
            }
        };
        table.count(corpus, &class);
        let text = resolved.as_ref().map(Value::to_string).unwrap_or_default();
        digest.add(&line.name);
        digest.add(&class.name());
        digest.add(&text);
        let _ = writeln!(
            verdicts,
            "{corpus}\t{}\t{}\t{text}",
            class.name(),
            line.name
        );
        let Some(resolved) = resolved else { continue };
        mandatory += usize::from(makes_mandatory);
        let given: Vec<Value> = line.instances.iter().map(|one| one.data.clone()).collect();
        let mut chance = Chance::new(number as u64);
        let tried =
            caught(|| checks::instances(&line.schema, &resolved, &given, SAMPLES, &mut chance));
        match tried {
            Ok(found) => soundness.add(found),
            Err(why) => broken.push(format!("{corpus} {}: {why}", line.name)),
        }
        disputed += line
            .instances
            .iter()
            .filter(|one| one.valid == Some(false))
            .filter(|one| checks::accepts(&resolved, &one.data))
            .inspect(|one| {
                let _ = writeln!(verdicts, "{corpus}\tdisputed\t{}\t{}", line.name, one.data);
            })
            .count();
    }
    for (fact, count) in [
        ("schemas", lines.len()),
        (
            "made strict, with an optional field made mandatory",
            mandatory,
        ),
        ("instances tried", soundness.instances),
        ("valid against the resolved schema", soundness.accepted),
        ("valid against the original alone", soundness.lost),
        ("accepted as they stream", soundness.streamed),
        ("accepted, but invalid as the corpus says", disputed),
        ("schemas without an automaton", soundness.without_automaton),
        ("schemas without a validator", soundness.unverified),
    ] {
        table.fact(corpus, fact, count);
    }
    table.digest(corpus, digest.hex());
}
