//! What every route shares: envelope, headers, bodies, listener, drain.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use crate::harness::{ADMIN_KEY, TestServer};

const PROJECTS: &str = "/v1/organization/projects";

#[tokio::test]
async fn every_answer_carries_the_documented_headers() {
    let server = TestServer::start().await;
    let mut ids = Vec::new();
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/readyz", 200),
        (Method::GET, "/nope", 404),
        (Method::DELETE, "/healthz", 405),
        (Method::GET, PROJECTS, 401),
    ] {
        let client = server.anonymous();
        let reply = client.send(client.request(method, path)).await;
        assert_eq!(reply.status, status, "{path}");
        let header = |name: &str| reply.headers[name].to_str().expect("text").to_owned();
        assert!(header("x-request-id").starts_with("req_"));
        assert_eq!(header("openai-version"), "2020-10-01");
        assert!(header("openai-organization").starts_with("org-"));
        header("openai-processing-ms")
            .parse::<u64>()
            .expect("a number");
        ids.push(header("x-request-id"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn errors_of_the_edge_are_in_the_envelope() {
    let server = TestServer::builder()
        .config("[http]\nbody_limit = \"4KiB\"")
        .start()
        .await;
    let admin = server.admin();
    for path in [
        "/v1/nope",
        "/v1/organization/nope",
        "/v1/organization/projects/%ff",
    ] {
        let reply = admin.get(path).await;
        reply.error(404, None, Some("unknown_url"));
    }

    let reply = server.anonymous().delete("/healthz").await;
    reply.error(405, None, Some("method_not_allowed"));
    assert_eq!(reply.headers["allow"], "GET,HEAD");

    let post = || admin.request(Method::POST, PROJECTS);
    let reply = admin.send(post().body("{}")).await;
    reply.error(415, None, Some("unsupported_content_type"));

    let json = |text: &str| {
        post()
            .header("content-type", "application/json; charset=utf-8")
            .body(text.to_owned())
    };
    let reply = admin.send(json("{\n  \"name\": nope}")).await;
    let message = reply.error(400, None, Some("invalid_json"));
    assert!(message.contains("line 2 column"), "{message}");

    let reply = admin.send(json(r#"{"name": 7}"#)).await;
    reply.error(400, Some("name"), Some("invalid_type"));
    let reply = admin.send(json("{}")).await;
    reply.error(400, Some("name"), Some("missing_required_parameter"));
    let reply = admin.send(json(r#"{"name": "a", "nom": "b"}"#)).await;
    reply.error(400, Some("nom"), Some("unknown_parameter"));
    let reply = admin.get(&format!("{PROJECTS}?limit=x")).await;
    reply.error(400, Some("limit"), Some("invalid_type"));

    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(5000));
    let reply = admin.send(json(&long)).await;
    reply.error(413, None, Some("request_too_large"));
    // The same without a declared length.
    let chunks = futures::stream::iter(
        long.into_bytes()
            .chunks(512)
            .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
            .collect::<Vec<_>>(),
    );
    let request = post()
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(chunks));
    let reply = admin.send(request).await;
    reply.error(413, None, Some("request_too_large"));
}

#[tokio::test]
async fn a_log_line_tells_the_request_and_no_secret() {
    let server = TestServer::builder()
        .config("[log]\nformat = \"json\"")
        .start()
        .await;
    let admin = server.admin();
    let request = admin
        .request(Method::GET, "/v1/organization/projects?limit=1&x=hunter2")
        .header("x-client-request-id", "mine-1");
    let reply = admin.send(request).await;
    let id = reply.headers["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let line = server.wait_for_log(&id).await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("one JSON line");
    assert_eq!(line["route"], "/v1/organization/projects");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["status"], 400);
    assert_eq!(line["client_request_id"], "mine-1");
    assert_eq!(line["caller"], "key_bootstrap");
    assert_eq!(line["peer"], "127.0.0.1");
    assert_eq!(line["bytes"], reply.text.len());

    // A client's id is kept within bounds.
    let request = admin
        .request(Method::GET, PROJECTS)
        .header("x-client-request-id", "y".repeat(2000));
    let reply = admin.send(request).await;
    let id = reply.headers["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let line = server.wait_for_log(&id).await;
    assert!(line.contains(&"y".repeat(512)) && !line.contains(&"y".repeat(513)));

    let log = server.log();
    assert!(!log.contains("hunter2"), "{log}");
    assert!(!log.contains(ADMIN_KEY), "{log}");
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_path() {
    let server = TestServer::start().await;
    let admin = server.admin();
    admin.get("/v1/organization/projects/proj_unknown1").await;
    admin.get("/some/path/of/mine").await;
    let request = admin.request(Method::from_bytes(b"BREW").expect("a token"), "/healthz");
    admin.send(request).await;
    let text = server.anonymous().get("/metrics").await.ok().text;
    for line in [
        r#"waypost_http_requests_total{route="/v1/organization/projects/{project_id}",method="GET",status="404"} 1"#,
        r#"waypost_http_requests_total{route="",method="GET",status="404"} 1"#,
        r#"waypost_http_requests_total{route="/healthz",method="other",status="405"} 1"#,
        r#"waypost_jobs{state="queued"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("proj_unknown1") && !text.contains("BREW"),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn http_2_is_served_by_prior_knowledge() {
    let server = TestServer::start().await;
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .expect("a client");
    let reply = http
        .get(format!("{}/healthz", server.base_url))
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.version(), reqwest::Version::HTTP_2);
    assert_eq!(reply.text().await.expect("a body"), "ok\n");
}

#[tokio::test]
async fn tls_is_served_with_both_versions() {
    let signed =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, signed.cert.pem()).expect("written");
    std::fs::write(&key, signed.signing_key.serialize_pem()).expect("written");
    let server = TestServer::builder()
        .config(&format!("[tls]\ncert = {cert:?}\nkey = {key:?}"))
        .start()
        .await;
    assert!(
        server.base_url.starts_with("https://"),
        "{}",
        server.base_url
    );
    let url = format!(
        "{}/healthz",
        server.base_url.replace("127.0.0.1", "localhost")
    );
    for http1 in [true, false] {
        let mut builder =
            reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only(
                    [reqwest::Certificate::from_pem(signed.cert.pem().as_bytes())
                        .expect("a certificate")],
                );
        if http1 {
            builder = builder.http1_only();
        }
        let reply = builder
            .build()
            .expect("a client")
            .get(&url)
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.version() == reqwest::Version::HTTP_2, !http1);
        assert_eq!(reply.status(), 200);
    }
}

#[tokio::test]
async fn silent_clients_are_dropped() {
    let server = TestServer::builder()
        .config("[http]\nheader_timeout = \"300ms\"")
        .start()
        .await;
    let address = server.base_url.trim_start_matches("http://").to_owned();
    // Nothing; the start of HTTP/2's preface; half a head.
    for start in ["", "PRI", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(&address).expect("connected");
        stream.write_all(start.as_bytes()).expect("sent");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("set");
        let began = Instant::now();
        let mut got = Vec::new();
        // Closed, or reset, but not a timeout of ours.
        let _ = stream.read_to_end(&mut got);
        assert!(began.elapsed() < Duration::from_secs(5), "{start:?}");
    }
    server.anonymous().get("/healthz").await.ok();
}

#[tokio::test]
async fn a_body_that_never_comes_is_a_408() {
    let server = TestServer::builder()
        .config("[http]\nbody_timeout = \"300ms\"")
        .start()
        .await;
    let address = server.base_url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("connected");
    let head = format!(
        "POST {PROJECTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    let got = String::from_utf8_lossy(&got);
    assert!(
        got.starts_with("HTTP/1.1 408 ") && got.contains("request_timeout"),
        "{got}"
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = TestServer::builder()
        .config("[http]\nmax_connections = 2\nheader_timeout = \"500ms\"")
        .start()
        .await;
    let address = server.base_url.trim_start_matches("http://").to_owned();
    let held: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(&address).expect("connected"))
        .collect();
    let began = Instant::now();
    server.anonymous().get("/healthz").await.ok();
    assert!(began.elapsed() > Duration::from_millis(300));
    drop(held);
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_0() {
    let mut server = TestServer::builder()
        .config("shutdown_grace = \"2s\"")
        .start()
        .await;
    server.anonymous().get("/healthz").await.ok();
    // An idle connection and half a request must not hold it.
    let address = server.base_url.trim_start_matches("http://").to_owned();
    let _idle = TcpStream::connect(&address).expect("connected");
    let mut half = TcpStream::connect(&address).expect("connected");
    half.write_all(
        b"POST /v1/organization/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
    )
    .expect("sent");
    let began = Instant::now();
    let status = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut server = TestServer::builder()
        .config("shutdown_grace = \"60s\"\n[http]\nheader_timeout = \"60s\"")
        .start()
        .await;
    let address = server.base_url.trim_start_matches("http://").to_owned();
    let mut half = TcpStream::connect(&address).expect("connected");
    half.write_all(
        format!(
            "POST /v1/organization/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
        )
        .as_bytes(),
    )
    .expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    server.wait_for_log("draining").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal("INT");
    let began = Instant::now();
    let status = server.wait().await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(status.code(), Some(130), "{}", server.log());
}

#[tokio::test]
async fn readiness_names_its_parts() {
    let config = "[[upstreams]]\nname = \"away\"\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    let server = TestServer::builder().config(config).start().await;
    let reply = server.anonymous().get("/readyz").await.ok();
    assert_eq!(
        reply.json,
        json!({"ready": true, "parts": {
            "server": {"ready": true}, "store": {"ready": true}, "directory": {"ready": true},
            // A model server that is away is no reason to be taken out.
            "upstreams": {"ready": true, "details": [{"name": "away", "dialect": "generic",
                "known_by": "unsure", "reachable": false, "reason": "unreachable", "models": 0}]},
            "issuers": {"ready": true, "details":
                {"fetched": 0, "cannot_be_fetched": 0, "nothing_usable": 0}},
        }})
    );
}

#[tokio::test]
async fn the_root_is_a_page() {
    let server = TestServer::start().await;
    let reply = server.anonymous().get("/").await.ok();
    assert!(
        reply.headers["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("text/html"))
    );
    for said in [
        concat!("Waypost ", env!("CARGO_PKG_VERSION")),
        "/healthz",
        &format!("{}/v1", server.base_url),
        "docs",
    ] {
        assert!(reply.text.contains(said), "{said} in {}", reply.text);
    }
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_in_log_and_limits() {
    let server = TestServer::builder()
        .config("[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[identity]\nexchanges_per_client = 1")
        .start()
        .await;
    let exchange = async |address: &str| {
        let client = server.anonymous();
        let request = client
            .request(Method::POST, "/oauth/token")
            .header("x-forwarded-for", format!("6.6.6.6, {address}"))
            .json(&json!({}));
        client.send(request).await.status
    };
    // Two seconds' worth may come at once; one client's are not another's.
    let mut first = Vec::new();
    for _ in 0..10 {
        first.push(exchange("192.0.2.1").await);
    }
    assert!(first.contains(&429), "{first:?}");
    assert_ne!(exchange("192.0.2.2").await, 429);
    server.wait_for_log("peer=192.0.2.1").await;
    assert!(!server.log().contains("peer=6.6.6.6"));
}

#[tokio::test]
async fn nobody_is_believed_without_trusted_proxies() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let request = client
        .request(Method::GET, PROJECTS)
        .header("forwarded", "for=192.0.2.1")
        .header("x-forwarded-for", "192.0.2.1");
    assert_eq!(client.send(request).await.status, 401);
    server.wait_for_log("peer=127.0.0.1").await;
    assert!(!server.log().contains("192.0.2.1"));
}

#[tokio::test]
async fn listed_origins_may_call_and_read_headers() {
    let server = TestServer::builder()
        .config("[http]\ncors_origins = [\"https://app.example.com\"]")
        .start()
        .await;
    let preflight = async |origin: &str| {
        let client = server.anonymous();
        let request = client
            .request(Method::OPTIONS, "/v1/responses")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,x-stainless-lang",
            );
        client.send(request).await
    };
    let reply = preflight("https://app.example.com").await.ok();
    let header = |name: &str| reply.headers[name].to_str().expect("text").to_owned();
    assert_eq!(
        header("access-control-allow-origin"),
        "https://app.example.com"
    );
    assert!(header("access-control-allow-methods").contains("POST"));
    assert!(header("access-control-allow-headers").contains("x-stainless-lang"));
    assert!(header("x-request-id").starts_with("req_"));
    let other = preflight("https://evil.example.com").await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));

    // An error may be read too: that is what tells a page's author what to do.
    let client = server.client("sk-wrong");
    let request = client
        .request(Method::GET, "/v1/models")
        .header("origin", "https://app.example.com");
    let reply = client.send(request).await;
    assert_eq!(reply.status, 401);
    assert_eq!(
        reply.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    assert_eq!(reply.headers["access-control-expose-headers"], "*");
}

#[tokio::test]
async fn no_origin_may_call_by_default() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let request = client
        .request(Method::OPTIONS, "/v1/responses")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST");
    let reply = client.send(request).await;
    assert_eq!(reply.status, 405);
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
}

/// A client, or a load balancer, that keeps its connection longer than a head
/// may take. Every one of its requests is answered.
#[tokio::test]
async fn an_idle_connection_outlives_the_limit_of_a_head() {
    let server = TestServer::builder()
        .config("[http]\nheader_timeout = \"200ms\"\nkeep_alive_timeout = \"60s\"")
        .start()
        .await;
    let address = server.base_url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sent");
        let mut got = Vec::new();
        while !got.ends_with(b"ok\n") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).expect("readable");
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&piece[..read]);
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    // A head that was begun there has no more time than any other.
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\n")
        .expect("sent");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn idle_connections_of_both_versions_end_by_themselves() {
    let server = TestServer::builder()
        .config("[http]\nkeep_alive_timeout = \"300ms\"")
        .start()
        .await;
    for http2 in [false, true] {
        let mut builder = reqwest::Client::builder().no_proxy();
        if http2 {
            builder = builder.http2_prior_knowledge();
        }
        let http = builder.build().expect("a client");
        let url = format!("{}/metrics", server.base_url);
        for _ in 0..2 {
            let text = http.get(&url).send().await.expect("an answer");
            let text = text.text().await.expect("a body");
            assert!(text.contains("waypost_connections_open 1\n"), "{text}");
            // The client has noticed the end before it asks again.
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
    }
}

#[tokio::test]
async fn sighup_reads_certificate_and_level_again_and_keeps_what_works() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let renew = || {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("one");
        std::fs::write(&cert, signed.cert.pem()).expect("written");
        std::fs::write(&key, signed.signing_key.serialize_pem()).expect("written");
        signed.cert.pem()
    };
    let first = renew();
    let config = |level: &str| {
        format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n[log]\nlevel = \"{level}\"\n")
    };
    let server = TestServer::builder().config(&config("info")).start().await;
    let port = server
        .base_url
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let trusts = async |pem: &str| {
        let pem = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([pem]).no_proxy();
        let client = client.build().expect("a client");
        let answer = client
            .get(format!("https://localhost:{port}/healthz"))
            .send();
        answer.await.is_ok()
    };
    assert!(trusts(&first).await);
    let second = renew();
    let file = server.dir().join("waypost.toml");
    std::fs::write(&file, config("debug")).expect("written");
    server.signal("HUP");
    server.wait_for_log("the log level is `debug`").await;
    assert!(trusts(&second).await && !trusts(&first).await);
    server.wait_for_log("DEBUG").await;
    // A broken certificate, then a broken file.
    std::fs::write(&cert, "nothing").expect("written");
    server.signal("HUP");
    server.wait_for_log("the certificate stays as it is").await;
    std::fs::write(&file, "listen = 5").expect("written");
    server.signal("HUP");
    server.wait_for_log("all stays as it is").await;
    assert!(trusts(&second).await);
}
