//! Token exchanges against what the signature verification alone allows.

use std::time::{Duration, Instant};

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use waypost_testkit::issuer::{Alg, SigningKey, now};

use crate::Bench;
use crate::client::{Conn, Request};
use crate::load::{Target, fastest};
use crate::table::{Row, Section, rate, times};
use crate::world::{Waypost, text};

const PATH: &str = "/oauth/token";
const SHARE: f64 = 0.5;
/// About as long as the signed part of a workload's token.
const MESSAGE: usize = 640;

pub async fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let waypost = bench.world.waypost("exchange", "").await?;
    let mut rng = bench.rng();
    let mut rows = Vec::new();
    for (alg, name) in [(Alg::ES256, "ES256"), (Alg::RS256, "RS256")] {
        bench.say(&format!("exchange: {name}"));
        let bare = bare_rate(alg, false, bench)?;
        let with_sign = bare_rate(alg, true, bench)?;
        let row = Row::new(format!("exchange of a {name} token"));
        let budget = "≥ 0.50× of verification";
        let request = match exchange(&waypost, alg).await? {
            Ok(request) => request,
            Err(reason) => {
                rows.push(
                    row.direct(shown(bare, with_sign))
                        .missing(reason)
                        .budget_unknown(budget),
                );
                continue;
            }
        };
        let targets = [Target {
            address: waypost.address,
            request,
            process: Some(&waypost.process),
            status: 200,
        }];
        let best = fastest(&targets, bench.concurrencies(), bench.effort, &mut rng).await?;
        let (at, best) = best[0];
        let cpu = best.cpu_us.unwrap_or(f64::NAN);
        let alone = bench.machine.cores as f64 * 1e6 / cpu;
        let ratio = best.per_second / bare;
        rows.push(
            row.direct(shown(bare, with_sign))
                .ours(format!(
                    "{} at {at}, {cpu:.0} µs cpu",
                    rate(best.per_second)
                ))
                .difference(format!(
                    "{} of verification; {} by the server's own cpu ({})",
                    times(ratio),
                    times(alone / bare),
                    rate(alone)
                ))
                .budget(budget, ratio >= SHARE),
        );
    }
    Ok(Section {
        failed: false,
        title: "Token exchange, keys cached",
        method: format!(
            "`POST {PATH}` in closed loops against signature verification with a parsed key on {} threads (in parentheses: verification and an ES256 signature, which is what an exchange has to do). The load generator shares the cores with the server, not with the bare loop.",
            bench.machine.cores
        ),
        rows,
    })
}

fn shown(bare: f64, with_sign: f64) -> String {
    format!("{} ({} with signing)", rate(bare), rate(with_sign))
}

/// Verifications a second on all cores.
fn bare_rate(alg: Alg, sign: bool, bench: &Bench) -> anyhow::Result<f64> {
    let message = vec![b'x'; MESSAGE];
    let random = SystemRandom::new();
    let own = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let (key, signature) = if matches!(alg, Alg::RS256) {
        let pair = RsaKeyPair::generate(rsa::KeySize::Rsa2048)?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature)?;
        let public = pair.public_key().as_ref().to_vec();
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)?;
        (key, signature)
    } else {
        let public = own.public_key().as_ref().to_vec();
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)?;
        (key, own.sign(&random, &message)?.as_ref().to_vec())
    };
    let time = (bench.effort.loop_time * 2).max(Duration::from_millis(300));
    let count: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..bench.machine.cores)
            .map(|_| {
                scope.spawn(|| {
                    let end = Instant::now() + time;
                    let mut count = 0;
                    while Instant::now() < end {
                        key.verify_sig(&message, &signature)
                            .expect("a signature of its own key");
                        if sign {
                            let signed = own.sign(&random, &message);
                            std::hint::black_box(signed.expect("a key that signs"));
                        }
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let counts = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        counts.map(|count| count.unwrap_or(0)).sum()
    });
    Ok(count as f64 / time.as_secs_f64())
}

/// A provider with an uploaded key of this algorithm, a rule, and an exchange that works; or why
/// there is none.
async fn exchange(waypost: &Waypost, alg: Alg) -> anyhow::Result<Result<Request, String>> {
    let key = SigningKey::generate(alg, "bench");
    let name = alg.name();
    let issuer = format!("https://{}.issuer.example.com", name.to_ascii_lowercase());
    let provider = json!({
        "name": format!("bench-{name}"),
        "type": "oidc",
        "issuer": issuer,
        "audience": "bench",
        "verification": {"type": "uploaded_jwks", "jwks": {"keys": [key.jwk()]}},
    });
    let provider = waypost
        .admin("workload_identity_providers", &provider)
        .await?;
    let provider = text(&provider, "/id")?;
    let rule = json!({
        "attribute_matchers": {"sub": "system:serviceaccount:bench:*"},
        "project_id": waypost.project_id,
        "service_account_id": waypost.service_account_id,
    });
    let rules = format!("workload_identity_providers/{provider}/federation_rules");
    waypost.admin(&rules, &rule).await?;
    let now = now();
    let claims = json!({
        "iss": issuer, "sub": "system:serviceaccount:bench:worker", "aud": "bench",
        "iat": now, "nbf": now, "exp": now + 3600, "jti": "bench-1",
        "kubernetes.io": {"namespace": "bench", "serviceaccount": {"name": "worker"}},
    });
    let body = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": key.sign(&claims),
        "identity_provider_id": provider,
        "service_account_id": waypost.service_account_id,
    });
    let request = Request::post(PATH, None, &body);
    // In force once the directory was read again.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let (status, reply) = Conn::to(waypost.address).await?.text(&request).await?;
        match status {
            200 => return Ok(Ok(request)),
            404 => {
                let reason =
                    format!("`POST {PATH}` answers 404: this build has no token exchange.");
                return Ok(Err(reason));
            }
            _ if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            _ => return Ok(Err(format!("`POST {PATH}` answers {status}: {reply}"))),
        }
    }
}

/// An access token for the bench's service account, or why there is none.
pub async fn access_token(waypost: &Waypost) -> anyhow::Result<Result<String, String>> {
    let request = match exchange(waypost, Alg::ES256).await? {
        Ok(request) => request,
        Err(reason) => return Ok(Err(reason)),
    };
    let reply: Value = Conn::to(waypost.address).await?.json(&request).await?;
    let token = text(&reply, "/access_token").context("an exchange without a token")?;
    Ok(Ok(token))
}
