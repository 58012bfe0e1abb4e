//! `/v1/organization/workload_identity_providers`

use serde_json::{Value, json};

use crate::harness::TestServer;

const PATH: &str = "/v1/organization/workload_identity_providers";

/// A P-256 public key; the private half is nobody's.
fn jwks() -> Value {
    json!({"keys": [{
        "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }]})
}

fn body(extra: &Value) -> Value {
    let mut body = json!({
        "name": "prod", "type": "oidc", "audience": "https://api.openai.com/v1",
        "issuer": "https://issuer.example.com",
    });
    let fields = body.as_object_mut().expect("an object");
    for (key, value) in extra.as_object().expect("an object") {
        if value.is_null() && key != "verification" && key != "enabled" {
            fields.remove(key);
        } else {
            fields.insert(key.clone(), value.clone());
        }
    }
    body
}

#[tokio::test]
async fn a_provider_is_made_changed_and_deleted() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let made = admin.post(PATH, body(&json!({}))).await.ok();
    let id = made.text("id");
    assert!(id.starts_with("wip_"));
    assert_eq!(
        made.json,
        json!({
            "id": id,
            "object": "organization.workload_identity_provider",
            "type": "oidc",
            "name": "prod",
            "issuer": "https://issuer.example.com",
            "audience": "https://api.openai.com/v1",
            "description": null,
            "enabled": true,
            "attribute_transformations": [],
            "verification": {"type": "discovery", "discovery_url": null},
            "created_at": made.json["created_at"],
            "updated_at": made.json["updated_at"],
        })
    );
    let one = format!("{PATH}/{id}");
    let changed = admin
        .post(
            &one,
            json!({
                "description": "d", "enabled": false,
                "verification": {"type": "uploaded_jwks", "jwks": jwks()},
            }),
        )
        .await
        .ok()
        .json;
    assert_eq!(changed["enabled"], false);
    assert_eq!(
        changed["verification"],
        json!({"type": "uploaded_jwks", "jwks": jwks()})
    );
    assert_eq!(changed["description"], "d");
    let cleared = admin
        .post(&one, json!({"description": null}))
        .await
        .ok()
        .json;
    assert_eq!(cleared["description"], Value::Null);
    assert_eq!(cleared["verification"], changed["verification"]);
    assert_eq!(admin.get(&one).await.ok().json, cleared);

    admin
        .post(PATH, body(&json!({})))
        .await
        .error(409, None, Some("already_exists"));

    let deleted = admin.delete(&one).await.ok().json;
    assert_eq!(
        deleted,
        json!({"object": "organization.workload_identity_provider.deleted", "id": id, "deleted": true})
    );
    admin.get(&one).await.error(404, None, None);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::builder()
        .config("[identity]\nallow_private_issuers = [\"http://127.0.0.1:9000\"]")
        .start()
        .await;
    let admin = server.admin();
    let uploaded = |jwks: Value| json!({"verification": {"type": "uploaded_jwks", "jwks": jwks}});
    let mut private = jwks();
    private["keys"][0]["d"] = json!("AAAA");
    let mut no_kid = jwks();
    no_kid["keys"][0]
        .as_object_mut()
        .expect("a key")
        .remove("kid");
    for (extra, param, code) in [
        (json!({"type": null}), "type", "missing_required_parameter"),
        (json!({"type": "x509"}), "type", "invalid_value"),
        (json!({"audience": ""}), "audience", "invalid_value"),
        (
            json!({"issuer": "issuer.example.com"}),
            "issuer",
            "invalid_value",
        ),
        (
            json!({"issuer": "http://issuer.example.com"}),
            "issuer",
            "invalid_value",
        ),
        (
            json!({"issuer": "https://10.0.0.1"}),
            "issuer",
            "invalid_value",
        ),
        (
            json!({"issuer": "http://127.0.0.1:9001"}),
            "issuer",
            "invalid_value",
        ),
        (
            json!({"issuer": "https://issuer.example.com:8443"}),
            "issuer",
            "invalid_value",
        ),
        (
            json!({"issuer": server.base_url}),
            "issuer",
            "invalid_value",
        ),
        (json!({"enabled": null}), "enabled", "invalid_type"),
        (
            json!({"attribute_transformations": [{"attribute": "openai.a", "expression": "assertion.sub"}]}),
            "attribute_transformations",
            "unsupported_parameter",
        ),
        (
            json!({"attribute_transformations": [{"attribute": "openai.a"}]}),
            "attribute_transformations[0].expression",
            "missing_required_parameter",
        ),
        (
            json!({"verification": {"type": "magic"}}),
            "verification.type",
            "invalid_value",
        ),
        (
            json!({"verification": {"type": "discovery", "discovery_url": "http://192.168.0.1/x"}}),
            "verification.discovery_url",
            "invalid_value",
        ),
        (
            json!({"verification": {"type": "discovery", "jwks": {}}}),
            "verification.jwks",
            "invalid_value",
        ),
        (
            json!({"verification": {"type": "uploaded_jwks"}}),
            "verification.jwks",
            "missing_required_parameter",
        ),
        (
            uploaded(json!({"keys": []})),
            "verification.jwks.keys",
            "invalid_value",
        ),
        (
            uploaded(private),
            "verification.jwks.keys[0].d",
            "invalid_value",
        ),
        (
            uploaded(no_kid),
            "verification.jwks.keys[0].kid",
            "invalid_value",
        ),
    ] {
        let reply = admin.post(PATH, body(&extra)).await;
        assert_eq!(
            reply.json["error"]["param"], param,
            "{extra}: {}",
            reply.text
        );
        reply.error(400, Some(param), Some(code));
    }
    assert_eq!(admin.get(PATH).await.ok().json["data"], json!([]));
    // What the operator listed is fine, and so is any name with uploaded keys.
    admin
        .post(
            PATH,
            body(&json!({"name": "a", "issuer": "http://127.0.0.1:9000"})),
        )
        .await
        .ok();
    let mut kubernetes = body(&uploaded(jwks()));
    kubernetes["issuer"] = json!("https://kubernetes.default.svc.cluster.local");
    kubernetes["name"] = json!("b");
    let made = admin.post(PATH, kubernetes).await.ok();
    // Going over to discovery needs an issuer that can be fetched.
    admin
        .post(
            &format!("{PATH}/{}", made.text("id")),
            json!({"verification": {"type": "discovery", "discovery_url": null}}),
        )
        .await
        .error(400, Some("issuer"), Some("invalid_value"));
}

#[tokio::test]
async fn there_are_50_at_most() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for n in 0..50 {
        admin
            .post(PATH, body(&json!({"name": format!("p{n}")})))
            .await
            .ok();
    }
    let message = admin
        .post(PATH, body(&json!({"name": "one more"})))
        .await
        .error(400, None, Some("limit_reached"));
    assert!(message.contains("50"), "{message}");
    let list = admin
        .get(&format!("{PATH}?limit=100&order=desc"))
        .await
        .ok()
        .json;
    assert_eq!(list["data"].as_array().expect("a list").len(), 50);
    assert_eq!(list["data"][0]["name"], "p49");
}
