//! The table: every number with what it is compared with, its budget, and a plain verdict.

use std::fmt::Write;

use crate::machine::Machine;

/// A number, or the reason why there is none.
#[derive(Debug, Clone)]
pub enum Cell {
    Text(String),
    /// A footnote says why.
    Absent(String),
    /// Nothing to compare with exists.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Missed,
    /// There is no budget for it, or no number.
    None,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    pub direct: Cell,
    pub peer: Cell,
    pub ours: Cell,
    pub difference: Cell,
    pub budget: String,
    pub verdict: Verdict,
}

impl Row {
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            direct: Cell::None,
            peer: Cell::None,
            ours: Cell::None,
            difference: Cell::None,
            budget: String::new(),
            verdict: Verdict::None,
        }
    }

    pub fn direct(mut self, text: impl Into<String>) -> Self {
        self.direct = Cell::Text(text.into());
        self
    }

    pub fn peer(mut self, cell: Cell) -> Self {
        self.peer = cell;
        self
    }

    pub fn ours(mut self, text: impl Into<String>) -> Self {
        self.ours = Cell::Text(text.into());
        self
    }

    pub fn missing(mut self, reason: impl Into<String>) -> Self {
        self.ours = Cell::Absent(reason.into());
        self
    }

    pub fn difference(mut self, text: impl Into<String>) -> Self {
        self.difference = Cell::Text(text.into());
        self
    }

    pub fn budget(mut self, text: impl Into<String>, met: bool) -> Self {
        self.budget = text.into();
        self.verdict = if met { Verdict::Met } else { Verdict::Missed };
        self
    }

    /// A budget that could not be looked at.
    pub fn budget_unknown(mut self, text: impl Into<String>) -> Self {
        self.budget = text.into();
        self
    }
}

/// A heading, a sentence on how it was measured, and rows.
#[derive(Debug)]
pub struct Section {
    pub title: &'static str,
    pub method: String,
    pub rows: Vec<Row>,
    /// It could not be measured.
    pub failed: bool,
}

/// Everything that is printed.
pub struct Report<'a> {
    pub machine: &'a Machine,
    pub sections: &'a [Section],
    /// Lines about the run: seed, length, load.
    pub run: &'a [String],
}

impl Report<'_> {
    pub fn markdown(&self) -> String {
        let mut out =
            String::from("# Bench\n\nMade by `cargo xtask bench`; not edited by hand.\n\n");
        let m = self.machine;
        let _ = writeln!(
            out,
            "- Machine: {} cores of {}, {:.0} GiB of memory, Linux {}; a 4 KiB append with fdatasync takes {:.2} ms (p50), {:.2} ms (p99).",
            m.cores, m.model, m.memory_gib, m.kernel, m.sync_ms.p50, m.sync_ms.p99
        );
        for line in self.run {
            let _ = writeln!(out, "- {line}");
        }
        self.summary(&mut out);
        let mut notes: Vec<String> = Vec::new();
        for section in self.sections {
            let _ = write!(
                out,
                "\n## {}\n\n{}\n\n| | direct | nginx | Waypost | difference | budget | |\n|---|---|---|---|---|---|---|\n",
                section.title, section.method
            );
            for row in &section.rows {
                let verdict = match row.verdict {
                    Verdict::Met => "met",
                    Verdict::Missed => "**missed**",
                    Verdict::None => "",
                };
                let mut cell = |cell: &Cell| match cell {
                    Cell::Text(text) => text.clone(),
                    Cell::None => String::new(),
                    Cell::Absent(reason) => {
                        let known = notes.iter().position(|note| note == reason);
                        let number = known.unwrap_or_else(|| {
                            notes.push(reason.clone());
                            notes.len() - 1
                        });
                        format!("not available ({})", number + 1)
                    }
                };
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} | {} | {} | {verdict} |",
                    row.what,
                    cell(&row.direct),
                    cell(&row.peer),
                    cell(&row.ours),
                    cell(&row.difference),
                    row.budget,
                );
            }
        }
        if !notes.is_empty() {
            out.push_str("\nNot available:\n\n");
            for (number, note) in (1..).zip(&notes) {
                let _ = writeln!(out, "{number}. {note}");
            }
        }
        out
    }

    fn summary(&self, out: &mut String) {
        let rows = || self.sections.iter().flat_map(|section| &section.rows);
        let met = rows().filter(|row| row.verdict == Verdict::Met).count();
        let missed: Vec<&Row> = rows()
            .filter(|row| row.verdict == Verdict::Missed)
            .collect();
        let _ = writeln!(out, "\n**Budgets: {met} met, {} missed.**", missed.len());
        for row in missed {
            let got = match (&row.difference, &row.ours) {
                (Cell::Text(text), _) | (_, Cell::Text(text)) => text,
                _ => "",
            };
            let _ = writeln!(out, "- missed: {}: {got} (budget {})", row.what, row.budget);
        }
    }
}

/// Microseconds, in the unit that reads best.
pub fn time(us: f64) -> String {
    match us.abs() {
        _ if us.is_nan() => "?".to_owned(),
        small if small < 100.0 => format!("{us:.1} µs"),
        middle if middle < 10_000.0 => format!("{:.3} ms", us / 1e3),
        large if large < 1e6 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.1} s", us / 1e6),
    }
}

pub fn rate(per_second: f64) -> String {
    if per_second < 100.0 {
        return format!("{per_second:.1}/s");
    }
    let whole = format!("{per_second:.0}");
    match whole.len() {
        4.. => format!(
            "{},{}/s",
            &whole[..whole.len() - 3],
            &whole[whole.len() - 3..]
        ),
        _ => format!("{whole}/s"),
    }
}

pub fn times(ratio: f64) -> String {
    format!("{ratio:.2}×")
}

pub fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

pub fn kibibytes(bytes: f64) -> String {
    format!("{:.1} KiB", bytes / 1024.0)
}
