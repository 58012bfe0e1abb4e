//! What a background response's job stores of its request: all that a run needs,
//! in any later process and in any later version of this program.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{model::Generation, tools::mcp::approval::Approved};

/// The version that this program writes. Whoever adds a field that an older
/// program must not ignore counts it up.
const VERSION: u32 = 1;

/// A stored job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    version: u32,
    pub generation: Generation,
    pub response_id: String,
    pub project_id: String,
    /// Calls of MCP servers that a person has just allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Approved>,
    /// How to reach the request's MCP servers, sealed for this response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_access: Option<String>,
}

/// Why a stored job cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableJob {
    /// A newer program stored it, and can run it.
    #[error("its format has version {0}; this program reads versions up to {VERSION}")]
    Newer(u64),
    #[error("it cannot be read: {0}")]
    Malformed(String),
}

/// What is read first, whatever else there is.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    version: u64,
}

impl Job {
    pub fn new(generation: Generation, response_id: String, project_id: String) -> Self {
        Self {
            version: VERSION,
            generation,
            response_id,
            project_id,
            approved: Vec::new(),
            sealed_access: None,
        }
    }

    /// The stored form.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Reads what [`Job::encode`] wrote, in this version or an older one.
    pub fn decode(stored: &[u8]) -> Result<Self, UnreadableJob> {
        let malformed = |error: serde_json::Error| UnreadableJob::Malformed(error.to_string());
        let Head { version } = serde_json::from_slice(stored).map_err(malformed)?;
        match version {
            0 => Self::decode_0(stored).map_err(malformed),
            version if version <= u64::from(VERSION) => {
                serde_json::from_slice(stored).map_err(malformed)
            }
            newer => Err(UnreadableJob::Newer(newer)),
        }
    }

    /// Version 0 had no version, and everything in one object.
    fn decode_0(stored: &[u8]) -> serde_json::Result<Self> {
        let mut fields: Map<String, Value> = serde_json::from_slice(stored)?;
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let (response_id, project_id) = (text(take("response_id")), text(take("project_id")));
        let (approved, sealed) = (take("approved"), take("mcp_sealed"));
        let generation = serde_json::from_value(fields.into())?;
        Ok(Self {
            approved: Option::deserialize(approved)?.unwrap_or_default(),
            sealed_access: Option::deserialize(sealed)?,
            ..Self::new(generation, response_id, project_id)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_comes_back_as_it_was_stored() {
        let generation = Generation {
            model: "m".to_owned(),
            items: vec![json!({"type": "message", "role": "user", "content": "x"})],
            temperature: Some(0.1),
            ..Generation::default()
        };
        let mut job = Job::new(generation, "resp_1".to_owned(), "proj_1".to_owned());
        job.sealed_access = Some("AAAA".to_owned());
        let stored = job.encode().expect("encoded");
        let text = String::from_utf8(stored.clone()).expect("text");
        assert!(
            text.starts_with(r#"{"version":1,"generation":{"model":"m","#),
            "{text}"
        );
        let again = Job::decode(&stored).expect("decoded");
        assert_eq!(again.encode().expect("encoded"), stored);
    }

    #[test]
    fn a_job_without_a_version_is_version_0() {
        let stored = json!({
            "model": "m", "items": [], "max_tool_calls": 3, "top_p": 0.1,
            "response_id": "resp_1", "project_id": "proj_1", "mcp_sealed": "AAAA",
            "approved": [{"request_id": "r", "label": "l", "name": "n", "arguments": "{}"}],
        });
        let job = Job::decode(stored.to_string().as_bytes()).expect("decoded");
        assert_eq!(job.response_id, "resp_1");
        assert_eq!(job.project_id, "proj_1");
        assert_eq!(job.sealed_access.as_deref(), Some("AAAA"));
        assert_eq!(job.approved[0].label, "l");
        assert_eq!(job.generation.max_tool_calls, Some(3));
        assert_eq!(job.generation.top_p, Some(0.1));
    }

    #[test]
    fn what_this_program_does_not_know_is_refused() {
        let newer = json!({"version": 2, "generation": 5});
        assert_eq!(
            Job::decode(newer.to_string().as_bytes()).err(),
            Some(UnreadableJob::Newer(2))
        );
        let unknown = json!({"version": 1, "generation": {"model": "m", "items": []},
            "response_id": "r", "project_id": "p", "more": 1});
        for stored in [unknown.to_string(), "{".to_owned(), "7".to_owned()] {
            let error = Job::decode(stored.as_bytes()).err();
            assert!(
                matches!(error, Some(UnreadableJob::Malformed(_))),
                "{error:?}"
            );
        }
    }
}
