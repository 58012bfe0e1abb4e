//! `waypost schema lint`: what strict mode makes of tools, before a request does.
//!
//! input → shapes (the tools in a document) → judge (a verdict for each) → text or JSON. The
//! verdicts come from the crate that the server resolves with, so lint and server cannot disagree.
//!
//! Exit codes: 0 nothing to object to, 1 a tool is refused (with `--strict`: or falls back), 2 an
//! input cannot be read, 64 the command is wrong.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use strict_json::{Position, locate, position};
use strict_schema::{Limits, Profile};

use self::{
    judge::{Judge, Judged, Verdict},
    report::Report,
};

mod input;
mod judge;
mod live;
mod report;
mod shapes;
mod text;

pub(super) const AFTER_HELP: &str = "\
Exit codes: 0 nothing to object to; 1 a tool is refused, or with --strict falls back; \
2 an input cannot be read; 64 the command is wrong.";
/// Exit code of unreadable input.
const EX_UNREADABLE: u8 = 2;
/// A document around schemas: the guards of the profile are for each schema.
const DOCUMENT_LIMITS: Limits = Limits {
    max_bytes: 32 * 1024 * 1024,
    max_depth: 120,
    max_nodes: 4_000_000,
};

#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Lint {
    /// The API whose rules hold. Responses resolves a schema when `strict` is left out; Chat
    /// Completions takes it as it is
    #[arg(long, value_enum, default_value_t = Api::Responses)]
    api: Api,
    /// The strict subset
    #[arg(long, value_name = "NAME", default_value = Profile::NAMES[0],
          value_parser = clap::builder::PossibleValuesParser::new(Profile::NAMES))]
    profile: String,
    /// Rewrites beyond those that keep the meaning; may be given more than once
    #[arg(long, value_enum, value_name = "REWRITE")]
    rewrite: Vec<Rewrite>,
    /// Only close objects and require every property; rewrite nothing else
    #[arg(long, conflicts_with = "rewrite")]
    plain: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Exit with 1 also when a tool falls back
    #[arg(long)]
    strict: bool,
    /// Do not print the rewritten schemas
    #[arg(long)]
    no_diff: bool,
    /// An MCP server whose tools are judged as it lists them now; its access token is read from
    /// WAYPOST_MCP_AUTHORIZATION. May be given more than once
    #[arg(long, value_name = "URL")]
    mcp_url: Vec<String>,
    /// Files, directories (every *.json and *.jsonl below them), or - for standard input
    #[arg(required_unless_present = "mcp_url", value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Api {
    Responses,
    Chat,
}

/// The rewrites of level C: each changes what a schema says, so each is asked for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rewrite {
    /// An optional field may be null; the null is taken out of the arguments again
    NullableOptionals,
    /// A constraint that strict mode does not take moves to the description
    ConstraintsToDescription,
    /// A map becomes an array of keys and values, and the arguments a map again
    MapsToArrays,
    /// All three
    All,
}

/// Runs it.
pub(super) fn lint(options: &Lint) -> ExitCode {
    let profile = profile(options);
    let judge = Judge::new(options.api, profile.clone());
    let mut report = Report::new(options.api, &profile);
    let listed = options.mcp_url.iter().map(|url| live::read(url));
    for input in input::read(&options.paths).into_iter().chain(listed) {
        look_at(&input, &judge, &mut report);
    }
    let printed = if options.json {
        report.json() + "\n"
    } else {
        text::render(&report, !options.no_diff)
    };
    // A closed pipe is the reader's business.
    let _ = std::io::stdout().write_all(printed.as_bytes());
    exit_code(&report, options.strict)
}

fn profile(options: &Lint) -> Profile {
    let mut profile = Profile::named(&options.profile).expect("clap allows the known names only");
    let asks =
        |rewrite| options.rewrite.contains(&rewrite) || options.rewrite.contains(&Rewrite::All);
    let rewrites = &mut profile.rewrites;
    rewrites.meaning_preserving = !options.plain;
    rewrites.nullable_optionals = asks(Rewrite::NullableOptionals);
    rewrites.constraints_to_description = asks(Rewrite::ConstraintsToDescription);
    rewrites.maps_to_arrays = asks(Rewrite::MapsToArrays);
    profile
}

fn look_at(input: &input::Input, judge: &Judge, report: &mut Report) {
    let text = match &input.text {
        Ok(text) => text,
        Err(why) => return report.problem(&input.name, None, why),
    };
    let mut any = false;
    if input.lines {
        for (number, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                any |= document(input, line, number, judge, report);
            }
        }
    } else {
        any = document(input, text, 0, judge, report);
    }
    if any || report.has_problem(&input.name) {
        return;
    }
    if input.named {
        report.problem(&input.name, None, "it holds no tool and no JSON Schema");
    } else {
        report.passed_over += 1;
    }
}

/// One JSON text, `line` lines into its file; whether it is of a known kind.
fn document(
    input: &input::Input,
    text: &str,
    line: usize,
    judge: &Judge,
    report: &mut Report,
) -> bool {
    let below = |place: Position| Position {
        line: place.line + line,
        ..place
    };
    let document = match strict_schema::parse(text.as_bytes(), &DOCUMENT_LIMITS) {
        Ok(document) => document,
        Err(error) => {
            let place = (error.line > 0).then_some(Position {
                line: error.line,
                column: error.column.max(1),
            });
            // Where it stopped reading an empty text is nowhere.
            let place = place.or((error.line == 0).then(|| position(text, 0)));
            report.problem(&input.name, place.map(below), &error.message);
            return false;
        }
    };
    let Some(found) = shapes::find(&document) else {
        return false;
    };
    let mut names = Vec::new();
    for one in &found {
        let mut judged: Judged = judge.judge(one);
        judge.name(one, &mut names, &mut judged);
        judged.place(&input.name, |pointer| locate(text, pointer).map(below));
        report.tools.push(judged);
    }
    true
}

fn exit_code(report: &Report, strict: bool) -> ExitCode {
    if !report.problems.is_empty() {
        return EX_UNREADABLE.into();
    }
    let objected = report.tools.iter().any(|tool| match tool.verdict {
        Verdict::Refused => true,
        Verdict::Fallback => strict,
        Verdict::Strict | Verdict::StrictAfterRewriting => false,
    });
    if objected {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
