//! Forged tokens: signatures, keys and algorithms, most named after the weakness that once let
//! such a token in.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::KeySet;
use crate::algorithm::Algorithm;
use crate::forge::{
    KEYS, NOW, P384, RSA, check, claims, header, policy, refused, token, token_of, token_under,
    unsigned, verify,
};
use crate::text::encode_base64url;

#[test]
fn alg_none_is_refused_in_every_spelling() {
    for bits in 0..16_u8 {
        let spelling: String = "none"
            .chars()
            .enumerate()
            .map(|(i, c)| {
                if bits & 1 << i == 0 {
                    c
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect();
        for signature in [&b""[..], b"x"] {
            let token = unsigned(&json!({"alg": spelling, "kid": "p256"}), signature);
            assert_eq!(refused(&token), "algorithm_none", "{spelling}");
        }
    }
    for spelling in ["", " none", "none ", "nоne", "NULL"] {
        let token = unsigned(&json!({"alg": spelling, "kid": "p256"}), b"");
        assert_eq!(refused(&token), "algorithm_unsupported", "{spelling}");
    }
}

/// CVE-2015-9235, CVE-2016-10555, CVE-2022-23541, CVE-2024-33663: the public key as HMAC secret.
#[test]
fn rs_to_hs_confusion_is_refused() {
    let jwk = RSA.jwk();
    for (name, algorithm) in [
        ("HS256", hmac::HMAC_SHA256),
        ("hs384", hmac::HMAC_SHA384),
        ("Hs512", hmac::HMAC_SHA512),
    ] {
        for secret in [
            jwk.to_string(),
            jwk["n"].as_str().unwrap().to_owned(),
            String::new(),
        ] {
            let header = json!({"alg": name, "kid": "rsa"}).to_string();
            let input = format!(
                "{}.{}",
                encode_base64url(header),
                encode_base64url(claims().to_string())
            );
            let key = hmac::Key::new(algorithm, secret.as_bytes());
            let tag = hmac::sign(&key, input.as_bytes());
            let token = format!("{input}.{}", encode_base64url(tag));
            assert_eq!(refused(&token), "algorithm_symmetric", "{name}");
        }
    }
}

/// CVE-2022-21449 ("psychic signatures"): r = s = 0, and other values outside [1, n-1].
#[test]
fn ecdsa_zero_signatures_are_refused() {
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let half = |byte: u8| vec![byte; 32];
    for (r, s) in [
        (half(0), half(0)),
        (half(0), half(1)),
        (half(1), half(0)),
        (order.clone(), order.clone()),
        (order, half(1)),
        (half(255), half(255)),
    ] {
        let token = unsigned(&header(Algorithm::Es256), &[r, s].concat());
        assert_eq!(refused(&token), "signature_invalid");
    }
    let der_zero = [0x30, 6, 2, 1, 0, 2, 1, 0];
    for signature in [&[][..], &[0; 63], &[0; 65], &[0; 96], &der_zero] {
        let token = unsigned(&header(Algorithm::Es256), signature);
        assert_eq!(refused(&token), "signature_invalid");
    }
}

#[test]
fn a_der_encoded_ecdsa_signature_is_refused() {
    let good = token_of(&claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let fixed = crate::text::decode_base64url(signature).unwrap();
    let integer = |half: &[u8]| {
        let padded: Vec<u8> = [&[0][..], half].concat();
        [vec![2, 33], padded].concat()
    };
    let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    let der = [vec![0x30, body.len() as u8], body].concat();
    assert_eq!(
        refused(&format!("{input}.{}", encode_base64url(der))),
        "signature_invalid"
    );
}

#[test]
fn trivial_rsa_and_eddsa_signatures_are_refused() {
    for signature in [
        vec![],
        vec![0; 256],
        vec![1; 1],
        vec![255; 256],
        vec![0; 257],
    ] {
        let token = unsigned(&header(Algorithm::Rs256), &signature);
        assert_eq!(refused(&token), "signature_invalid");
    }
    let mut identity = vec![0; 64];
    identity[0] = 1;
    for signature in [vec![], vec![0; 64], identity, vec![255; 64]] {
        let token = unsigned(&header(Algorithm::EdDsa), &signature);
        assert_eq!(refused(&token), "signature_invalid");
    }
}

/// CVE-2018-0114: the token brings its own key. `x5c`, `jku` and `x5u` are the same trick.
#[test]
fn embedded_and_remote_keys_are_ignored() {
    let mut attacker = P384.jwk();
    attacker["kid"] = json!("p256");
    for (member, value) in [
        ("jwk", attacker),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ] {
        let mut forged = json!({"alg": "ES384", "kid": "p256"});
        forged[member] = value.clone();
        // Signed by the attacker's P-384 key under the name of the provider's key.
        let token = token(Algorithm::Es384, &forged, &claims());
        assert_eq!(refused(&token), "key_algorithm_mismatch", "{member}");
        // The same header field on an honest token changes nothing.
        let mut honest = header(Algorithm::Es256);
        honest[member] = value;
        assert!(check(&token_under(&honest)).is_ok(), "{member}");
    }
}

#[test]
fn a_key_serves_only_its_own_algorithms() {
    for key in crate::forge::all_keys() {
        for algorithm in Algorithm::ALL {
            if crate::forge::key_for(algorithm).kid == key.kid {
                continue;
            }
            let header = json!({"alg": algorithm.name(), "kid": key.kid});
            let token = token(algorithm, &header, &claims());
            assert_eq!(
                refused(&token),
                "key_algorithm_mismatch",
                "{algorithm} under {}",
                key.kid
            );
        }
    }
}

#[test]
fn one_rsa_algorithm_is_not_another() {
    let rsa = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ];
    for named in rsa {
        for used in rsa.into_iter().filter(|used| *used != named) {
            assert_eq!(
                refused(&token(used, &header(named), &claims())),
                "signature_invalid"
            );
        }
    }
}

#[test]
fn the_alg_of_a_key_binds_it() {
    let mut jwk = RSA.jwk();
    jwk["alg"] = json!("PS256");
    let document = json!({"keys": [jwk]}).to_string();
    let keys = KeySet::parse_uploaded(document.as_bytes()).unwrap();
    let verdict = |algorithm| {
        let token = token(algorithm, &header(algorithm), &claims());
        verify(&token, &policy(), &keys, NOW).map_err(|refusal| refusal.code())
    };
    assert!(verdict(Algorithm::Ps256).is_ok());
    assert_eq!(
        verdict(Algorithm::Rs256).err(),
        Some("key_algorithm_mismatch")
    );
}

#[test]
fn swapped_parts_of_two_good_tokens_are_refused() {
    let a = token_of(&claims());
    let mut other = claims();
    other["sub"] = json!("system:serviceaccount:default:admin");
    let b = token_of(&other);
    let (a_input, a_signature) = a.rsplit_once('.').unwrap();
    let (b_input, b_signature) = b.rsplit_once('.').unwrap();
    assert_eq!(
        refused(&format!("{a_input}.{b_signature}")),
        "signature_invalid"
    );
    assert_eq!(
        refused(&format!("{b_input}.{a_signature}")),
        "signature_invalid"
    );
}

#[test]
fn keys_of_another_provider_with_the_same_kid_do_not_verify() {
    let mut impostor = another_p256_jwk();
    impostor["kid"] = json!("p256");
    let document = json!({"keys": [impostor]}).to_string();
    let keys = KeySet::parse_uploaded(document.as_bytes()).unwrap();
    let refusal = verify(&token_of(&claims()), &policy(), &keys, NOW).unwrap_err();
    assert_eq!(refusal.code(), "signature_invalid");
    assert!(verify(&token_of(&claims()), &policy(), &KEYS, NOW).is_ok());
}

fn another_p256_jwk() -> Value {
    serde_json::to_value(crate::SigningKey::generate().unwrap().public_jwk()).unwrap()
}
