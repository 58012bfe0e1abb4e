//! Replies of the scripted model server: plain answers with their faults, errors, small documents.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::error_object;
use super::player::{Fault, Faults, Playback};
use super::script::Script;
use super::stats::Running;
use crate::net::{Broken, Wire};

pub(super) type Reply = Response<Playback>;

/// The time that the stream would have taken, then the document or what the faults leave of it.
pub(super) async fn play_plain(
    script: &Script,
    deltas: usize,
    document: &Value,
    mut running: Running,
    wire: Arc<Wire>,
) -> Result<Reply, Broken> {
    let pauses = deltas.div_ceil(script.deltas_per_write()) as u64;
    sleep(script.first_delay_ms + script.delay_ms * pauses).await;
    let mut bytes = document.to_string().into_bytes();
    let mut faults = Faults::of(script);
    while let Some(fault) = faults.due(deltas) {
        match fault {
            Fault::Stall if script.stall_ms > 0 => sleep(script.stall_ms).await,
            Fault::Stall => std::future::pending().await,
            Fault::Malformed => bytes = br#"{"object": oops"#.to_vec(),
            Fault::Error => {
                running.finished();
                return Ok(error(500, "The scripted model failed."));
            }
            Fault::Eof => bytes.truncate(bytes.len() / 2),
            Fault::Cut => {
                let promised = bytes.len();
                bytes.truncate(promised / 2);
                let mut reply = json_reply_of(200, Playback::torn(bytes.into(), running, wire));
                reply.headers_mut().insert(CONTENT_LENGTH, promised.into());
                return Ok(reply);
            }
            Fault::Reset => {
                running.finished();
                wire.reset_on_close();
                return Err(Broken);
            }
        }
    }
    running.served.sent(bytes.len(), 0);
    running.finished();
    Ok(json_reply_of(200, Playback::whole(bytes)))
}

pub(super) async fn sleep(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

pub(super) fn scripted_error(script: &Script) -> Reply {
    let status = script.status.unwrap_or(502);
    let message = format!("The script answers {status}.");
    let mut reply = if script.html_body {
        let page = format!("<html><body><h1>{status}</h1><p>{message}</p></body></html>\n");
        let mut reply = json_reply_of(status, Playback::whole(page));
        reply
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        reply
    } else {
        error(status, &message)
    };
    if let Some(seconds) = script.retry_after {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply
}

/// The script's own bytes.
pub(super) fn written_out(script: &Script, body: String) -> Reply {
    let mut reply = json_reply_of(script.status.unwrap_or(200), Playback::whole(body));
    if let Some(kind) = &script.content_type {
        let kind = HeaderValue::from_str(kind).expect("a content type of visible ASCII");
        reply.headers_mut().insert(CONTENT_TYPE, kind);
    }
    reply
}

pub(super) fn event_stream(body: Playback) -> Reply {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

pub(super) fn error(status: u16, message: &str) -> Reply {
    json_reply(status, &json!({"error": error_object(status, message)}))
}

pub(super) fn json_reply(status: u16, document: &Value) -> Reply {
    json_reply_of(status, Playback::whole(Bytes::from(document.to_string())))
}

fn json_reply_of(status: u16, body: Playback) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(status).expect("scripts are checked for it");
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(super) fn model_object(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "waypost-testkit"})
}
