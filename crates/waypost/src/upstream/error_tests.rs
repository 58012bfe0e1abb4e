use super::*;

/// Each shape that was met in the field.
#[test]
fn an_errors_own_words_are_found() {
    let said = |status: u16, body: &str| {
        let status = StatusCode::from_u16(status).expect("a status");
        match UpstreamError::from_answer(status, None, body.as_bytes()) {
            UpstreamError::Status {
                status, message, ..
            } => (status.as_u16(), message),
            other => unreachable!("{other}"),
        }
    };
    for (body, expected) in [
        (r#"{"error":{"message":"a","code":5}}"#, "a"),
        (r#"{"error":"a"}"#, "a"),
        (r#"{"object":"error","message":"a"}"#, "a"),
        (r#"{"detail":"a"}"#, "a"),
        (r#"{"detail":{"error":{"message":"a"}}}"#, "a"),
        (
            r#"{"detail":[{"loc":["body","messages",0],"msg":"field required"},{"msg":"b"}]}"#,
            "body.messages.0: field required; b",
        ),
        (r#"{"errors":[{"message":"a"},"b"]}"#, "a; b"),
        (r#"{"error":{"message":{"message":"a"}}}"#, "a"),
        (
            "Failed to deserialize the JSON body\nat line 1",
            "Failed to deserialize the JSON body",
        ),
        ("<html>nginx</html>", "Bad Request"),
        ("", "Bad Request"),
        (r#"{"error":{"message":""}}"#, "Bad Request"),
    ] {
        assert_eq!(said(400, body), (400, expected.to_owned()), "{body}");
    }
    let body = r#"{"error":{"code":500,"message":"image input is not supported - hint: mmproj","type":"server_error"}}"#;
    assert_eq!(said(500, body).0, 400);
    assert_eq!(said(503, body).0, 503);
    assert_eq!(said(500, r#"{"error":"model failed to load"}"#).0, 500);
}

#[test]
fn an_error_under_200_has_a_status_of_its_own() {
    use serde_json::json;
    for (error, expected) in [
        (json!({"message": "m", "code": 429}), 429),
        (json!({"message": "m", "code": "503"}), 503),
        (
            json!({"message": "m", "type": "invalid_request_error", "code": null}),
            400,
        ),
        (
            json!({"message": "m", "code": "context_length_exceeded"}),
            400,
        ),
        (
            json!({"message": "m", "code": 200, "type": "rate_limit_error"}),
            429,
        ),
        (json!({"message": "m", "type": "NotFoundError"}), 404),
        (json!("out of memory"), 500),
        (json!([{"message": "m"}]), 500),
    ] {
        let told = UpstreamError::told(&error).expect("an error");
        assert!(
            matches!(told, UpstreamError::Status { status, .. } if status.as_u16() == expected),
            "{error}: {told}"
        );
    }
    for nothing in [
        json!(null),
        json!(""),
        json!({}),
        json!([]),
        json!(false),
        json!(0),
    ] {
        assert!(UpstreamError::told(&nothing).is_none(), "{nothing}");
    }
}

#[test]
fn each_engines_words_for_a_schema_beyond_it_are_known() {
    let about = |status: u16, message: &str| {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        let status = StatusCode::from_u16(status).expect("a status");
        UpstreamError::from_answer(status, None, body.as_bytes()).is_about_a_grammar()
    };
    for message in [
        "Failed to initialize samplers: failed to parse grammar",
        "JSON schema conversion failed:\nUnrecognized schema: {}",
        "The provided JSON schema contains features not supported by xgrammar.",
        "Failed to transform json schema into a grammar: [13:37] unsupported",
        "Grammar error: Unimplemented keys: [\"propertyNames\"]",
        "Input validation error: grammar is not valid: Grammar must have a 'properties' field",
    ] {
        assert!(about(400, message), "{message}");
        assert!(about(500, message), "{message}");
        assert!(!about(429, message), "{message}");
    }
    for message in [
        "Invalid schema for function 'f': In context=(), 'oneOf' is not permitted.",
        "This model's maximum context length is 8192 tokens.",
    ] {
        assert!(!about(400, message), "{message}");
    }
    assert!(!UpstreamError::Broken("failed to parse grammar".into()).is_about_a_grammar());
}

#[test]
fn what_is_not_there_now_is_told_from_what_the_request_may_cause() {
    let is_unavailable = |status: u16| {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = UpstreamError::from_answer(status, None, b"{}");
        assert!(!error.clone().inside_an_answer().is_unavailable());
        error.is_unavailable()
    };
    assert!([429, 502, 503, 504].into_iter().all(is_unavailable));
    assert!(
        ![400, 401, 404, 408, 500, 501, 507]
            .into_iter()
            .any(is_unavailable)
    );
    assert!(UpstreamError::Unreachable(String::new()).is_unavailable());
    for counts in [
        UpstreamError::Dropped(String::new()),
        UpstreamError::Broken(String::new()),
        UpstreamError::Malformed(String::new()),
        UpstreamError::Stalled(Duration::ZERO),
    ] {
        assert!(
            counts.is_retryable() && !counts.is_unavailable(),
            "{counts}"
        );
    }
    let too_large = UpstreamError::TooLarge(String::new());
    assert!(!too_large.is_retryable() && !too_large.is_unavailable());
}

#[test]
fn a_missing_route_is_told_from_a_missing_model() {
    let about = |status: u16, body: &str| {
        let status = StatusCode::from_u16(status).expect("a status");
        UpstreamError::from_answer(status, None, body.as_bytes()).is_about_the_address()
    };
    for body in [
        // vLLM, SGLang, LiteLLM
        r#"{"detail":"Not Found"}"#,
        // llama.cpp
        r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#,
        // Ollama
        "404 page not found",
        // OpenAI
        r#"{"error":{"message":"Invalid URL (POST /v1/v1/responses)","type":"invalid_request_error","param":null,"code":null}}"#,
        // Azure
        r#"{"error":{"code":"404","message":"Resource not found"}}"#,
        "<html>404 Not Found</html>",
        // TGI
        "",
    ] {
        assert!(about(404, body), "{body}");
        assert!(!about(400, body), "{body}");
    }
    assert!(about(405, r#"{"detail":"Method Not Allowed"}"#));
    for body in [
        r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
        r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error"}}"#,
        r#"{"error":{"message":"Nope.","code":"model_not_found"}}"#,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
    ] {
        assert!(!about(404, body), "{body}");
    }
}
