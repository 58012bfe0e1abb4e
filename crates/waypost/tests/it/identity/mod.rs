//! Token exchange and access tokens, from outside: a scripted issuer, the real
//! server, and nothing between them but HTTP.

mod access_tokens;
mod config_check;
mod discovery;
mod exchange;
mod recipes;
mod refusals;
mod signing_keys;
mod wellknown;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use waypost_testkit::Issuer;

use crate::harness::{Client, Reply, Tenant, TestServer};

/// What the rules of these tests admit.
const SUBJECT: &str = "system:serviceaccount:prod:reporter";
const AUDIENCE: &str = "https://api.openai.com/v1";
const PROVIDERS: &str = "/v1/organization/workload_identity_providers";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// A server that trusts an issuer, and a rule for one service account.
struct World {
    server: TestServer,
    /// Without a credential. Kept: making one reads all root certificates.
    client: Client,
    issuer: Issuer,
    tenant: Tenant,
    provider_id: String,
    rule_id: String,
}

impl World {
    /// Keys by discovery, with the issuer's origin allowed.
    async fn discovering() -> Self {
        Self::with("key_refresh_cooldown = \"500ms\"", None).await
    }

    /// Keys uploaded: no fetch at all.
    async fn uploaded() -> Self {
        let issuer = Issuer::start().await.expect("an issuer");
        let verification = json!({"type": "uploaded_jwks", "jwks": issuer.jwks()});
        Self::of(issuer, "", Some(verification), &[]).await
    }

    async fn with(identity: &str, verification: Option<Value>) -> Self {
        let issuer = Issuer::start().await.expect("an issuer");
        Self::of(issuer, identity, verification, &[]).await
    }

    /// `origins` are allowed beside the issuer's.
    async fn of(
        issuer: Issuer,
        identity: &str,
        verification: Option<Value>,
        origins: &[&str],
    ) -> Self {
        let issuer_url = issuer.url();
        let allowed = [&[issuer_url.as_str()], origins].concat();
        let server = TestServer::builder()
            .config(&format!(
                "[identity]\nallow_private_issuers = {allowed:?}\n{identity}"
            ))
            .start()
            .await;
        let tenant = server.project("reports").await;
        let mut provider = json!({
            "type": "oidc",
            "name": "cluster",
            "issuer": issuer.issuer(),
            "audience": AUDIENCE,
        });
        if let Some(verification) = verification {
            provider["verification"] = verification;
        }
        let admin = server.admin();
        let provider_id = admin.post(PROVIDERS, provider).await.ok().text("id");
        let rule = json!({
            "project_id": tenant.project_id,
            "service_account_id": tenant.service_account_id,
            "attribute_matchers": {"sub": "system:serviceaccount:prod:*"},
        });
        let rules = format!("{PROVIDERS}/{provider_id}/federation_rules");
        let rule_id = admin.post(&rules, rule).await.ok().text("id");
        Self {
            client: server.anonymous(),
            server,
            issuer,
            tenant,
            provider_id,
            rule_id,
        }
    }

    /// A good token of the issuer, for an hour.
    fn subject_token(&self) -> String {
        self.issuer.token(SUBJECT, AUDIENCE, 3600)
    }

    /// The body that the SDKs send.
    fn request(&self, subject_token: &str) -> Value {
        json!({
            "grant_type": GRANT,
            "subject_token_type": JWT,
            "subject_token": subject_token,
            "identity_provider_id": self.provider_id,
            "service_account_id": self.tenant.service_account_id,
        })
    }

    async fn exchange(&self, subject_token: &str) -> Reply {
        self.send(self.request(subject_token)).await
    }

    async fn send(&self, body: Value) -> Reply {
        self.client.post("/oauth/token", body).await
    }

    /// Exchanges a good token.
    async fn access_token(&self) -> String {
        let reply = self.exchange(&self.subject_token()).await.ok();
        reply.text("access_token")
    }

    /// A client with a fresh access token.
    async fn workload(&self) -> Client {
        self.server.client(&self.access_token().await)
    }

    fn provider_path(&self) -> String {
        format!("{PROVIDERS}/{}", self.provider_id)
    }

    fn rule_path(&self) -> String {
        format!("{}/federation_rules/{}", self.provider_path(), self.rule_id)
    }

    fn account_path(&self) -> String {
        format!(
            "/v1/organization/projects/{}/service_accounts/{}",
            self.tenant.project_id, self.tenant.service_account_id
        )
    }

    async fn admin_post(&self, path: &str, body: Value) -> Reply {
        self.server.admin().post(path, body).await.ok()
    }

    /// How many exchanges `/metrics` counts with this reason.
    async fn counted(&self, reason: &str) -> u64 {
        let metrics = self.client.get("/metrics").await.ok().text;
        let label = format!("waypost_token_exchanges_total{{reason=\"{reason}\"}} ");
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(&label)?.parse().ok())
            .unwrap_or(0)
    }

    /// The audit events of a type, once there are as many.
    async fn audited(&self, event_type: &str, count: usize) -> Vec<Value> {
        let path = format!("/v1/organization/audit_logs?event_types[]={event_type}&limit=100");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let reply = self.server.admin().get(&path).await.ok();
            let events = reply.json["data"].as_array().expect("a list").clone();
            if events.len() >= count {
                return events;
            }
            assert!(Instant::now() < deadline, "{}", reply.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether a credential is taken: any route of a project will do.
async fn is_accepted(workload: &Client) -> bool {
    match workload.get("/v1/models").await.status {
        200 => true,
        401 => false,
        other => panic!("an answer {other}"),
    }
}

/// Checks a token endpoint's error; the description.
fn assert_oauth_error(reply: &Reply, status: u16, error: &str) -> String {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(reply.json["error"], error, "{}", reply.text);
    let keys: Vec<_> = reply.json.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["error", "error_description"]);
    assert_uncached(reply);
    let retry = reply.headers.get("retry-after").is_some();
    assert_eq!(retry, status == 429 || status == 503, "{reply:?}");
    reply.text("error_description")
}

fn assert_uncached(reply: &Reply) {
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["pragma"], "no-cache");
    assert!(reply.headers.contains_key("x-request-id"));
}

/// A form body.
async fn post_form(client: &Client, path: &str, body: String) -> Reply {
    let request = client
        .request(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    client.send(request).await
}
