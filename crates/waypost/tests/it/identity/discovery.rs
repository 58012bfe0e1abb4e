//! Keys by discovery: what issuers do wrong, and what strangers try.

use std::time::Duration;

use serde_json::{Map, json};
use waypost_testkit::{
    Issuer,
    issuer::{Alg, Fault, SigningKey},
};

use super::{AUDIENCE, SUBJECT, World, assert_oauth_error};

/// Past the cooldown of [`World::discovering`].
async fn cool_down() {
    tokio::time::sleep(Duration::from_millis(550)).await;
}

#[tokio::test]
async fn an_issuer_in_trouble_is_503_and_recovers() {
    let world = World::with(
        "key_refresh_cooldown = \"500ms\"\nfetch_timeout = \"400ms\"",
        None,
    )
    .await;
    let evil = Issuer::start().await.expect("an issuer");
    let faults = [
        Fault::Redirect(String::new()),
        Fault::Redirect(format!("{}/.well-known/openid-configuration", evil.url())),
        Fault::Huge(5 * 1024 * 1024),
        Fault::Slow(2_000),
        Fault::Hang,
        Fault::Html,
        Fault::Text("{\"keys\":[]}".to_owned()),
        Fault::Text("{\"keys\":[],\"keys\":[]}".to_owned()),
        Fault::Status(404),
        Fault::Status(500),
        Fault::Reset,
    ];
    for fault in faults {
        for discovery in [true, false] {
            if discovery {
                world.issuer.fail_discovery(fault.clone());
            } else {
                world.issuer.fail_jwks(fault.clone());
            }
            let reply = world.exchange(&world.subject_token()).await;
            let what = format!("{fault:?} at discovery: {discovery}");
            assert_eq!(reply.status, 503, "{what}: {}", reply.text);
            assert_oauth_error(&reply, 503, "temporarily_unavailable");
            world.issuer.reset();
            cool_down().await;
        }
    }
    for fault in [
        Fault::WrongIssuer,
        Fault::JwksUri(format!("{}/jwks", evil.url())),
        Fault::JwksUri("https://169.254.169.254/jwks".to_owned()),
        Fault::JwksUri("https://localhost/jwks".to_owned()),
        Fault::JwksUri("file:///etc/passwd".to_owned()),
    ] {
        world.issuer.fail_discovery(fault.clone());
        let reply = world.exchange(&world.subject_token()).await;
        assert_eq!(reply.status, 503, "{fault:?}: {}", reply.text);
        assert_eq!(world.issuer.fetches().jwks, 0, "{fault:?}");
        world.issuer.reset();
        cool_down().await;
    }
    assert_eq!(evil.fetches().jwks + evil.fetches().discovery, 0);
    // Read, and nothing in it: a page, no key, a member twice.
    assert_eq!(world.counted("keys_unusable").await, 3);
    assert_eq!(world.counted("keys_unavailable").await, 24);
    world.access_token().await;
}

#[tokio::test]
async fn an_address_that_is_not_public_is_never_connected_to() {
    // Allowed when it was saved, not any more: the fetch itself is refused too.
    let world = World::discovering().await;
    let mut server = world.server;
    let config = server.dir().join("waypost.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let closed = text.replace(&world.issuer.url(), "http://127.0.0.1:1");
    std::fs::write(&config, closed).expect("written");
    server.restart().await;
    let world = World { server, ..world };
    let reply = world.exchange(&world.subject_token()).await;
    assert_oauth_error(&reply, 401, "invalid_grant");
    assert_eq!(world.counted("provider_misconfigured").await, 1);
    assert_eq!(world.issuer.fetches().discovery, 0);

    // The admin API does not take it in the first place.
    let provider = json!({"type": "oidc", "name": "x", "audience": "a",
        "issuer": world.issuer.issuer()});
    let reply = world.server.admin().post(super::PROVIDERS, provider).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
}

#[tokio::test]
async fn a_custom_discovery_url_by_name() {
    let issuer = Issuer::start().await.expect("an issuer");
    let by_name = issuer.url().replace("127.0.0.1", "localhost");
    let world = World::of(issuer, "", None, &[&by_name]).await;
    // The document is found elsewhere, under a name; tokens keep their issuer.
    let elsewhere = json!({
        "issuer": "https://tokens.example.com",
        "verification": {"type": "discovery", "discovery_url": by_name},
    });
    world.admin_post(&world.provider_path(), elsewhere).await;
    let mut claims = world.issuer.claims(SUBJECT, AUDIENCE, 600);
    claims["iss"] = json!("https://tokens.example.com");
    // Its `jwks_uri` has an address of the list as well.
    world.exchange(&world.issuer.sign(&claims)).await.ok();
    assert_eq!(world.issuer.fetches().discovery, 1);
    let reply = world.exchange(&world.subject_token()).await;
    assert_oauth_error(&reply, 401, "invalid_grant");
}

#[tokio::test]
async fn a_key_that_the_issuer_rotated_in_is_fetched_once() {
    let world = World::discovering().await;
    world.access_token().await;
    let before = world.subject_token();
    cool_down().await;
    world.issuer.rotate(Alg::RS256, true);
    world.access_token().await;
    assert_eq!(world.issuer.fetches().jwks, 2);
    assert_eq!(
        world.issuer.fetches().discovery,
        1,
        "it is held longer than that"
    );
    world.exchange(&before).await.ok();

    cool_down().await;
    world.issuer.rotate(Alg::ES256, false);
    world.access_token().await;
    let reply = world.exchange(&before).await;
    assert_oauth_error(&reply, 401, "invalid_grant");
    assert_eq!(world.issuer.fetches().jwks, 3, "the cooldown holds");
}

#[tokio::test]
async fn a_flood_of_unknown_kids_costs_one_fetch_per_cooldown() {
    let world = World::with("key_refresh_cooldown = \"30s\"", None).await;
    let flood = |from: usize| {
        let world = &world;
        let header = move |n: usize| {
            Map::from_iter([("kid".to_owned(), json!(format!("random-{}", from + n)))])
        };
        let claims = world.issuer.claims(SUBJECT, AUDIENCE, 600);
        let key = SigningKey::generate(Alg::ES256, "stranger");
        let tokens: Vec<_> = (0..100)
            .map(|n| key.sign_with_header(&header(n), &claims))
            .collect();
        async move {
            let sent = tokens.iter().map(|token| world.exchange(token));
            for reply in futures::future::join_all(sent).await {
                assert_oauth_error(&reply, 401, "invalid_grant");
            }
        }
    };
    flood(0).await;
    assert_eq!(world.issuer.fetches().jwks, 1);
    // Good tokens go on, on the keys that the flood itself brought.
    let ((), token) = tokio::join!(flood(100), world.access_token());
    assert!(!token.is_empty());
    assert_eq!(world.issuer.fetches().jwks, 1);
    assert_eq!(world.issuer.fetches().discovery, 1);
}

#[tokio::test]
async fn tokens_that_cannot_be_good_cause_no_fetch() {
    let world = World::discovering().await;
    let mut foreign = world.issuer.claims(SUBJECT, AUDIENCE, 600);
    foreign["iss"] = json!("https://other.example");
    for (token, error) in [
        ("a.b.c".to_owned(), "invalid_subject_token"),
        (
            world.issuer.token(SUBJECT, AUDIENCE, -600),
            "invalid_subject_token",
        ),
        // No key is at hand that could show whose it is.
        (
            world.issuer.token(SUBJECT, "another-audience", 600),
            "invalid_grant",
        ),
        (world.issuer.sign(&foreign), "invalid_grant"),
    ] {
        assert_oauth_error(&world.exchange(&token).await, 401, error);
    }
    let fetches = world.issuer.fetches();
    assert_eq!((fetches.discovery, fetches.jwks), (0, 0));
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_cut_off_the_fetch() {
    let world = World::with("key_refresh_cooldown = \"30s\"", None).await;
    world.issuer.fail_jwks(Fault::Slow(600));
    let token = world.subject_token();
    let gone = tokio::time::timeout(Duration::from_millis(200), world.exchange(&token)).await;
    assert!(gone.is_err(), "the issuer was slow");
    world.exchange(&token).await.ok();
    assert_eq!(world.issuer.fetches().jwks, 1);
}

#[tokio::test]
async fn keys_outlive_an_issuer_that_fails_and_are_renewed_in_time() {
    let world = World::with(
        "key_refresh_cooldown = \"100ms\"\nkey_cache = \"1s\"\nstale_keys = \"2s\"\nfetch_timeout = \"500ms\"",
        None,
    )
    .await;
    let token = world.subject_token();
    world.exchange(&token).await.ok();
    world.issuer.fail_jwks(Fault::Status(500));
    world.issuer.fail_discovery(Fault::Hang);
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    world.exchange(&token).await.ok();
    assert!(world.issuer.fetches().discovery > 1, "it was tried");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_oauth_error(
        &world.exchange(&token).await,
        503,
        "temporarily_unavailable",
    );

    world.issuer.reset();
    tokio::time::sleep(Duration::from_millis(150)).await;
    world.exchange(&token).await.ok();
    // A key that the issuer took back is refused after `key_cache`.
    world.issuer.rotate(Alg::ES256, false);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_oauth_error(&world.exchange(&token).await, 401, "invalid_grant");
}

#[tokio::test]
async fn an_empty_or_useless_set_never_replaces_good_keys() {
    let world = World::discovering().await;
    let good = world.subject_token();
    world.exchange(&good).await.ok();
    for useless in [
        json!({"keys": []}),
        json!({"keys": [{"kty": "oct", "k": "AAAA", "kid": "a"}]}),
    ] {
        cool_down().await;
        world.issuer.publish(useless);
        let unknown = Map::from_iter([("kid".to_owned(), json!("new"))]);
        let claims = world.issuer.claims(SUBJECT, AUDIENCE, 600);
        let token = world.issuer.key().sign_with_header(&unknown, &claims);
        assert_oauth_error(&world.exchange(&token).await, 401, "invalid_grant");
        world.exchange(&good).await.ok();
    }
    assert_eq!(world.issuer.fetches().jwks, 3);
}

#[tokio::test]
async fn a_set_without_a_usable_key_is_not_called_unreachable() {
    let world = World::discovering().await;
    let issuers = async || world.client.get("/readyz").await.ok().json["parts"]["issuers"].clone();
    let counts = |fetched: u64, cannot: u64, nothing: u64| {
        json!({"ready": true, "details":
            {"fetched": fetched, "cannot_be_fetched": cannot, "nothing_usable": nothing}})
    };
    assert_eq!(issuers().await, counts(0, 0, 0));
    world
        .issuer
        .publish(json!({"keys": [{"kty": "oct", "k": "AAAA", "kid": "a"}]}));
    let reply = world.exchange(&world.subject_token()).await;
    assert_oauth_error(&reply, 503, "temporarily_unavailable");
    assert_eq!(world.counted("keys_unusable").await, 1);
    assert_eq!(issuers().await, counts(0, 0, 1));
    let log = world.server.wait_for_log("keys_unusable").await;
    assert!(log.contains("was read, but holds nothing usable"), "{log}");
    assert!(!log.contains("cannot be fetched"), "{log}");
    cool_down().await;
    world.issuer.fail_jwks(Fault::Status(500));
    world.exchange(&world.subject_token()).await;
    assert_eq!(issuers().await, counts(0, 1, 0));
    let log = world.server.wait_for_log("cannot be fetched").await;
    assert!(log.contains("answered 500"), "{log}");
    cool_down().await;
    world.issuer.reset();
    world.access_token().await;
    assert_eq!(issuers().await, counts(1, 0, 0));
}

/// As API servers of Kubernetes do; so does the testkit's issuer, with every key set it serves.
#[tokio::test]
async fn an_issuer_that_answers_406_to_application_json() {
    let world = World::discovering().await;
    let jwks = format!("{}/jwks", world.issuer.url());
    let asked = |accept: &'static str| {
        let request = reqwest::Client::new()
            .get(&jwks)
            .header("accept", accept)
            .send();
        async move { request.await.expect("an answer").status() }
    };
    assert_eq!(asked("application/json").await, 406);
    assert_eq!(asked("application/jwk-set+json").await, 200);
    world.access_token().await;
}

/// One kid for encrypting and for signing, one for each algorithm, one for two key types.
#[tokio::test]
async fn of_keys_that_share_a_kid_the_one_for_the_algorithm_is_used() {
    let world = World::discovering().await;
    let rsa = world.issuer.rotate(Alg::RS256, true);
    let ec = SigningKey::generate(Alg::ES256, &rsa.kid);
    let mut encrypting = rsa.jwk();
    encrypting["use"] = json!("enc");
    let mut signing = rsa.jwk();
    signing["alg"] = json!("RS256");
    signing["d"] = json!(null);
    signing["key_ops"] = json!([]);
    world
        .issuer
        .publish(json!({"keys": [encrypting, ec.jwk(), signing]}));
    world.access_token().await;
    let claims = world.issuer.claims(SUBJECT, AUDIENCE, 600);
    world.exchange(&ec.sign(&claims)).await.ok();
    let stranger = SigningKey::generate(Alg::ES256, &rsa.kid);
    let reply = world.exchange(&stranger.sign(&claims)).await;
    assert_eq!(reply.status, 401, "{}", reply.text);
    assert_eq!(world.counted("signature_invalid").await, 1);
    let header = Map::from_iter([("typ".to_owned(), json!("application/at+jwt"))]);
    let typed = ec.sign_with_header(&header, &claims);
    world.exchange(&typed).await.ok();

    // Uploaded, the same set is refused, with both entries named.
    let twice = json!({"verification": {"type": "uploaded_jwks",
        "jwks": {"keys": [ec.jwk(), signing]}}});
    let path = world.provider_path();
    let reply = world.server.admin().post(&path, twice).await;
    let message = reply.json["error"]["message"].as_str().unwrap_or_default();
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert!(
        message.contains("keys[1].kid") && message.contains("keys[0]"),
        "{message}"
    );
}
