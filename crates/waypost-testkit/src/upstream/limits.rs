//! Scripts that cannot be meant: too large, or contradicting themselves.

use super::kinds::Generate;
use super::script::Script;

/// Upper bounds, so that a typing error cannot eat the machine.
const MAX_TOKENS: usize = 10_000_000;
const MAX_TOKEN_BYTES: usize = 1 << 20;
const MAX_TOOLS: usize = 128;
const MAX_FRAGMENTS: usize = 10_000;
const MAX_STEPS: usize = 1000;
const MAX_ATTEMPTS: usize = 100;

impl Script {
    pub(super) fn check(&self) -> Result<(), String> {
        let bounded = [
            ("tokens", self.tokens.unwrap_or(0), MAX_TOKENS),
            ("reasoning_tokens", self.reasoning_tokens, MAX_TOKENS),
            ("token_bytes", self.token_bytes, MAX_TOKEN_BYTES),
            ("tools", self.tools, MAX_TOOLS),
            ("tool_fragments", self.tool_fragments, MAX_FRAGMENTS),
            ("steps", self.steps.len(), MAX_STEPS),
            ("then", self.then.len(), MAX_ATTEMPTS),
        ];
        for (name, value, limit) in bounded {
            if value > limit {
                return Err(format!(
                    "bad script: `{name}` is {value}, the limit is {limit}"
                ));
            }
        }
        let positive = [
            ("token_bytes (at least 10)", self.token_bytes >= 10),
            ("tool_fragments", self.tool_fragments > 0),
            ("coalesce", self.coalesce != Some(0)),
            ("write_bytes", self.write_bytes != Some(0)),
            ("cut_bytes", self.cut_bytes != Some(0)),
        ];
        for (name, holds) in positive {
            if !holds {
                return Err(format!("bad script: `{name}` is too small"));
            }
        }
        if self
            .status
            .is_some_and(|status| !(200..=599).contains(&status))
        {
            return Err("bad script: `status` is not between 200 and 599".to_owned());
        }
        let misfits = [
            (
                "`cut_at`, `cut_bytes` and `cut_seed` exclude each other",
                usize::from(!self.cut_at.is_empty())
                    + usize::from(self.cut_bytes.is_some())
                    + usize::from(self.cut_seed.is_some())
                    > 1,
            ),
            ("`cut_at` is not ascending", !self.cut_at.is_sorted()),
            (
                "`tools` is for numbered answers; steps say themselves what is called",
                !self.steps.is_empty() && self.tools > 0 && self.generate == Generate::Off,
            ),
            (
                "`break` is for what is generated",
                !self.breaks.is_empty() && self.generate == Generate::Off,
            ),
            (
                "`fail_first` and `then` exclude each other",
                !self.then.is_empty() && self.fail_first > 0,
            ),
        ];
        if let Some((misfit, _)) = misfits.iter().find(|(_, holds)| *holds) {
            return Err(format!("bad script: {misfit}"));
        }
        for later in &self.then {
            if !later.then.is_empty() || later.fail_first > 0 {
                return Err("bad script: what follows `then` is one request's".to_owned());
            }
            later.check()?;
        }
        Ok(())
    }
}
