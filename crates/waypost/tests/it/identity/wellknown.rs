//! This server as an issuer.

use waypost_identity::{KeySet, Presented, TrustPolicy};

use super::World;

#[tokio::test]
async fn anybody_can_verify_a_token_with_the_published_keys() {
    let world = World::uploaded().await;
    let client = world.server.anonymous();
    let base = &world.server.base_url;
    let configuration = client.get("/.well-known/openid-configuration").await.ok();
    assert!(
        configuration.headers["cache-control"]
            .to_str()
            .expect("text")
            .contains("max-age=")
    );
    assert_eq!(configuration.json["issuer"], *base);
    assert_eq!(
        configuration.json["token_endpoint"],
        format!("{base}/oauth/token")
    );
    assert_eq!(
        configuration.json["revocation_endpoint"],
        format!("{base}/oauth/revoke")
    );
    let path = configuration.text("jwks_uri").replace(base, "");
    let jwks = client.get(&path).await.ok();
    assert!(
        jwks.headers["cache-control"]
            .to_str()
            .expect("text")
            .contains("max-age=")
    );
    assert!(jwks.json["keys"][0].get("d").is_none(), "{}", jwks.text);

    let keys = KeySet::parse_uploaded(jwks.text.as_bytes()).expect("a strict JWKS");
    let policy = TrustPolicy::new(base, base, "https://verifier.example").expect("a policy");
    let token = world.access_token().await;
    let now = waypost_testkit::issuer::now();
    let presented = Presented::read(&token, 0, now).expect("a token in order");
    let claims = presented.verify(&policy, &keys).expect("a valid token");
    assert_eq!(claims.sub(), world.tenant.service_account_id);
}
