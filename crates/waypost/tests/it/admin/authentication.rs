//! Who may, and what those are told who may not.

use reqwest::Method;

use crate::harness::{ADMIN_KEY, Client, TestServer};

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

/// As OpenAI answers clients that are set up for another organization or project.
#[tokio::test]
async fn headers_that_name_another_organization_or_project_are_a_401() {
    let server = TestServer::start().await;
    let tenant = server.project("p").await;
    let other = server.project("other").await;
    let (admin, worker) = (server.admin(), server.client(&tenant.key));
    let own = admin.get(PATH).await.ok().headers["openai-organization"].clone();
    let own = own.to_str().expect("text");
    let send = async |client: &Client, path: &str, name: &str, value: &str| {
        let request = client.request(Method::GET, path).header(name, value);
        client.send(request).await
    };
    let (organization, project) = ("OpenAI-Organization", "OpenAI-Project");
    for (client, path) in [(&admin, PATH), (&worker, "/v1/models")] {
        for value in [own, "", " "] {
            send(client, path, organization, value).await.ok();
        }
        let reply = send(client, path, organization, "org-other").await;
        let said = reply.error(401, None, Some("mismatched_organization"));
        assert!(said.starts_with("OpenAI-Organization header"), "{said}");
    }
    for value in [tenant.project_id.as_str(), ""] {
        send(&worker, "/v1/models", project, value).await.ok();
    }
    for value in [other.project_id.as_str(), "proj_none", own] {
        let reply = send(&worker, "/v1/models", project, value).await;
        let said = reply.error(401, None, Some("mismatched_project"));
        assert!(said.starts_with("OpenAI-Project header"), "{said}");
    }
    // An admin key is no project's.
    send(&admin, PATH, project, "proj_none").await.ok();
    // A bad key is a bad key, whatever it is sent with.
    let stranger = server.client("sk-svcacct-none");
    send(&stranger, "/v1/models", project, "proj_none")
        .await
        .error(401, None, Some("invalid_api_key"));
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
