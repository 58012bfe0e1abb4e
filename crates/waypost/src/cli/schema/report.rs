//! Everything that a run found, and the JSON document that says it.
//!
//! The document is a contract with scripts: keys are added, never changed; `version` grows when one
//! has to be.

use serde::Serialize;
use serde_json::{Value, json};
use strict_json::Position;
use strict_schema::Profile;

use super::{
    Api,
    judge::{Judged, Verdict},
};

const VERSION: u32 = 1;

pub(super) struct Report {
    api: Api,
    profile: &'static str,
    rewrites: Value,
    pub tools: Vec<Judged>,
    pub problems: Vec<Problem>,
    /// Files of directories that hold neither tools nor schemas.
    pub passed_over: usize,
}

/// An input that cannot be judged.
#[derive(Serialize)]
pub(super) struct Problem {
    pub file: String,
    #[serde(flatten)]
    pub position: Option<Position>,
    pub message: String,
}

impl Report {
    pub(super) fn new(api: Api, profile: &Profile) -> Self {
        let rewrites = &profile.rewrites;
        Self {
            api,
            profile: profile.name,
            rewrites: json!({
                "meaning_preserving": rewrites.meaning_preserving,
                "nullable_optionals": rewrites.nullable_optionals,
                "constraints_to_description": rewrites.constraints_to_description,
                "maps_to_arrays": rewrites.maps_to_arrays,
            }),
            tools: Vec::new(),
            problems: Vec::new(),
            passed_over: 0,
        }
    }

    pub(super) fn problem(&mut self, file: &str, position: Option<Position>, message: &str) {
        self.problems.push(Problem {
            file: file.to_owned(),
            position,
            message: message.to_owned(),
        });
    }

    pub(super) fn has_problem(&self, file: &str) -> bool {
        self.problems.iter().any(|problem| problem.file == file)
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        let tools = self.tools.iter();
        tools.filter(|tool| tool.verdict == verdict).count()
    }

    pub(super) fn warnings(&self) -> usize {
        self.tools.iter().map(|tool| tool.warnings.len()).sum()
    }

    pub(super) fn json(&self) -> String {
        let document = json!({
            "version": VERSION,
            "api": self.api,
            "profile": self.profile,
            "rewrites": self.rewrites,
            "tools": self.tools,
            "problems": self.problems,
            "summary": {
                "tools": self.tools.len(),
                "strict": self.count(Verdict::Strict),
                "strict_after_rewriting": self.count(Verdict::StrictAfterRewriting),
                "fallback": self.count(Verdict::Fallback),
                "refused": self.count(Verdict::Refused),
                "warnings": self.warnings(),
                "problems": self.problems.len(),
                "passed_over": self.passed_over,
            },
        });
        serde_json::to_string_pretty(&document).expect("plain data always prints")
    }
}
