//! How late a token is: from its sending by the model server to its reading by the client.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Bench;
use crate::background::both;
use crate::client::{Conn, Request, find};
use crate::clock::us;
use crate::stats::Spread;
use crate::table::{Cell, Row, Section};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const PACE_US: u64 = 5000;
/// Tokens at the beginning that do not count: every stream is opening then.
const SKIPPED: usize = 20;

/// One way from the clock to the client.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    request: Request,
    /// What stands before the token's text.
    marker: &'static str,
}

pub async fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let waypost = bench.world.waypost("lag", "").await?;
    let tokens = bench.lag_tokens();
    let model = format!("clock?pace_us={PACE_US}&tokens={tokens}");
    let key = Some(waypost.key.as_str());
    let chat =
        json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let way = |address, request, marker| Way {
        address,
        request,
        marker,
    };
    let response = |more: serde_json::Value| {
        let mut body = json!({"model": model, "stream": true, "input": "Hi"});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        Request::post(RESPONSES, key, &body)
    };
    let in_chat = r#""content":""#;
    let in_response = r#""delta":""#;
    let direct = way(
        bench.world.clock.address,
        Request::post(CHAT, None, &chat),
        in_chat,
    );
    let proxied = bench.world.proxy.as_ref().map(|proxy| {
        let request = Request::post(&format!("/clock{CHAT}"), None, &chat);
        way(proxy.address, request, in_chat)
    });
    let ours = [
        (
            "chat",
            way(waypost.address, Request::post(CHAT, key, &chat), in_chat),
        ),
        (
            "foreground response",
            way(
                waypost.address,
                response(json!({"store": false})),
                in_response,
            ),
        ),
        (
            "background response",
            way(
                waypost.address,
                response(json!({"background": true})),
                in_response,
            ),
        ),
    ];
    let mut rows = Vec::new();
    for streams in bench.lag_streams() {
        bench.say(&format!("lag: {streams} streams"));
        let direct = lag(&direct, *streams, tokens).await?;
        let peer = match &proxied {
            Ok(way) => Cell::Text(both(lag(way, *streams, tokens).await?)),
            Err(reason) => Cell::Absent((*reason).clone()),
        };
        let mut foreground = None;
        for (name, way) in &ours {
            let ours = lag(way, *streams, tokens).await?;
            let (base, of) = match (*name, foreground) {
                ("background response", Some(foreground)) => (foreground, "foreground"),
                _ => (direct, "direct"),
            };
            foreground = Some(ours);
            let difference = Spread {
                p50: ours.p50 - base.p50,
                p99: ours.p99 - base.p99,
            };
            let what = format!("{name}, {streams} streams, p50 / p99");
            let mut row = Row::new(what)
                .ours(both(ours))
                .difference(format!("+{} on {of}", both(difference)));
            if *name == "chat" {
                row = row.direct(both(direct)).peer(peer.clone());
            }
            rows.push(row);
        }
    }
    Ok(Section {
        failed: false,
        title: "Lag of a streamed token",
        method: format!(
            "From its sending to its reading, one token every {} ms on each stream, {tokens} tokens a stream. Model server, load generator and target share all cores: with many streams the direct column tells what the machine itself adds. Background tokens are on disk before they are sent.",
            PACE_US / 1000
        ),
        rows,
    })
}

async fn lag(way: &Way, streams: usize, tokens: usize) -> anyhow::Result<Spread> {
    let mut readers = JoinSet::new();
    for number in 0..streams {
        let way = way.clone();
        readers.spawn(async move {
            // Not all in the same moment.
            let pause = PACE_US * number as u64 / streams as u64;
            tokio::time::sleep(std::time::Duration::from_micros(pause)).await;
            read(&way, tokens).await
        });
    }
    let mut all = Vec::with_capacity(streams * tokens);
    while let Some(lags) = readers.join_next().await {
        all.extend(lags??);
    }
    Ok(Spread::of(all))
}

async fn read(way: &Way, tokens: usize) -> anyhow::Result<Vec<f64>> {
    let mut events = Conn::to(way.address).await?.events(&way.request).await?;
    let mut lags = Vec::with_capacity(tokens);
    while let Some((event, at)) = events.next().await? {
        let Some(begin) = find(&event, way.marker.as_bytes()) else {
            continue;
        };
        let rest = &event[begin + way.marker.len()..];
        let digits: &[u8] = rest
            .split(|byte| !byte.is_ascii_digit())
            .next()
            .unwrap_or(b"");
        if digits.is_empty() {
            continue;
        }
        let sent: u64 = std::str::from_utf8(digits)?.parse().context("no time")?;
        lags.push(us(at).saturating_sub(sent) as f64);
    }
    ensure!(
        lags.len() == tokens,
        "{} of {tokens} tokens arrived",
        lags.len()
    );
    lags.drain(..SKIPPED.min(tokens));
    Ok(lags)
}
