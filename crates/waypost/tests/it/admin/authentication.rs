//! Who may, and what those are told who may not.

use reqwest::Method;

use crate::harness::{ADMIN_KEY, TestServer};

const PATH: &str = "/v1/organization/projects";

#[tokio::test]
async fn only_a_bad_credential_is_a_401() {
    let server = TestServer::start().await;
    let anonymous = server.anonymous();
    let reply = anonymous.get(PATH).await;
    reply.error(401, None, Some("missing_api_key"));
    assert_eq!(reply.headers["www-authenticate"], "Bearer");

    for (header, code) in [
        ("Bearer", "missing_api_key"),
        ("Bearer ", "missing_api_key"),
        ("Basic dXNlcjpwYXNz", "missing_api_key"),
        ("Bearer sk-admin-wrong", "invalid_api_key"),
        ("Bearer workload-identity-auth", "invalid_api_key"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "invalid_api_key"),
        ("Bearer sk-admin-\u{e9}", "invalid_api_key"),
    ] {
        let request = anonymous
            .request(Method::GET, PATH)
            .header("authorization", header);
        anonymous.send(request).await.error(401, None, Some(code));
    }
    let request = anonymous
        .request(Method::GET, PATH)
        .header("authorization", format!("Bearer {ADMIN_KEY}"))
        .header("authorization", "Bearer other");
    anonymous
        .send(request)
        .await
        .error(401, None, Some("invalid_api_key"));
    // The scheme's name has no case (RFC 9110 section 11.1).
    let request = anonymous
        .request(Method::GET, PATH)
        .header("authorization", format!("bearer {ADMIN_KEY}"));
    anonymous.send(request).await.ok();

    let tenant = server.project("p").await;
    let worker = server.client(&tenant.key);
    for path in [
        PATH,
        "/v1/organization/audit_logs",
        "/v1/organization/admin_api_keys",
    ] {
        worker
            .get(path)
            .await
            .error(403, None, Some("admin_key_required"));
    }
    let text = server.anonymous().get("/metrics").await.ok().text;
    assert!(
        text.contains(r#"waypost_authentication_failures_total{reason="unknown_key"}"#),
        "{text}"
    );
}

#[tokio::test]
async fn the_credential_is_judged_before_the_body() {
    let server = TestServer::start().await;
    let anonymous = server.anonymous();
    let request = anonymous.request(Method::POST, PATH).body("not json");
    anonymous
        .send(request)
        .await
        .error(401, None, Some("missing_api_key"));
}
