//! `Idempotency-Key` on `POST /v1/responses`: the same request under the same
//! key gives the same response, so that repeating a create whose answer was
//! lost makes no second one. (The header's draft:
//! draft-ietf-httpapi-idempotency-key-header.)
//!
//! A key is taken in the transaction that stores the response. A foreground
//! response is stored only at its end: until then its key is held in memory,
//! and a run that came to nothing leaves it free.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use axum::response::Response;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use serde_json::Value;
use waypost_engine::responses::{Idempotency, StoredResponse};

use super::{follow::follow, object, poll, restream, retrieve};
use crate::{
    http::{error::ApiError, sse},
    responses::Responses,
};

/// How long a key stands for its response.
pub const KEPT: Duration = Duration::from_hours(24);

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that an earlier request got first.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest key, in characters.
const MAX_KEY: usize = 255;
/// When to come again while the first request still runs.
const RUNNING_RETRY: Duration = Duration::from_secs(1);

/// The request's key, if it has one.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let is_good = |key: &&str| {
        (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match (value.to_str().ok().filter(is_good), values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::invalid(
            "The header Idempotency-Key is given once, with 1 to 255 visible ASCII characters.",
        )
        .code("invalid_idempotency_key")),
    }
}

/// What tells one request's body from another's.
pub fn fingerprint(body: &Value) -> [u8; 32] {
    let text = body.to_string();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    fingerprint
}

/// What was answered under this key before, told again; `None` where nothing
/// was.
pub async fn replay(
    state: &Arc<Responses>,
    project_id: &str,
    idempotency: &Idempotency,
    stream: bool,
    version: Version,
) -> Result<Option<Response>, ApiError> {
    let store = &state.engine.store;
    let Some(created) = store.find_created(project_id, &idempotency.key).await? else {
        return Ok(None);
    };
    if created.fingerprint != idempotency.fingerprint {
        return Err(reused());
    }
    let stored = match retrieve::find(state, project_id, &created.response_id).await {
        Err(error) if error.status() == http::StatusCode::NOT_FOUND => {
            return Err(ApiError::conflict(format!(
                "The response '{}' that this Idempotency-Key created is not stored any more.",
                created.response_id
            ))
            .code("idempotency_response_gone")
            .without_retry());
        }
        found => found?,
    };
    let mut response = if stream {
        streamed(state, stored, version).await?
    } else {
        let mut response = object::answer(retrieve::body(&stored)?);
        poll::hint(state, stored.status, response.headers_mut());
        response
    };
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Some(response))
}

/// All events from the first on: those of the log, or, where none is kept, the
/// few that say the same.
async fn streamed(
    state: &Arc<Responses>,
    stored: StoredResponse,
    version: Version,
) -> Result<Response, ApiError> {
    let keeping = sse::Keeping {
        keep_alive: state.runs.config.keep_alive,
        stop: Some(state.runs.shutdown.stopping()),
        version,
    };
    if stored.background && !stored.log_dropped {
        let events = follow(Arc::clone(state), stored.project_id, stored.id, None).await;
        return Ok(sse::response(events, keeping));
    }
    let done_marker = state.runs.config.done_marker;
    let frames = restream::frames(stored.status, &retrieve::body(&stored)?, done_marker);
    Ok(sse::response(stream::iter(frames), keeping))
}

fn reused() -> ApiError {
    ApiError::conflict(
        "This Idempotency-Key was used for another request. Send the same body again, or use a \
         new key.",
    )
    .code("idempotency_key_reused")
    .without_retry()
}

type Running = HashMap<(String, String), Held>;

#[derive(Debug)]
struct Held {
    fingerprint: [u8; 32],
    /// Requests that hold it.
    by: usize,
}

/// The keys of the foreground responses that run here now, and of the
/// background ones that are being stored.
#[derive(Debug, Clone, Default)]
pub struct RunningKeys(Arc<Mutex<Running>>);

/// A key while its response runs or is being stored; free again when the last
/// of these is dropped.
#[derive(Debug)]
pub struct HeldKey {
    keys: RunningKeys,
    key: (String, String),
}

impl RunningKeys {
    /// Holds a key for one request, or says why it cannot be had.
    pub fn hold(&self, project_id: &str, idempotency: &Idempotency) -> Result<HeldKey, ApiError> {
        self.take(project_id, idempotency, 1)
    }

    /// Holds a key beside others who sent the same: which of them is the first,
    /// the store decides.
    pub fn share(&self, project_id: &str, idempotency: &Idempotency) -> Result<HeldKey, ApiError> {
        self.take(project_id, idempotency, usize::MAX)
    }

    fn take(
        &self,
        project_id: &str,
        idempotency: &Idempotency,
        at_most: usize,
    ) -> Result<HeldKey, ApiError> {
        let key = (project_id.to_owned(), idempotency.key.clone());
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = running.entry(key.clone()).or_insert(Held {
            fingerprint: idempotency.fingerprint,
            by: 0,
        });
        if held.fingerprint != idempotency.fingerprint {
            return Err(reused());
        }
        if held.by >= at_most {
            return Err(ApiError::conflict(
                "The first request with this Idempotency-Key still runs. Send it again later.",
            )
            .code("idempotency_key_running")
            .retry_after(RUNNING_RETRY));
        }
        held.by += 1;
        let keys = self.clone();
        Ok(HeldKey { keys, key })
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        let running = &self.keys.0;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut held) = running.entry(self.key.clone()) {
            held.get_mut().by -= 1;
            if held.get().by == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_given_once() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
            }
            key(&headers).map_err(|error| error.status())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"\"8e03978e\""]), Ok(Some("\"8e03978e\"".to_owned())));
        assert!(of(&[&[b'x'; 255]]).is_ok());
        for bad in [
            &[b"" as &[u8]] as &[&[u8]],
            &[b"two words"],
            &[b"\xc3\xa4"],
            &[&[b'x'; 256]],
            &[b"a", b"a"],
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_held_by_one_at_a_time() {
        let running = RunningKeys::default();
        let named = |fingerprint| Idempotency {
            key: "key".to_owned(),
            fingerprint: [fingerprint; 32],
        };
        let held = running.hold("a", &named(1)).expect("free");
        assert!(running.hold("b", &named(1)).is_ok());
        for fingerprint in [1, 2] {
            let refused = running.hold("a", &named(fingerprint));
            assert_eq!(
                refused.err().map(|error| error.status().as_u16()),
                Some(409)
            );
        }
        // A background request is another one, whatever else it says.
        assert!(running.share("a", &named(2)).is_err());
        drop(held);
        assert!(running.hold("a", &named(2)).is_ok());
    }

    #[test]
    fn a_key_that_is_shared_is_free_when_the_last_one_is_done() {
        let running = RunningKeys::default();
        let named = |fingerprint| Idempotency {
            key: "key".to_owned(),
            fingerprint: [fingerprint; 32],
        };
        let first = running.share("a", &named(1)).expect("free");
        let second = running.share("a", &named(1)).expect("shared");
        assert!(running.share("a", &named(2)).is_err());
        drop(first);
        assert!(running.hold("a", &named(2)).is_err());
        drop(second);
        assert!(running.hold("a", &named(2)).is_ok());
    }
}
