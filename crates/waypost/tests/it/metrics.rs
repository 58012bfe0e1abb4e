//! `/metrics`: documented, bounded, on its own address where that is wanted, and
//! what the dashboard and the alerts ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use regex::Regex;
use serde_json::{Value, json};

use crate::{harness::TestServer, support::World};

/// A metric: its type and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect(path)
}

/// What an exposition has; labels as far as there are samples.
fn exposed(text: &str) -> Families {
    let mut families = Families::new();
    let label = Regex::new(r#"([a-z_]+)=""#).expect("an expression");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            let known = families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert!(known.is_none(), "{name} is there twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let (labels, _) = line.rsplit_once('}').unwrap_or(("", ""));
            let family = family_of(name, &families).unwrap_or_else(|| panic!("no type: {line}"));
            let names = label.captures_iter(labels).map(|found| found[1].to_owned());
            let known = &mut families.get_mut(&family).expect("just found").1;
            known.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

/// The family of a sample's name.
fn family_of(name: &str, families: &Families) -> Option<String> {
    if families.contains_key(name) {
        return Some(name.to_owned());
    }
    ["_total", "_info", "_bucket", "_count", "_sum"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|name| families.contains_key(*name))
        .map(str::to_owned)
}

/// The table of `docs/metrics.md`.
fn documented() -> Families {
    let mut families = Families::new();
    for row in read("docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `"))
    {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, _] = cells[..] else {
            panic!("a row of four cells: {row}")
        };
        assert!(!meaning.is_empty(), "{row}");
        let name = name.trim_matches('`');
        let family = match kind {
            "counter" => name.strip_suffix("_total").expect("counters end in _total"),
            "info" => name.strip_suffix("_info").expect("infos end in _info"),
            _ => name,
        };
        let labels = labels
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        families.insert(family.to_owned(), (kind.to_owned(), labels.collect()));
    }
    families
}

/// A server at which everything has happened that can be made to happen here.
async fn busy_server() -> World {
    let world = World::start().await;
    let client = world.client();
    for (path, body) in [
        (
            "/v1/responses",
            json!({"model": "chat?tokens=3&usage=last", "input": "x"}),
        ),
        (
            "/v1/responses",
            json!({"model": "chat?status=500", "input": "x"}),
        ),
        (
            "/v1/responses",
            json!({"model": "chat?tools=1", "input": "x",
            "tools": [{"type": "function", "name": "get_weather", "parameters": {}}]}),
        ),
        (
            "/v1/responses",
            json!({"model": "chat?tokens=1", "input": "x", "tools": [{"type": "web_search"}]}),
        ),
        ("/v1/nope", json!({})),
    ] {
        client.post(path, body).await;
    }
    let id = world.background("chat?tokens=3").await;
    world.ended(&id).await;
    let anonymous = world.server.anonymous();
    anonymous.get("/v1/models").await;
    anonymous
        .post("/oauth/token", json!({"grant_type": "x"}))
        .await;
    world
}

#[tokio::test]
async fn every_metric_is_documented_with_type_and_labels() {
    let world = busy_server().await;
    let text = world.server.anonymous().get("/metrics").await.ok().text;
    let (exposed, documented) = (exposed(&text), documented());
    let names = |families: &Families| families.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&exposed),
        names(&documented),
        "docs/metrics.md and the server differ"
    );
    for (name, (kind, labels)) in &exposed {
        let (documented_kind, documented_labels) = &documented[name];
        assert_eq!(kind, documented_kind, "{name}");
        if !labels.is_empty() {
            assert_eq!(labels, documented_labels, "{name}");
        }
    }
    for name in [
        "waypost_tokens",
        "waypost_upstream_request_seconds",
        "waypost_upstream_first_token_seconds",
        "waypost_upstream_errors",
        "waypost_authentication_failures",
        "waypost_tool_schemas",
    ] {
        assert!(!exposed[name].1.is_empty(), "{name} has no sample\n{text}");
    }
    let value = |line: &str| -> f64 {
        let found = text.lines().find_map(|l| l.strip_prefix(line)).expect(line);
        found.trim().parse().expect("a number")
    };
    assert!(value("waypost_store_size_bytes ") > 0.0);
    assert!(value("process_resident_memory_bytes ") > 1e6);
    assert!(value("process_open_fds ") > 3.0 && value("process_threads ") > 1.0);
    assert!(value("process_cpu_seconds_total ") > 0.0);
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "waypost_upstream_slots{upstream=\"chat\"} 64\n".to_owned(),
        format!("waypost_build_info{{version=\"{version}\"}} 1\n"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_model_is_a_label_only_when_it_answered_and_at_most_two_hundred_are() {
    let world = World::start().await;
    let client = world.client();
    for n in 0..3 {
        let body = json!({"model": format!("invented-{n}?status=500"), "input": "x"});
        client.post("/v1/responses", body).await;
    }
    for n in 0..210 {
        let body = json!({"model": format!("answers-{n}"), "input": "x"});
        client.post("/v1/embeddings", body).await.ok();
    }
    let text = world.server.anonymous().get("/metrics").await.ok().text;
    assert!(!text.contains("invented"), "{text}");
    let count = |upstream: &str| {
        let start = format!("waypost_upstream_request_seconds_count{{upstream=\"{upstream}\"");
        text.lines().filter(|line| line.starts_with(&start)).count()
    };
    assert_eq!(count("chat"), 201);
    let rest = "waypost_upstream_request_seconds_count{upstream=\"chat\",model=\"other\"} 10";
    assert!(text.contains(rest), "{text}");
}

#[tokio::test]
async fn the_age_of_the_queue_is_told() {
    let world = World::builder().max_concurrent(1).start().await;
    let metric = async || {
        let text = world.server.anonymous().get("/metrics").await.ok().text;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("waypost_queue_oldest_job_created_seconds "))
            .expect("the metric")
            .to_owned();
        line.parse::<f64>().expect("a number")
    };
    assert!(metric().await < 1.0);
    let running = world.background("chat?stall_after=1").await;
    world.running(&running).await;
    let waiting = world.background("chat?tokens=2").await;
    let created = world.get(&waiting).await.ok().json["created_at"].as_f64();
    let created = created.expect("a time");
    let told = metric().await;
    assert!((created..created + 1.0).contains(&told), "{told} {created}");
}

#[tokio::test]
async fn metrics_may_have_an_address_of_their_own() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let mut server = TestServer::builder()
        .config(&format!("metrics_listen = \"127.0.0.1:{port}\""))
        .start()
        .await;
    let own = format!("http://127.0.0.1:{port}");
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{own}{path}"))
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
        )
    };
    assert!(get("/metrics").await.1.contains("waypost_build_info"));
    assert_eq!(get("/healthz").await.0, 200);
    assert_eq!(get("/readyz").await.0, 200);
    assert_eq!(get("/v1/models").await.0, 404);
    server
        .anonymous()
        .get("/metrics")
        .await
        .error(404, None, Some("unknown_url"));
    server
        .wait_for_log(&format!("metrics: {own}/metrics"))
        .await;
    assert!(server.terminate().await.success());
}

/// The queries of the dashboard and of the alert rules, each with where it is.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/waypost.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut queries = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            let query = target["expr"].as_str().expect("a query");
            queries.push((title.to_owned(), query.replace("$__rate_interval", "5m")));
        }
    }
    assert!(queries.len() > 20);
    queries
}

#[tokio::test]
async fn dashboard_and_alerts_ask_only_for_what_is_exposed() {
    let world = busy_server().await;
    let text = world.server.anonymous().get("/metrics").await.ok().text;
    let families = exposed(&text);
    let name = Regex::new(r"\b(?:waypost|process)_[a-z_]+\b").expect("an expression");
    let alerts = read("deploy/prometheus/alerts.yaml");
    let all = queries().into_iter().chain([("alerts".to_owned(), alerts)]);
    for (place, query) in all {
        let mut names = name.find_iter(&query).peekable();
        assert!(
            names.peek().is_some(),
            "{place} asks for nothing of ours: {query}"
        );
        for name in names {
            let family = family_of(name.as_str(), &families);
            assert!(
                family.is_some(),
                "{place} asks for {}, which is not there",
                name.as_str()
            );
        }
    }
}

#[test]
fn dashboard_and_alerts_are_valid_queries() {
    let promtool = |arguments: &[&str]| Command::new("promtool").args(arguments).output();
    if promtool(&["--version"]).is_err() {
        assert!(
            std::env::var("WAYPOST_TEST_REQUIRE_ALL").is_err(),
            "promtool is missing (Debian's package prometheus)"
        );
        eprintln!("SKIPPED: promtool is missing (Debian's package prometheus)");
        return;
    }
    // A query is checked as a recording rule.
    let rules: Vec<Value> = queries()
        .into_iter()
        .enumerate()
        .map(|(n, (_, query))| json!({"record": format!("query:{n}"), "expr": query}))
        .collect();
    let dashboard = tempfile::NamedTempFile::new().expect("a file");
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(dashboard.path(), rules.to_string()).expect("written");
    let alerts = repository().join("deploy/prometheus/alerts.yaml");
    for file in [dashboard.path(), &alerts] {
        let path = file.to_str().expect("UTF-8");
        let checked = promtool(&["check", "rules", path]).expect("it runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{path}: {said}");
    }
}
