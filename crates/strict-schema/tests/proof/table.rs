//! The frozen table: plain text, a section per corpus, read by people in a diff.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use crate::checks::Class;

#[derive(Default)]
pub struct Table {
    sections: Vec<Section>,
}

#[derive(Default)]
struct Section {
    corpus: &'static str,
    classes: BTreeMap<Class, usize>,
    facts: Vec<(&'static str, usize)>,
    digest: String,
}

impl Table {
    pub fn count(&mut self, corpus: &'static str, class: &Class) {
        *self
            .section(corpus)
            .classes
            .entry(class.clone())
            .or_default() += 1;
    }

    pub fn fact(&mut self, corpus: &'static str, name: &'static str, count: usize) {
        self.section(corpus).facts.push((name, count));
    }

    pub fn digest(&mut self, corpus: &'static str, digest: String) {
        self.section(corpus).digest = digest;
    }

    fn section(&mut self, corpus: &'static str) -> &mut Section {
        if self
            .sections
            .last()
            .is_none_or(|last| last.corpus != corpus)
        {
            self.sections.push(Section {
                corpus,
                ..Section::default()
            });
        }
        self.sections.last_mut().expect("there is one now")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# What becomes of public schemas. Made by: cargo xtask corpora --accept"
        )?;
        for section in &self.sections {
            writeln!(f, "\n== {}", section.corpus)?;
            for (name, count) in &section.facts {
                writeln!(f, "{count:>7}  {name}")?;
            }
            let mut fallbacks = 0;
            let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
            for (class, count) in &section.classes {
                let Class::Fallback(why) = class else {
                    writeln!(f, "{count:>7}  {}", class.name())?;
                    continue;
                };
                fallbacks += count;
                for code in why {
                    *codes.entry(code).or_default() += count;
                }
            }
            // One schema can have several reasons.
            writeln!(f, "{fallbacks:>7}  fallback, because of")?;
            let mut codes: Vec<_> = codes.into_iter().collect();
            codes.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
            for (code, count) in codes {
                writeln!(f, "{count:>13}  {code}")?;
            }
            // Of every name, verdict and resolved schema: also what the counts do not show.
            writeln!(f, "digest {}", section.digest)?;
        }
        Ok(())
    }
}

/// Lines that only one of the two has, with their section.
pub fn difference(expected: &str, found: &str) -> String {
    let rows = |text: &str| {
        let mut section = String::new();
        let mut rows = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("== ") {
                name.clone_into(&mut section);
            }
            rows.push((section.clone(), line.to_owned()));
        }
        rows
    };
    let (old, new) = (rows(expected), rows(found));
    let mut out = String::new();
    for (rows, others, sign) in [(&old, &new, '-'), (&new, &old, '+')] {
        for row in rows.iter().filter(|row| !others.contains(row)) {
            let _ = writeln!(out, "{sign} {}: {}", row.0, row.1.trim());
        }
    }
    out
}

#[test]
fn a_difference_names_the_lines() {
    let before = "== a\n  1  A\n  2  fallback\n== b\n  1  A\n";
    let after = "== a\n  1  A\n  3  fallback\n== b\n  1  A\n";
    assert_eq!(
        difference(before, after),
        "- a: 2  fallback\n+ a: 3  fallback\n"
    );
    assert_eq!(difference(before, before), "");
}
