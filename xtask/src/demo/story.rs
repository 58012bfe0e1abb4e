//! What happened, and whether it is what had to happen.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::stage::Service;
use super::voice;
use super::workload::Finished;
use crate::terminal::{count, span};
use crate::tools;

/// What happened, for the final check.
pub struct Story {
    pub id: String,
    pub dropped_at: Option<u64>,
    /// The last event seen before the kill; `None` where the model server cannot continue.
    pub lost_at: Option<u64>,
    pub resumed_at: Vec<u64>,
    pub crash: bool,
    /// The longest time without a new word after the crash.
    pub silence: Duration,
    pub finished: Finished,
}

impl Story {
    pub fn check(&self, waypost: &Service) -> anyhow::Result<()> {
        let end = &self.finished;
        if let Some(error) = &end.error {
            bail!("the response {}: {error}", end.status);
        }
        ensure!(
            matches!(end.status.as_str(), "completed" | "incomplete"),
            "the response is {}",
            end.status
        );
        let tokens = end.output_tokens.context("the response has no usage")?;
        let tokens = count(tokens as usize);
        voice::held(&match end.status.as_str() {
            "completed" => format!("the answer is complete: {tokens} tokens"),
            _ => format!("the answer has all the tokens it was allowed: {tokens}"),
        });
        // The workload itself stops at the first number that is not the next one.
        voice::held(&format!(
            "events 0 to {}: each number once, none missing",
            count(end.events - 1)
        ));
        ensure!(
            end.seen == end.stored,
            "the deltas do not add up to the stored answer:\n{:?}\n{:?}",
            end.seen,
            end.stored
        );
        ensure!(!end.seen.is_empty(), "the answer is empty");
        voice::held(&format!(
            "{} characters of deltas equal the answer of GET",
            count(end.seen.chars().count())
        ));

        let mut cuts = vec![self.dropped_at.context(
            "the answer was over before the connection could be dropped; a longer answer is needed",
        )?];
        if self.crash {
            cuts.push(self.lost_at.context(
                "the answer was over before waypost could be killed; a longer answer is needed",
            )?);
            let taken_over = takeovers(&waypost.url)?;
            ensure!(
                taken_over == 1,
                "the restarted server took {taken_over} jobs over, not 1: the answer was over \
                 before the crash"
            );
            voice::held(&format!(
                "the crash cut off the answer; it went on after {}",
                span(self.silence)
            ));
        } else {
            voice::note("no crash this time: it is not known whether your model server");
            voice::note("can continue an answer that was cut off (assistant prefill)");
        }
        let expected: Vec<u64> = cuts.iter().map(|event| event + 1).collect();
        ensure!(
            self.resumed_at == expected,
            "resumed at {:?} instead of {expected:?}",
            self.resumed_at
        );
        ensure!(!waypost.ended()?, "waypost ended by itself");
        Ok(())
    }
}

/// Jobs that this server process took over from a dead one.
fn takeovers(waypost: &str) -> anyhow::Result<u64> {
    let metrics = tools::get(&format!("{waypost}/metrics"))?;
    let line = metrics
        .lines()
        .find(|line| line.contains("lease_takeovers") && !line.starts_with('#'))
        .context("no metric of lease takeovers")?;
    let value = line.rsplit(' ').next().unwrap_or_default();
    value
        .parse()
        .with_context(|| format!("not a count: {line}"))
}
