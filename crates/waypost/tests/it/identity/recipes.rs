//! The recipes of `docs/identity.md`, with what the document itself tells to
//! send, and tokens of the shape that the platforms make.

use serde_json::{Map, Value, json};
use waypost_testkit::{
    Issuer, ScriptedUpstream,
    issuer::{Alg, Fault, IssuerOptions, now},
};

use super::{PROVIDERS, World, assert_oauth_error, post_form};
use crate::harness::{Client, Reply};

const DOCUMENT: &str = include_str!("../../../../../docs/identity.md");

/// The JSON blocks below a heading of the document.
fn blocks(heading: &str) -> Vec<Value> {
    let start = DOCUMENT
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"))
        .1;
    let section = start.split("\n## ").next().unwrap_or(start);
    let section = section.split("\n### ").next().unwrap_or(section);
    section
        .split("```json\n")
        .skip(1)
        .map(|block| {
            let json = block.split("```").next().unwrap_or(block);
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
        })
        .collect()
}

/// A server with a model server, and an issuer whose tokens are made by hand.
struct Recipe {
    world: World,
    _upstream: ScriptedUpstream,
}

impl Recipe {
    async fn of(issuer: Option<&str>) -> Self {
        let upstream = ScriptedUpstream::start().await.expect("a model server");
        let issuer = Issuer::start_with(IssuerOptions {
            alg: Alg::RS256,
            issuer: issuer.map(str::to_owned),
            ..IssuerOptions::default()
        });
        let config = format!(
            "key_refresh_cooldown = \"100ms\"\n[[upstreams]]\nname = \"models\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n",
            upstream.base_url()
        );
        let verification = json!({"type": "uploaded_jwks", "jwks": Issuer::start().await.expect("another").jwks()});
        let issuer = issuer.await.expect("an issuer");
        Self {
            world: World::of(issuer, &config, Some(verification), &[]).await,
            _upstream: upstream,
        }
    }

    /// Provider and rule as the document has them; the provider's id.
    async fn set_up(&self, provider: Value, mut rule: Value) -> String {
        let world = &self.world;
        let id = world.admin_post(PROVIDERS, provider).await.text("id");
        rule["project_id"] = json!(world.tenant.project_id);
        rule["service_account_id"] = json!(world.tenant.service_account_id);
        world
            .admin_post(&format!("{PROVIDERS}/{id}/federation_rules"), rule)
            .await;
        id
    }

    /// As `curl --data-urlencode subject_token@FILE` sends it: with the file's
    /// last newline.
    async fn exchange(&self, provider: &str, token: &str) -> Reply {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let mut body = self.world.request(&format!("{token}\n"));
        body["identity_provider_id"] = json!(provider);
        for (name, value) in body.as_object().expect("an object") {
            form.append_pair(name, value.as_str().expect("text"));
        }
        post_form(&self.world.client, "/oauth/token", form.finish()).await
    }

    fn sign(&self, header: Value, claims: &Value) -> String {
        let Value::Object(header) = header else {
            unreachable!("headers are objects");
        };
        self.world.issuer.key().sign_with_header(&header, claims)
    }
}

/// Creates a background response, waits for it, and takes its events up again.
async fn works(workload: &Client) {
    let body =
        json!({"model": "scripted?tokens=3", "input": "x", "background": true, "stream": true});
    let events = workload.post("/v1/responses", body).await.ok().text;
    let id = events
        .split_once("\"id\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .unwrap_or_else(|| panic!("no id: {events}"))
        .0;
    let path = format!("/v1/responses/{id}");
    for _ in 0..400 {
        let response = workload.get(&path).await.ok().json;
        if response["status"] == "completed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let resumed = workload
        .get(&format!("{path}?stream=true&starting_after=1"))
        .await
        .ok();
    assert!(
        resumed.text.contains("response.completed"),
        "{}",
        resumed.text
    );
    // Enough for that, and for nothing else.
    let cancel = workload.post(&format!("{path}/cancel"), json!({})).await;
    cancel.error(403, None, Some("missing_scope"));
}

/// A projected token, as the documentation of Kubernetes shows one.
fn pod_token(issuer: &str, audience: &str) -> Value {
    let iat = now();
    json!({
        "aud": [audience],
        "exp": iat + 3607,
        "iat": iat,
        "iss": issuer,
        "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
        "kubernetes.io": {
            "namespace": "prod",
            "node": {"name": "node-1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
            "pod": {"name": "reporter-69cbfb9798-jv9gn",
                "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
            "serviceaccount": {"name": "reporter",
                "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
            "warnafter": iat + 3607,
        },
        "nbf": iat,
        "sub": "system:serviceaccount:prod:reporter",
    })
}

/// The API server signs without `typ`.
fn pod_header() -> Value {
    json!({"typ": null})
}

#[tokio::test]
async fn kubernetes_by_discovery() {
    let recipe = Recipe::of(None).await;
    let issuer = recipe.world.issuer.issuer();
    let [mut provider, rule] = blocks("Kubernetes").try_into().expect("two blocks");
    let audience = provider["audience"].as_str().expect("text").to_owned();
    provider["issuer"] = json!(issuer);
    let id = recipe.set_up(provider, rule).await;
    let token = recipe.sign(pod_header(), &pod_token(&issuer, &audience));
    let access = recipe.exchange(&id, &token).await.ok().text("access_token");
    works(&recipe.world.server.client(&access)).await;

    let mut other = pod_token(&issuer, &audience);
    other["sub"] = json!("system:serviceaccount:prod:other");
    let refused = recipe
        .exchange(&id, &recipe.sign(pod_header(), &other))
        .await;
    assert_oauth_error(&refused, 401, "invalid_grant");
}

/// An API server that shows its keys to nobody without a login.
#[tokio::test]
async fn kubernetes_with_uploaded_keys() {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let recipe = Recipe::of(Some(issuer)).await;
    let world = &recipe.world;
    world.issuer.fail_discovery(Fault::Status(401));
    world.issuer.fail_jwks(Fault::Status(401));
    let [mut provider, rule] = blocks("Kubernetes").try_into().expect("two blocks");
    let audience = provider["audience"].as_str().expect("text").to_owned();
    provider["issuer"] = json!(issuer);
    provider["verification"] = json!({"type": "discovery", "discovery_url": world.issuer.url()});
    let id = recipe.set_up(provider, rule).await;
    let token = recipe.sign(pod_header(), &pod_token(issuer, &audience));
    let refused = recipe.exchange(&id, &token).await;
    assert_oauth_error(&refused, 503, "temporarily_unavailable");
    let log = world.server.wait_for_log("keys_unavailable").await;
    assert!(log.contains("answered 401"), "{log}");

    // `kubectl get --raw /openid/v1/jwks`
    let keys = json!({"verification": {"type": "uploaded_jwks", "jwks": world.issuer.jwks()}});
    world.admin_post(&format!("{PROVIDERS}/{id}"), keys).await;
    let before = world.issuer.fetches();
    let access = recipe.exchange(&id, &token).await.ok().text("access_token");
    works(&world.server.client(&access)).await;
    assert_eq!(
        world.issuer.fetches(),
        before,
        "uploaded keys are not fetched"
    );
}

/// A token as the documentation of GitHub Actions shows one.
fn job_token(audience: &str) -> Value {
    let iat = now();
    json!({
        "jti": "example-id",
        "sub": "repo:octo-org/octo-repo:environment:prod",
        "environment": "prod",
        "aud": audience,
        "ref": "refs/heads/main",
        "sha": "example-sha",
        "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org",
        "actor_id": "12",
        "repository_visibility": "private",
        "repository_id": "74",
        "repository_owner_id": "65",
        "run_id": "example-run-id",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "workflow": "example-workflow",
        "head_ref": "",
        "base_ref": "",
        "event_name": "workflow_dispatch",
        "ref_type": "branch",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "iss": "https://token.actions.githubusercontent.com",
        "nbf": iat - 600,
        "exp": iat + 300,
        "iat": iat,
    })
}

#[tokio::test]
async fn github_actions() {
    let [mut provider, rule] = blocks("GitHub Actions").try_into().expect("two blocks");
    let issuer = provider["issuer"].as_str().expect("text").to_owned();
    let audience = provider["audience"].as_str().expect("text").to_owned();
    let recipe = Recipe::of(Some(&issuer)).await;
    // The tests reach no network: the document is found at the scripted issuer.
    let discovery_url = recipe.world.issuer.url();
    provider["verification"] = json!({"type": "discovery", "discovery_url": discovery_url});
    let id = recipe.set_up(provider, rule).await;
    let header = || json!({"typ": "JWT", "x5t": "example-thumbprint"});
    let token = recipe.sign(header(), &job_token(&audience));
    let reply = recipe.exchange(&id, &token).await.ok();
    // No longer than the job's token.
    assert!(reply.json["expires_in"].as_i64().expect("a number") <= 300);
    works(&recipe.world.server.client(&reply.text("access_token"))).await;

    for (claim, value) in [("environment", "dev"), ("repository_id", "75")] {
        let mut claims = job_token(&audience);
        claims[claim] = json!(value);
        let refused = recipe.exchange(&id, &recipe.sign(header(), &claims)).await;
        assert_oauth_error(&refused, 401, "invalid_grant");
    }
    // What an operator reads: the audit log says what was expected and what came.
    let events = recipe.world.audited("waypost.token.refused", 2).await;
    let details: Vec<_> = events
        .iter()
        .map(|event| event["waypost.token.refused"]["detail"].to_string())
        .collect();
    let details = details.join("\n");
    for shown in ["environment", "dev", "repository_id", "75", "74"] {
        assert!(details.contains(shown), "{shown}: {details}");
    }
    let reasons: Map<String, Value> = events
        .iter()
        .map(|event| &event["waypost.token.refused"]["reason"])
        .map(|reason| (reason.as_str().expect("text").to_owned(), json!(1)))
        .collect();
    assert_eq!(reasons.keys().collect::<Vec<_>>(), ["rule_mismatch"]);
}

/// The list of scopes is what the server knows and asks for.
#[tokio::test]
async fn every_scope_is_documented() {
    let world = World::uploaded().await;
    let document = world.client.get("/.well-known/openid-configuration").await;
    for scope in document.ok().json["scopes_supported"]
        .as_array()
        .expect("a list")
    {
        let row = format!("| `{}` |", scope.as_str().expect("text"));
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
