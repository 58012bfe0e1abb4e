//! The issuer's documents, keys, tokens and faults.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde_json::{Value, json};
use waypost_testkit::Issuer;
use waypost_testkit::issuer::{Alg, Fault, Fetches, IssuerOptions, now, sign_hs256, unsigned};

use crate::client::{Client, Reply, request};

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn address(issuer: &Issuer) -> std::net::SocketAddr {
    issuer.url().trim_start_matches("http://").parse().unwrap()
}

async fn get(issuer: &Issuer, path: &str) -> Reply {
    request(address(issuer), Method::GET, path, "").await
}

async fn post(issuer: &Issuer, path: &str, body: &Value) -> Reply {
    request(address(issuer), Method::POST, path, &body.to_string()).await
}

fn segment(token: &str, at: usize) -> Value {
    let segment = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

#[tokio::test]
async fn discovery_leads_to_the_key_that_signs() {
    let issuer = Issuer::start().await.unwrap();
    let document = get(&issuer, DISCOVERY).await.json();
    assert_eq!(document["issuer"], issuer.url());
    assert_eq!(document["jwks_uri"], format!("{}/jwks", issuer.url()));
    let jwks = get(&issuer, "/jwks").await.json();
    assert_eq!(jwks, issuer.jwks());
    assert_eq!(
        jwks["keys"][0]["kid"],
        segment(&issuer.token("a", "b", 60), 0)["kid"]
    );
    assert_eq!(
        issuer.fetches(),
        Fetches {
            discovery: 1,
            jwks: 1
        }
    );
}

#[tokio::test]
async fn standard_tokens_have_every_standard_claim() {
    let issuer = Issuer::start().await.unwrap();
    let token = issuer.token("repo:a/b", "waypost", 600);
    let claims = segment(&token, 1);
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("repo:a/b"), &json!("waypost"))
    );
    assert_eq!(claims["iss"], issuer.url());
    let [iat, exp] = ["iat", "exp"].map(|name| claims[name].as_i64().unwrap());
    assert!(exp - iat == 600 && (now() - iat).abs() < 5);
    assert_ne!(
        segment(&issuer.token("repo:a/b", "waypost", 600), 1)["jti"],
        claims["jti"]
    );
}

#[tokio::test]
async fn rotation_with_and_without_the_old_key() {
    let issuer = Issuer::start().await.unwrap();
    issuer.rotate(Alg::EdDSA, true);
    let kids = |jwks: &Value| -> Vec<String> {
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    let both = kids(&issuer.jwks());
    assert_eq!(both.len(), 2);
    assert_eq!(
        segment(&issuer.token("a", "b", 60), 0),
        json!({"alg": "EdDSA", "kid": both[1], "typ": "JWT"})
    );
    issuer.rotate(Alg::RS256, false);
    let alone = kids(&issuer.jwks());
    assert!(alone.len() == 1 && !both.contains(&alone[0]));
}

#[tokio::test]
async fn faults_of_the_documents() {
    let issuer = Issuer::start().await.unwrap();
    issuer.fail_discovery(Fault::WrongIssuer);
    assert_ne!(get(&issuer, DISCOVERY).await.json()["issuer"], issuer.url());
    issuer.fail_discovery(Fault::JwksUri("http://127.0.0.1:1/x".to_owned()));
    assert_eq!(
        get(&issuer, DISCOVERY).await.json()["jwks_uri"],
        "http://127.0.0.1:1/x"
    );
    issuer.fail_discovery(Fault::Redirect(String::new()));
    let moved = get(&issuer, DISCOVERY).await;
    assert_eq!(moved.status, 302);
    let target = get(&issuer, moved.header("location")).await;
    assert_eq!(target.json()["issuer"], issuer.url());

    issuer.fail_jwks(Fault::Status(500));
    assert_eq!(get(&issuer, "/jwks").await.status, 500);
    issuer.fail_jwks(Fault::Html);
    assert_eq!(
        get(&issuer, "/jwks").await.header("content-type"),
        "text/html"
    );
    issuer.fail_jwks(Fault::Huge(3_000_000));
    let huge = get(&issuer, "/jwks").await;
    assert_eq!(huge.bytes().len(), 3_000_000);
    assert_eq!(
        (huge.json(), huge.header("content-length")),
        (issuer.jwks(), "")
    );
    issuer.fail_jwks(Fault::Text("{".to_owned()));
    assert_eq!(get(&issuer, "/jwks").await.text(), "{");
    issuer.fail_jwks(Fault::Slow(80));
    let before = Instant::now();
    assert_eq!(get(&issuer, "/jwks").await.json(), issuer.jwks());
    assert!(before.elapsed() >= Duration::from_millis(80));
    issuer.fail_jwks(Fault::Reset);
    let mut client = Client::connect(address(&issuer)).await;
    assert!(client.open(Method::GET, "/jwks", "").await.is_err());
    issuer.fail_jwks(Fault::Hang);
    let mut client = Client::connect(address(&issuer)).await;
    let hang = client.open(Method::GET, "/jwks", "");
    assert!(
        tokio::time::timeout(Duration::from_millis(80), hang)
            .await
            .is_err()
    );
    assert_eq!(
        issuer.fetches(),
        Fetches {
            discovery: 3,
            jwks: 7
        }
    );

    issuer.publish(json!({"keys": []}));
    issuer.fail_jwks(Fault::None);
    assert_eq!(get(&issuer, "/jwks").await.json(), json!({"keys": []}));
    issuer.reset();
    assert_eq!(issuer.fetches(), Fetches::default());
    assert_eq!(issuer.jwks()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn hostile_tokens_are_made_to_order() {
    let issuer = Issuer::start().await.unwrap();
    let key = issuer.key();
    let doubled = r#"{"sub":"a","sub":"b"}"#;
    let token = key.sign_text(r#"{"alg":"ES256"}"#, doubled);
    let payload = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    assert_eq!(payload, doubled.as_bytes());
    assert!(
        key.sign_segments("not base64!", "e30")
            .starts_with("not base64!.e30.")
    );
    assert!(unsigned(r#"{"alg":"none"}"#, "{}").ends_with('.'));
    let forged = sign_hs256(issuer.jwks_json().as_bytes(), r#"{"alg":"HS256"}"#, "{}");
    assert_eq!(forged.split('.').count(), 3);
}

#[tokio::test]
async fn other_languages_sign_over_http() {
    let options = IssuerOptions {
        issuer: Some("https://ci.example".to_owned()),
        ..Default::default()
    };
    let issuer = Issuer::start_with(options).await.unwrap();
    let signed = post(
        &issuer,
        "/__sign",
        &json!({"claims": {"sub": "x"}, "header": {"kid": null}}),
    )
    .await;
    let token = signed.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(segment(&token, 1), json!({"sub": "x"}));
    assert!(segment(&token, 0).get("kid").is_none());

    let text = json!({"header_text": "{\"alg\":\"ES256\"}", "payload_text": "[1]"});
    let token = post(&issuer, "/__sign", &text).await.json();
    assert_eq!(segment(token["token"].as_str().unwrap(), 1), json!([1]));

    let standard =
        json!({"sub": "x", "aud": ["a", "b"], "lifetime": -5, "claims": {"repository": "r"}});
    let claims = post(&issuer, "/__token", &standard).await.json()["claims"].clone();
    assert_eq!(
        (&claims["iss"], &claims["repository"]),
        (&json!("https://ci.example"), &json!("r"))
    );
    assert!(claims["exp"].as_i64() < claims["iat"].as_i64());

    let rotated = post(
        &issuer,
        "/__rotate",
        &json!({"alg": "ES384", "keep_old": true}),
    )
    .await
    .json();
    assert_eq!(issuer.key().kid, rotated["kid"].as_str().unwrap());
    let old = post(&issuer, "/__sign", &json!({"claims": {}, "kid": "key-1"}))
        .await
        .json();
    assert_eq!(segment(old["token"].as_str().unwrap(), 0)["alg"], "ES256");

    let fault = json!({"jwks": {"status": 503}, "discovery": "html"});
    assert_eq!(post(&issuer, "/__fault", &fault).await.status, 200);
    assert_eq!(get(&issuer, "/jwks").await.status, 503);
    assert_eq!(
        get(&issuer, "/__stats").await.json(),
        json!({"discovery": 0, "jwks": 1})
    );
    assert_eq!(post(&issuer, "/__reset", &json!({})).await.status, 200);
    assert_eq!(get(&issuer, "/jwks").await.status, 200);
    assert_eq!(
        post(&issuer, "/__sign", &json!({"claim": 1})).await.status,
        400
    );
}
