//! The tables of ARCHITECTURE.md: `| who | may import |`.

use std::collections::BTreeSet;

use crate::graph::Arrow;

/// The heading under which the tables stand.
const HEADING: &str = "## Who may import whom";

#[derive(Debug, Default)]
pub struct Table(BTreeSet<(String, String)>);

impl Table {
    pub fn read(page: &str) -> Self {
        let (_, rest) = page.split_once(HEADING).expect("the tables' heading");
        let section = rest.split("\n## ").next().unwrap_or_default();
        let mut arrows = BTreeSet::new();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = row.trim_matches('|').split('|');
            let (who, whom) = (cells.next(), cells.next());
            for from in words(who.unwrap_or_default()) {
                for to in words(whom.unwrap_or_default()) {
                    arrows.insert((from.to_owned(), to.to_owned()));
                }
            }
        }
        assert!(!arrows.is_empty(), "no row under {HEADING}");
        Self(arrows)
    }

    pub fn has(&self, arrow: &Arrow) -> bool {
        self.0.contains(&(arrow.from.clone(), arrow.to.clone()))
    }

    /// Arrows that nobody draws, as `from -> to`.
    pub fn unused(&self, arrows: &BTreeSet<Arrow>) -> Vec<String> {
        let drawn: BTreeSet<(&str, &str)> = arrows
            .iter()
            .map(|arrow| (arrow.from.as_str(), arrow.to.as_str()))
            .collect();
        let unused = self.0.iter();
        unused
            .filter(|(from, to)| !drawn.contains(&(from, to)))
            .map(|(from, to)| format!("{from} -> {to}"))
            .collect()
    }
}

/// What stands between back-ticks.
fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
