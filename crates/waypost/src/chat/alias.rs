//! Aliases of models in what is passed on: the model server reads its own name
//! for the model, the client the one that it asked with. All other bytes stay as
//! they are.

use std::ops::Range;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::StreamExt;
use http::header;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines;
use crate::{http::error::ApiError, upstream::Upstream};

/// The largest answer that is held to be rewritten.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// The request as the model server is to read it.
pub fn request(upstream: &Upstream, model: &str, body: Bytes) -> Bytes {
    let real = upstream.real_name(model);
    if real == model {
        return body;
    }
    renamed(&body, real).map_or(body, Bytes::from)
}

/// The answer as the client is to read it, who asked for `model`.
pub async fn response(
    upstream: &Upstream,
    model: &str,
    response: Response,
) -> Result<Response, ApiError> {
    let (parts, body) = response.into_parts();
    let is_asis =
        upstream.real_name(model) == model || parts.headers.contains_key(header::CONTENT_ENCODING);
    if is_asis {
        return Ok(Response::from_parts(parts, body));
    }
    let is_stream = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    let body = if is_stream {
        stream(body, model.to_owned())
    } else {
        let whole = axum::body::to_bytes(body, MAX_HELD).await.map_err(|error| {
            tracing::warn!(upstream = %upstream.name, %error, "an answer to an alias cannot be read");
            ApiError::bad_gateway("The model server's answer broke off.").code("upstream_error")
        })?;
        Body::from(renamed(&whole, model).map_or(whole, Bytes::from))
    };
    Ok(Response::from_parts(parts, body))
}

/// The same stream with the model of each event renamed.
fn stream(body: Body, model: String) -> Body {
    let events = lines::whole(body.into_data_stream());
    let rename = move |events: Bytes| lines::changed(&events, |data| renamed(data, &model));
    Body::from_stream(events.map(move |events| events.map(&rename)))
}

/// The JSON object with another `model`; `None` where it has none to replace.
fn renamed(json: &[u8], model: &str) -> Option<Vec<u8>> {
    let place = place(json)?;
    let name = serde_json::to_string(model).expect("text is JSON");
    let mut out = Vec::with_capacity(json.len() + name.len());
    out.extend_from_slice(&json[..place.start]);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&json[place.end..]);
    Some(out)
}

/// Where the value of `model` is in a JSON object, if it is a string.
fn place(json: &[u8]) -> Option<Range<usize>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let text = std::str::from_utf8(json).ok()?;
    let named: Named<'_> = serde_json::from_str(text).ok()?;
    let value = named.model.get();
    if !value.starts_with('"') {
        return None;
    }
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    Some(start..start + value.len())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn only_the_model_changes() {
        let body = br#" {"messages": [{"model": "x"}], "mod\u0065l" : "a\"b" ,"z":1.0}"#;
        let out = renamed(body, "q").expect("it has one");
        assert_eq!(
            out,
            br#" {"messages": [{"model": "x"}], "mod\u0065l" : "q" ,"z":1.0}"#
        );
        for other in [
            &b"[1]"[..],
            b"{}",
            br#"{"model": null}"#,
            b"[DONE]",
            b"\xff",
        ] {
            assert_eq!(renamed(other, "q"), None);
        }
    }

    #[tokio::test]
    async fn streams_are_renamed_however_they_are_cut() {
        let text = "data: {\"model\":\"real\",\"x\":[\"model\"]}\r\n\r\n: ping\n\ndata:{\"model\": \"real\"}\n\ndata: [DONE]\n\ndata: {\"model\":\"real\"}";
        let wanted = text.replace("\"real\"", "\"alias\"");
        for size in [1, 2, 7, 1000] {
            let pieces: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
                .collect();
            let body = Body::from_stream(futures::stream::iter(pieces));
            let out = axum::body::to_bytes(stream(body, "alias".to_owned()), MAX_HELD)
                .await
                .expect("a body");
            assert_eq!(out, wanted.as_bytes());
        }
    }
}
