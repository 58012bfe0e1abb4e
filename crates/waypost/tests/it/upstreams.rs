//! Routing to model servers, and how each is spoken to.

use std::{fs, net::TcpListener};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use waypost_testkit::{ScriptedUpstream, upstream::About};

use crate::{
    harness::{TestServer, waypost},
    support::{PATIENCE, answer_of, ended, output_text, until},
};

#[tokio::test]
async fn the_first_that_matches_serves_and_is_spoken_to_in_its_own_way() {
    let exact = ScriptedUpstream::start().await.expect("one");
    let prefix = ScriptedUpstream::start().await.expect("another");
    let config = format!(
        r#"
[[upstreams]]
name = "exact"
base_url = "{}/"
models = ["gpt-x"]
dialect = "openai"
api_key = "env:MODEL_KEY"
headers = {{ "x-team" = "blue" }}

[[upstreams]]
name = "prefix"
base_url = "{}"
models = ["gpt-*"]
"#,
        exact.base_url(),
        prefix.base_url()
    );
    let server = TestServer::builder()
        .config(&config)
        .env("MODEL_KEY", "sk-model-server")
        .start()
        .await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let body = |model: &str| {
        json!({"model": model, "input": [{"role": "developer", "content": "d"},
            {"role": "user", "content": "u"}], "max_output_tokens": 50, "prompt_cache_key": "k"})
    };
    client.post("/v1/responses", body("gpt-x")).await.ok();
    client.post("/v1/responses", body("gpt-y")).await.ok();
    let (one, two) = (exact.requests(), prefix.requests());
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_eq!(one[0].headers["authorization"], "Bearer sk-model-server");
    assert_eq!(one[0].headers["x-team"], "blue");
    let sent = one[0].json();
    assert_eq!(sent["max_completion_tokens"], 50);
    assert_eq!(sent["messages"][0]["role"], "developer");
    assert_eq!(sent["prompt_cache_key"], "k");
    assert!(!two[0].headers.contains_key("authorization"));
    assert!(!two[0].headers.contains_key("x-team"));
    let sent = two[0].json();
    assert_eq!(sent["max_tokens"], 50);
    assert_eq!(sent["messages"][0]["role"], "system");
    assert!(sent.get("prompt_cache_key").is_none());
    let log = server.log();
    assert!(
        !log.contains("sk-model-server") && !log.contains(&tenant.key),
        "a secret was logged"
    );
}

/// Of the servers that speak Responses, those of OpenAI and Azure know them.
#[tokio::test]
async fn what_is_meant_for_a_prompt_cache_goes_where_it_is_known() {
    let known = ScriptedUpstream::start().await.expect("one");
    let other = ScriptedUpstream::start().await.expect("another");
    let upstream = |name: &str, dialect: &str, url: &str| {
        format!(
            "[[upstreams]]\nname = \"{name}\"\nbase_url = \"{url}\"\nmodels = [\"{name}\"]\ndialect = \"{dialect}\"\napi = \"responses\"\n"
        )
    };
    let config = upstream("known", "openai", &known.base_url())
        + &upstream("other", "vllm", &other.base_url());
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let point = json!({"mode": "explicit"});
    let options = json!({"mode": "explicit", "ttl": "30m"});
    for model in ["known", "other"] {
        let body = json!({"model": model, "prompt_cache_options": options, "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "x", "prompt_cache_breakpoint": point}]},
        ]});
        let made = client.post("/v1/responses", body).await.ok().json;
        assert_eq!(made["prompt_cache_options"], options);
        let chat = json!({"model": model, "prompt_cache_options": options, "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "x", "prompt_cache_breakpoint": point}]},
        ]});
        client.post("/v1/chat/completions", chat).await.ok();
    }
    for (upstream, knows) in [(&known, true), (&other, false)] {
        for request in upstream.requests() {
            let sent = request.json();
            let part = &sent["input"][0]["content"][0];
            assert_eq!(part["text"], "x");
            let (at, all) = (
                part.get("prompt_cache_breakpoint"),
                sent.get("prompt_cache_options"),
            );
            assert_eq!(at, knows.then_some(&point), "{sent}");
            assert_eq!(all, knows.then_some(&options), "{sent}");
        }
    }
}

#[tokio::test]
async fn the_environment_names_one() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    for (api, route) in [
        ("chat", "/v1/chat/completions"),
        ("responses", "/v1/responses"),
    ] {
        let server = TestServer::builder()
            .env("WAYPOST_UPSTREAM_URL", &upstream.base_url())
            .env("WAYPOST_UPSTREAM_API", api)
            .env("WAYPOST_UPSTREAM_API_KEY", "sk-from-env")
            .start()
            .await;
        let tenant = server.project("p").await;
        let client = server.client(&tenant.key);
        let body = json!({"model": "anything?tokens=2", "input": "x"});
        client.post("/v1/responses", body).await.ok();
        let requests = upstream.requests();
        let last = requests.last().expect("a request");
        assert_eq!(last.route, route);
        assert_eq!(last.headers["authorization"], "Bearer sk-from-env");
    }
}

#[tokio::test]
async fn without_a_model_server_it_says_whose_turn_it_is() {
    // It looks at the usual local ports; a developer may have one there.
    for port in [11434, 8000, 8080, 1234] {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            eprintln!("SKIPPED: something listens on port {port} of this machine");
            return;
        }
    }
    let server = TestServer::start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    for background in [false, true] {
        let body = json!({"model": "any", "input": "x", "background": background});
        let reply = client.post("/v1/responses", body).await;
        let message = reply.error(503, None, Some("no_upstream"));
        assert!(message.contains("[[upstreams]]"), "{message}");
    }
    let body = json!({"model": "any", "messages": []});
    let reply = client.post("/v1/chat/completions", body).await;
    reply.error(503, None, Some("no_upstream"));
    let list = client.get("/v1/models").await.ok().json;
    assert_eq!(list["data"], json!([]));
}

/// What `/readyz` says of the upstream of that name.
async fn known(server: &TestServer, name: &str) -> Value {
    let ready = server.anonymous().get("/readyz").await.ok().json;
    let all = ready["parts"]["upstreams"]["details"].as_array().cloned();
    let mut all = all.unwrap_or_default().into_iter();
    all.find(|one| one["name"] == name).unwrap_or_default()
}

#[tokio::test]
async fn what_a_model_server_is_is_asked_of_it() {
    let llama = About::LlamaCpp {
        tools: true,
        chat_template: None,
        no_caps: false,
    };
    let mut config = String::new();
    let mut servers = Vec::new();
    for (name, about, dialect) in [
        ("a", About::Vllm, None),
        ("b", llama, None),
        ("c", About::Sglang, None),
        ("d", About::Tgi, None),
        ("e", About::Nobody, None),
        // What the operator says holds.
        ("f", About::Vllm, Some("generic")),
    ] {
        let upstream = ScriptedUpstream::start().await.expect("a model server");
        upstream.set_about(about);
        let url = upstream.base_url();
        let dialect = dialect.map(|dialect| format!("dialect = \"{dialect}\""));
        let dialect = dialect.unwrap_or_default();
        config.push_str("[[upstreams]]\n");
        config.push_str(
            &[
                format!("name = \"{name}\""),
                format!("base_url = \"{url}\""),
                format!("models = [\"{name}\"]\n{dialect}\n"),
            ]
            .join("\n"),
        );
        servers.push(upstream);
    }
    let server = TestServer::builder().config(&config).start().await;
    server.wait_for_log("open files").await;
    let log = server.log();
    for (name, dialect, known_by, said) in [
        (
            "a",
            "vllm",
            "asked",
            "vllm (by its /version and /v1/models)",
        ),
        ("b", "llama.cpp", "asked", "llama.cpp (by its /props)"),
        ("c", "sglang", "asked", "sglang (by its /get_model_info)"),
        ("d", "tgi", "asked", "tgi (by its /info)"),
        ("e", "generic", "unsure", "generic (it could not be told"),
        ("f", "generic", "configured", "generic (as configured)"),
    ] {
        let seen = known(&server, name).await;
        assert_eq!(seen["dialect"], dialect, "{seen}");
        assert_eq!(seen["known_by"], known_by, "{seen}");
        assert_eq!(
            (&seen["reachable"], &seen["models"]),
            (&json!(true), &json!(1))
        );
        let line = format!("model server {name} at http://127.0.0.1:");
        let found = log
            .lines()
            .any(|l| l.contains(&line) && l.contains(said) && l.contains("1 model"));
        assert!(found, "{name}: {said}\n{log}");
        let metrics = server.anonymous().get("/metrics").await.ok().text;
        let info = format!(
            "waypost_upstream_info{{upstream=\"{name}\",dialect=\"{dialect}\",known_by=\"{known_by}\"}} 1"
        );
        assert!(metrics.contains(&info), "{info}\n{metrics}");
    }
    // One that could not be told is asked again.
    servers[4].set_about(About::Vllm);
    until("the server is known", async || {
        known(&server, "e").await["dialect"] == "vllm"
    })
    .await;
    server.wait_for_log("is taken for vllm").await;
}

#[tokio::test]
async fn a_model_server_that_comes_later_is_found_later() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let server = TestServer::builder()
        .env("WAYPOST_UPSTREAM_URL", &format!("http://{address}/v1"))
        .start()
        .await;
    server
        .wait_for_log("does not list its models: the model server cannot be reached")
        .await;
    let seen = known(&server, "default").await;
    assert_eq!(seen["reachable"], json!(false));
    assert_eq!(seen["reason"], "unreachable");
    let metrics = server.anonymous().get("/metrics").await.ok().text;
    assert!(
        metrics.contains("waypost_upstream_up{upstream=\"default\"} 0"),
        "{metrics}"
    );

    let upstream = ScriptedUpstream::start_on(address, 100)
        .await
        .expect("the port is still free");
    upstream.set_about(About::Vllm);
    until("the server is found", async || {
        known(&server, "default").await["dialect"] == "vllm"
    })
    .await;
    server
        .wait_for_log("the model server answers now: dialect vllm")
        .await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let list = client.get("/v1/models").await.ok().json;
    assert_eq!(list["data"][0]["id"], "scripted");
}

#[tokio::test]
async fn an_alias_is_what_clients_read_and_not_what_the_server_is_asked_for() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let config = format!(
        "[[upstreams]]\nname = \"one\"\nbase_url = \"{}\"\nmodels = [\"real*\"]\naliases = {{ \"gpt-5.1-codex\" = \"real?tokens=3\" }}\n",
        upstream.base_url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let alias = "gpt-5.1-codex";
    let asked_for = || upstream.requests().last().expect("a request").json()["model"].clone();

    let response = client
        .post("/v1/responses", json!({"model": alias, "input": "x"}))
        .await
        .ok()
        .json;
    assert_eq!(response["model"], alias);
    assert!(!output_text(&response).is_empty());
    assert_eq!(asked_for(), "real?tokens=3");

    let body = json!({"model": alias, "messages": [{"role": "user", "content": "x"}]});
    let answer = client.post("/v1/chat/completions", body.clone()).await.ok();
    assert_eq!(answer.json["model"], alias, "{}", answer.text);
    assert_eq!(asked_for(), "real?tokens=3");
    let sent = upstream.requests().last().expect("a request").body.clone();
    let wanted = body.to_string().replace(alias, "real?tokens=3");
    assert_eq!(sent, wanted.as_bytes(), "nothing else changes");

    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let request = client.request(reqwest::Method::POST, "/v1/chat/completions");
    let text = client.send(request.json(&streamed)).await.ok().text;
    assert!(
        text.contains(&format!("\"{alias}\"")) && !text.contains("real?"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("[DONE]"), "{text}");

    // Not passed on: read and enforced here.
    let mut enforced = body;
    enforced["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "n",
        "schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": false}}});
    client.post("/v1/chat/completions", enforced).await;
    assert_eq!(asked_for(), "real?tokens=3");

    let list = client.get("/v1/models").await.ok().json;
    let ids: Vec<_> = list["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|m| m["id"].clone())
        .collect();
    assert!(ids.contains(&json!(alias)), "{ids:?}");
    client.get("/v1/models/gpt-5.1-codex").await.ok();
}

#[tokio::test]
async fn a_proxy_leads_to_the_model_server() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = proxy.local_addr().expect("an address");
    let asked = tokio::spawn(async move {
        let (mut stream, _) = proxy.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let body = r#"{"object":"list","data":[{"id":"far","object":"model"}]}"#;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await.expect("written");
        String::from_utf8(head).expect("a head of text")
    });
    let config = format!(
        "[[upstreams]]\nname = \"far\"\nbase_url = \"http://model.invalid/v1\"\ndialect = \"vllm\"\nproxy = \"http://user:hunter2@{address}\"\n"
    );
    let server = TestServer::builder().config(&config).start().await;
    let head = asked.await.expect("it was asked").to_ascii_lowercase();
    assert!(
        head.starts_with("get http://model.invalid/v1/models http/1.1"),
        "{head}"
    );
    assert!(head.contains("proxy-authorization: basic"), "{head}");
    assert_eq!(known(&server, "far").await["models"], 1);
    assert!(!server.log().contains("hunter2"));
}

#[tokio::test]
async fn certificates_of_ones_own_go_both_ways() {
    use std::sync::Arc;
    let make =
        || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (theirs, ours) = (make(), make());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ours.cert.der().clone()).expect("a root");
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .expect("a verifier");
    let key = rustls::pki_types::PrivateKeyDer::try_from(theirs.signing_key.serialize_der())
        .expect("a key");
    let tls = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![theirs.cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                head.push(byte);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 26\r\nconnection: close\r\n\r\n{\"data\":[{\"id\":\"secret\"}]}").await;
            let _ = stream.shutdown().await;
        }
    });
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).expect("written");
        dir.path().join(name).display().to_string()
    };
    let ca = write("ca.pem", theirs.cert.pem());
    let cert = write("cert.pem", ours.cert.pem());
    let key = write("key.pem", ours.signing_key.serialize_pem());
    let config = format!(
        "[[upstreams]]\nname = \"trusted\"\nbase_url = \"https://127.0.0.1:{port}/v1\"\ndialect = \"vllm\"\nca_file = \"{ca}\"\nclient_cert = \"{cert}\"\nclient_key = \"{key}\"\n\
         [[upstreams]]\nname = \"nameless\"\nbase_url = \"https://127.0.0.1:{port}/v1\"\ndialect = \"vllm\"\nca_file = \"{ca}\"\n\
         [[upstreams]]\nname = \"strange\"\nbase_url = \"https://127.0.0.1:{port}/v1\"\ndialect = \"vllm\"\n"
    );
    let server = TestServer::builder().config(&config).start().await;
    assert_eq!(
        known(&server, "trusted").await["reachable"],
        true,
        "{}",
        server.log()
    );
    assert_eq!(known(&server, "nameless").await["reachable"], false);
    assert_eq!(known(&server, "strange").await["reachable"], false);
}

/// The README's own way to start: nothing but a URL. The answer goes on although
/// the model server is away when Waypost comes back, so that nothing is known of
/// it at first.
#[tokio::test]
async fn an_answer_goes_on_after_a_crash_without_a_configured_dialect() {
    let llama = || About::LlamaCpp {
        tools: true,
        chat_template: None,
        no_caps: false,
    };
    let upstream = ScriptedUpstream::start().await.expect("one");
    upstream.set_about(llama());
    let address = upstream.address();
    let mut server = TestServer::builder()
        .env("WAYPOST_UPSTREAM_URL", &upstream.base_url())
        .start()
        .await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let model = "m?tokens=60&delay_ms=20";
    let body = json!({"model": model, "input": "x", "background": true});
    let created = client.post("/v1/responses", body).await.ok();
    let path = format!("/v1/responses/{}", created.text("id"));
    until("text is there", async || {
        let text = output_text(&client.get(&path).await.ok().json);
        text.split_whitespace().count() > 5
    })
    .await;
    server.kill9().await;
    drop(upstream);
    server.restart().await;
    let seen = known(&server, "default").await;
    assert_eq!(
        (&seen["known_by"], &seen["reachable"]),
        (&json!("unsure"), &json!(false))
    );
    let upstream = ScriptedUpstream::start_on(address, 100)
        .await
        .expect("its port");
    upstream.set_about(llama());
    let response = ended(&client, &created.text("id"), PATIENCE).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(output_text(&response), answer_of(model));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_can_be_tried_out_before_the_start() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    upstream.set_about(About::Vllm);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("waypost.toml");
    let config = format!(
        "data_dir = \"data\"\n[[upstreams]]\nname = \"here\"\nbase_url = \"{}\"\n",
        upstream.base_url()
    );
    fs::write(&file, &config).expect("written");
    let check = async || {
        let mut command = tokio::process::Command::from(waypost());
        command.args(["config", "check", "--connect", "--config"]);
        let output = command.arg(&file).output().await.expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said)
    };
    let (code, said) = check().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok: model server here at") && said.contains("vllm (by its"),
        "{said}"
    );
    assert!(said.contains("holds none yet"), "{said}");
    assert!(!dir.path().join("data").exists(), "nothing is made");

    let away = "[[upstreams]]\nname = \"away\"\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    fs::write(&file, config + away).expect("written");
    fs::create_dir(dir.path().join("data")).expect("made");
    fs::write(
        dir.path().join("data/waypost.db"),
        "not a database, and long enough to be looked at: ".repeat(4),
    )
    .expect("written");
    let (code, said) = check().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failed: model server away at"), "{said}");
    assert!(said.contains("failed: store: "), "{said}");
}
