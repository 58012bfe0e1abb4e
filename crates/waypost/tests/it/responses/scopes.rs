//! What a narrowed access token may do here: each scope opens its routes and no
//! other, and a lack is a 403, which clients do not answer with a new token.

use reqwest::Method;
use serde_json::{Value, json};
use waypost_testkit::Issuer;

use crate::{
    harness::Client,
    support::{World, id_of},
};

const PROVIDERS: &str = "/v1/organization/workload_identity_providers";
const AUDIENCE: &str = "https://waypost.test";

/// Routes with the scope that each needs.
fn routes(id: &str) -> Vec<(&'static str, Method, String, Option<Value>)> {
    let create = json!({"model": "chat?tokens=1", "input": "x"});
    let chat = json!({"model": "chat?tokens=1", "messages": []});
    let path = |rest: &str| format!("/v1/responses/{id}{rest}");
    vec![
        (
            "api.model.request",
            Method::POST,
            "/v1/responses".into(),
            Some(create),
        ),
        (
            "api.model.request",
            Method::POST,
            "/v1/chat/completions".into(),
            Some(chat),
        ),
        (
            "api.model.request",
            Method::POST,
            "/v1/embeddings".into(),
            Some(json!({"model": "chat", "input": "x"})),
        ),
        (
            "api.model.request",
            Method::POST,
            "/v1/completions".into(),
            Some(json!({"model": "chat", "prompt": "x"})),
        ),
        ("api.model.read", Method::GET, "/v1/models".into(), None),
        (
            "api.model.read",
            Method::GET,
            "/v1/models/scripted".into(),
            None,
        ),
        ("api.responses.read", Method::GET, path(""), None),
        (
            "api.responses.read",
            Method::GET,
            path("?stream=true"),
            None,
        ),
        (
            "api.responses.read",
            Method::GET,
            path("/input_items"),
            None,
        ),
        (
            "api.responses.write",
            Method::POST,
            path("/cancel"),
            Some(json!({})),
        ),
        ("api.responses.write", Method::DELETE, path(""), None),
    ]
}

#[tokio::test]
async fn each_scope_opens_its_own_routes() {
    let issuer = Issuer::start().await.expect("an issuer");
    let world = World::builder()
        .top(&format!(
            "[identity]\nallow_private_issuers = [\"{}\"]",
            issuer.url()
        ))
        .start()
        .await;
    let admin = world.server.admin();
    let provider = json!({"type": "oidc", "name": "cluster", "issuer": issuer.issuer(),
        "audience": AUDIENCE, "verification": {"type": "uploaded_jwks", "jwks": issuer.jwks()}});
    let provider = admin.post(PROVIDERS, provider).await.ok().text("id");
    let rules = format!("{PROVIDERS}/{provider}/federation_rules");
    let rule = json!({"project_id": world.tenant.project_id,
        "service_account_id": world.tenant.service_account_id,
        "attribute_matchers": {"sub": "job"}});
    let rule = admin.post(&rules, rule).await.ok().text("id");
    let exchange = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": issuer.token("job", AUDIENCE, 3600),
        "identity_provider_id": provider,
        "service_account_id": world.tenant.service_account_id,
    });
    for held in [
        "api.model.request",
        "api.model.read",
        "api.responses.read",
        "api.responses.write",
    ] {
        let permissions = json!({"permissions": {"type": "restricted", "scopes": [held]}});
        admin
            .post(&format!("{rules}/{rule}"), permissions)
            .await
            .ok();
        let token = admin.post("/oauth/token", exchange.clone()).await.ok();
        let client: Client = world.server.client(&token.text("access_token"));
        let id = world.background_streamable("chat?tokens=2").await;
        world.ended(&id).await;
        for (needed, method, path, body) in routes(&id) {
            let mut request = client.request(method.clone(), &path);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let reply = client.send(request).await;
            let what = format!("{method} {path} with {held}: {}", reply.text);
            if held == needed {
                // Cancelling what has ended is refused for that reason.
                let settled = path.ends_with("/cancel") && reply.status == 400;
                assert!(reply.status == 200 || settled, "{what}");
            } else {
                let message = reply.error(403, None, Some("missing_scope"));
                assert!(message.contains(needed), "{what}");
            }
        }
        // Creating does not imply retrieving one's own.
        if held == "api.model.request" {
            let body = json!({"model": "chat?tokens=1", "input": "x"});
            let own = id_of(&client.post("/v1/responses", body).await.ok().json);
            let reply = client.get(&format!("/v1/responses/{own}")).await;
            reply.error(403, None, Some("missing_scope"));
        }
    }
}
