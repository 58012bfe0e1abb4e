//! Token exchange, revocation, and what this issuer publishes.

use reqwest::Method;
use serde_json::{Value, json};
use waypost_testkit::Issuer;

use super::Tape;
use crate::harness::TestServer;

#[tokio::test]
async fn exchanges() {
    let issuer = Issuer::start().await.expect("an issuer");
    let config = format!(
        "[identity]\nallow_private_issuers = [\"{}\"]\n",
        issuer.url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let places = [
        (server.base_url.clone(), "http://waypost"),
        (issuer.url(), "http://issuer"),
    ];
    let places = places.each_ref().map(|(from, to)| (from.as_str(), *to));
    let mut tape = Tape::new("identity", &places);
    let tenant = server.project("reports").await;
    let (admin, nobody) = (server.admin(), server.anonymous());
    let providers = "/v1/organization/workload_identity_providers";
    let audience = "https://api.openai.com/v1";
    let provider = json!({"type": "oidc", "name": "cluster", "issuer": issuer.issuer(),
        "audience": audience});
    let provider = admin.post(providers, provider).await.ok().text("id");
    let rule = json!({"project_id": tenant.project_id,
        "service_account_id": tenant.service_account_id,
        "attribute_matchers": {"sub": "system:serviceaccount:prod:*"}});
    let rules = format!("{providers}/{provider}/federation_rules");
    admin.post(&rules, rule).await.ok();

    let subject = "system:serviceaccount:prod:reporter";
    let request = |token: &str| -> Value {
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": token,
            "identity_provider_id": provider,
            "service_account_id": tenant.service_account_id,
        })
    };
    let token = "/oauth/token";
    let good = issuer.token(subject, audience, 3600);
    let reply = tape.post(&nobody, token, request(&good)).await.ok();
    let access_token = reply.text("access_token");
    for bad in [
        issuer.token(subject, audience, -3600),
        issuer.token(subject, "another", 3600),
        issuer.token("another", audience, 3600),
        "no token".to_owned(),
    ] {
        tape.post(&nobody, token, request(&bad)).await;
    }
    for (field, value) in [
        ("identity_provider_id", json!("wip_none")),
        ("service_account_id", json!("svc_acct_none")),
        ("grant_type", json!("password")),
        ("subject_token", Value::Null),
        (
            "requested_token_type",
            json!("urn:ietf:params:oauth:token-type:saml2"),
        ),
    ] {
        let mut body = request(&good);
        body[field] = value;
        tape.post(&nobody, token, body).await;
    }
    tape.send(&nobody, Method::POST, token, Some("{"), &[])
        .await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ] {
        tape.get(&nobody, path).await;
    }
    let workload = server.client(&access_token);
    tape.get(&workload, "/v1/models").await;
    tape.get(&workload, "/v1/organization/projects").await;
    let revoke = json!({"token": access_token});
    tape.post(&nobody, "/oauth/revoke", revoke).await;
    tape.get(&workload, "/v1/models").await;
    tape.post(&nobody, "/oauth/revoke", json!({})).await;
    for prefix in ["/v1", "/auth/v1"] {
        tape.post(&nobody, &format!("{prefix}/oauth/token"), json!({}))
            .await;
        tape.post(&nobody, &format!("{prefix}/oauth/revoke"), json!({}))
            .await;
    }
    tape.compare();
}
