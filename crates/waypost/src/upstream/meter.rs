//! What calls of model servers cost: time, and tokens.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Deserializer, Value};

use super::tokens;
use crate::metrics::Metrics;

/// How much of an answer's end is kept to find its token counts: model servers
/// write them last, or before a few small members.
const TAIL: usize = 8 * 1024;

/// Times one call of a model server. A call that fails is counted elsewhere, by
/// its reason; this one says how long answers take.
#[derive(Debug)]
pub struct Meter {
    metrics: Arc<Metrics>,
    upstream: String,
    model: String,
    project_id: String,
    started: Instant,
    succeeded: bool,
    began: bool,
    tokens: Option<(u64, u64)>,
}

impl Meter {
    /// Begins with the request. `project_id` is empty where there is none.
    pub fn start(metrics: &Arc<Metrics>, upstream: &str, model: &str, project_id: &str) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            upstream: upstream.to_owned(),
            model: model.to_owned(),
            project_id: project_id.to_owned(),
            started: Instant::now(),
            succeeded: false,
            began: false,
            tokens: None,
        }
    }

    /// The server answers with success: its model's name may be a label.
    pub fn succeeded(&mut self) {
        self.succeeded = true;
        self.model = self.metrics.model_label(&self.upstream, &self.model);
    }

    /// The first of the answer is there. Later calls change nothing.
    pub fn first_token(&mut self) {
        if self.succeeded && !self.began {
            self.began = true;
            let seconds = self.started.elapsed().as_secs_f64();
            self.metrics
                .first_token(&self.upstream, &self.model, seconds);
        }
    }

    /// The server's counts of input and output tokens; the last ones count. An
    /// answer that breaks off cost what was reported until then.
    pub fn tokens(&mut self, tokens: (u64, u64)) {
        self.tokens = Some(tokens);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.succeeded {
            return;
        }
        let (metrics, upstream, model) = (&self.metrics, &self.upstream, &self.model);
        metrics.answered(upstream, model, self.started.elapsed().as_secs_f64());
        if let Some((input, output)) = self.tokens {
            metrics.count_tokens(&self.project_id, upstream, model, input, output);
        }
    }
}

/// The end of an answer that is passed on unread, for its token counts.
#[derive(Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// More of the answer.
    pub fn saw(&mut self, bytes: &Bytes) {
        let new = &bytes[bytes.len().saturating_sub(TAIL)..];
        let over = (self.0.len() + new.len()).saturating_sub(2 * TAIL);
        if over > 0 {
            // Half of it at a time, so that small pieces cost little.
            let keep = self.0.len().min(TAIL);
            self.0.drain(..self.0.len() - keep);
        }
        self.0.extend_from_slice(new);
    }

    /// Input and output tokens as the answer's last `usage` that has counts has
    /// them. Text of a model cannot be taken for it: quotes are escaped there.
    pub fn usage(&self) -> Option<(u64, u64)> {
        memmem::rfind_iter(&self.0, b"\"usage\"").find_map(|at| {
            let rest = self.0[at + b"\"usage\"".len()..].trim_ascii_start();
            let rest = rest.strip_prefix(b":")?;
            let mut values = Deserializer::from_slice(rest).into_iter::<Value>();
            let usage = tokens::of_chat(&values.next()?.ok()?)?;
            Some((usage.input_tokens, usage.output_tokens))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(pieces: &[&str]) -> Option<(u64, u64)> {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.saw(&Bytes::copy_from_slice(piece.as_bytes()));
        }
        tail.usage()
    }

    #[test]
    fn the_last_counts_are_found_however_they_are_cut() {
        let long = "x".repeat(3 * TAIL);
        assert_eq!(
            usage(&[
                &long,
                "\"usage\": {\"prompt_",
                "tokens\":3,\"completion_tokens\":4},\"a\":1}"
            ]),
            Some((3, 4))
        );
        assert_eq!(
            usage(&[
                "{\"usage\":{\"prompt_tokens\":1}}",
                "data: {\"usage\":null}\n\ndata: [DONE]\n\n"
            ]),
            Some((1, 0))
        );
        // A model's own words.
        let said = r#"{"content":"\"usage\":{\"prompt_tokens\":9}"}"#;
        assert_eq!(usage(&[said]), None);
        assert_eq!(usage(&["{\"usage\":{}}"]), None);
        // As odd as they are read elsewhere.
        assert_eq!(
            usage(&[r#"{"usage":{"prompt_tokens":"3","completion_tokens":1.6}}"#]),
            Some((3, 2))
        );
        assert_eq!(usage(&[]), None);
    }

    #[test]
    fn it_stays_small() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.saw(&Bytes::from_static(&[b'x'; 100]));
        }
        tail.saw(&Bytes::from(vec![b'x'; 100_000]));
        assert!(tail.0.len() <= 2 * TAIL, "{}", tail.0.len());
    }
}
