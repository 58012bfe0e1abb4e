//! Forged, broken and hostile tokens, most named after the weakness that once let them in.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::forge::{
    KEYS, NOW, P384, RSA, check, claims, header, policy, raw_token, refused, token, token_of,
    token_under, unsigned,
};
use crate::text::encode_base64url;
use crate::{KeySet, MAX_TOKEN_BYTES, peek, verify};

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
fn crit_and_b64_are_refused() {
    for crit in [
        json!([]),
        json!(["exp"]),
        json!(["b64"]),
        json!("x"),
        json!(null),
    ] {
        let token = token_under(&json!({"alg": "ES256", "kid": "p256", "crit": crit}));
        assert_eq!(refused(&token), "critical_header");
    }
    for b64 in [json!(false), json!(true), json!("false")] {
        let token = token_under(&json!({"alg": "ES256", "kid": "p256", "b64": b64}));
        assert_eq!(refused(&token), "unencoded_payload");
    }
}

#[test]
fn typ_is_from_a_short_list() {
    for typ in ["JWT", "jwt", "JOSE", "at+jwt", "AT+JWT"] {
        let token = token_under(&json!({"alg": "ES256", "kid": "p256", "typ": typ}));
        assert!(check(&token).is_ok(), "{typ}");
    }
    assert!(check(&token_under(&json!({"alg": "ES256", "kid": "p256"}))).is_ok());
    for typ in [
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!("logout+jwt"),
        json!("JWE"),
        json!(""),
        json!(1),
        json!(null),
    ] {
        let token = token_under(&json!({"alg": "ES256", "kid": "p256", "typ": typ}));
        assert_eq!(refused(&token), "type_not_accepted");
    }
}

#[test]
fn kid_is_required_and_plain() {
    assert_eq!(
        refused(&token_under(&json!({"alg": "ES256"}))),
        "kid_missing"
    );
    for kid in [
        json!(""),
        json!(1),
        json!(null),
        json!("a\u{0}b"),
        json!("a\nb"),
        json!(["p256"]),
    ] {
        let token = token_under(&json!({"alg": "ES256", "kid": kid}));
        assert_eq!(refused(&token), "kid_invalid");
    }
    let longest = token_under(&json!({"alg": "ES256", "kid": "k".repeat(256)}));
    assert_eq!(refused(&longest), "unknown_kid");
    let longer = token_under(&json!({"alg": "ES256", "kid": "k".repeat(257)}));
    assert_eq!(refused(&longer), "kid_invalid");
    for kid in ["P256", "p256 ", "../../p256", "p256' OR '1'='1", "rsa,p256"] {
        let token = token_under(&json!({"alg": "ES256", "kid": kid}));
        assert_eq!(refused(&token), "unknown_kid", "{kid}");
    }
}

#[test]
fn only_the_strict_compact_form_is_read() {
    let good = token_of(&claims());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three segments");
    };
    for (token, code) in [
        (String::new(), "not_compact"),
        ("..".to_owned(), "not_json"),
        (format!("{header}.{payload}"), "not_compact"),
        (format!("{good}."), "not_compact"),
        (format!("{header}.{payload}."), "signature_invalid"),
        (format!(".{payload}.{signature}"), "not_json"),
        (format!("{header}..{signature}"), "not_json"),
        (format!(" {good}"), "not_base64url"),
        (format!("{good}\n"), "not_base64url"),
        (format!("{good}="), "not_base64url"),
        (format!("{header}=.{payload}.{signature}"), "not_base64url"),
        (format!("{header}.{payload}=.{signature}"), "not_base64url"),
        (
            format!("{header}\u{0}.{payload}.{signature}"),
            "not_base64url",
        ),
        (format!("Bearer {good}"), "not_base64url"),
        // CVE-2024-33664, CVE-2024-21319: encrypted tokens are not even decoded.
        (format!("{header}.AA.AA.{payload}.{signature}"), "encrypted"),
        (
            json!({"protected": header, "payload": payload, "signature": signature}).to_string(),
            "json_serialization",
        ),
        (
            format!(" {{\"payload\":\"{payload}\"}}"),
            "json_serialization",
        ),
    ] {
        assert_eq!(refused(&token), code, "{token}");
    }
}

#[test]
fn stray_trailing_bits_do_not_make_a_second_spelling() {
    let good = token_of(&claims());
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for other in alphabet.chars().filter(|other| *other != last) {
        let respelled = format!("{}{other}", &good[..good.len() - 1]);
        assert!(check(&respelled).is_err(), "{other}");
    }
}

/// CVE-2025-30204, CVE-2025-27144: a token of dots made parsers allocate a list of segments.
#[test]
fn a_token_of_dots_is_refused_at_once() {
    assert_eq!(refused(&".".repeat(MAX_TOKEN_BYTES)), "not_compact");
    assert_eq!(refused(&".".repeat(50 << 20)), "token_too_large");
}

#[test]
fn size_is_bounded_before_anything_else() {
    let signed_size = |padding: usize| {
        let mut claims = claims();
        claims["pad"] = json!("x".repeat(padding));
        token_of(&claims)
    };
    assert!(signed_size(11_000).len() < MAX_TOKEN_BYTES);
    assert!(check(&signed_size(11_000)).is_ok());
    assert_eq!(refused(&signed_size(13_000)), "token_too_large");
}

#[test]
fn duplicate_members_are_refused_in_header_and_payload() {
    let good_header = header(Algorithm::Es256).to_string();
    let good_claims = claims().to_string();
    let twice = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    let refused =
        |header: &str, payload: &str| refused(&raw_token(Algorithm::Es256, header, payload));
    for member in [r#""alg":"none""#, r#""kid":"rsa""#, r#""\u0061lg":"ES256""#] {
        assert_eq!(
            refused(&twice(&good_header, member), &good_claims),
            "duplicate_member"
        );
    }
    for member in [r#""sub":"admin""#, r#""aud":"x""#, r#""x":{"a":1,"a":2}"#] {
        assert_eq!(
            refused(&good_header, &twice(&good_claims, member)),
            "duplicate_member"
        );
    }
}

#[test]
fn header_and_payload_are_shallow_json_objects() {
    let header = header(Algorithm::Es256).to_string();
    let payload = claims().to_string();
    let refused =
        |header: &str, payload: &str| refused(&raw_token(Algorithm::Es256, header, payload));
    for text in ["[]", "null", "1", "\"x\""] {
        assert_eq!(refused(text, &payload), "not_an_object");
        assert_eq!(refused(&header, text), "not_an_object");
    }
    for text in ["", "{", "hello", "{}{}"] {
        assert_eq!(refused(text, &payload), "not_json");
        assert_eq!(refused(&header, text), "not_json");
    }
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    assert_eq!(refused(&deep, &payload), "too_deep");
    assert_eq!(refused(&header, &deep), "too_deep");
    let bomb = format!(r#"{{"a":{}"#, "[".repeat(11_000));
    assert_eq!(refused(&header, &bomb), "too_deep");
}

#[test]
fn alg_must_be_there_and_be_a_string() {
    assert_eq!(
        refused(&token_under(&json!({"kid": "p256"}))),
        "algorithm_missing"
    );
    for alg in [json!(null), json!(256), json!(["ES256"]), json!({})] {
        assert_eq!(
            refused(&token_under(&json!({"kid": "p256", "alg": alg}))),
            "algorithm_invalid"
        );
    }
    for alg in [
        "es256",
        "ES256K",
        "RSA-OAEP",
        "A128KW",
        "dir",
        "Ed448",
        "RS1",
        "ML-DSA-44",
    ] {
        let code = refused(&token_under(&json!({"kid": "p256", "alg": alg})));
        assert_eq!(code, "algorithm_unsupported", "{alg}");
    }
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
fn refusals_quote_values_safely() {
    let noisy = "evil\u{1b}[2J\u{202e}".repeat(500);
    let token = token_under(&json!({"alg": "ES256", "kid": "p256", "typ": noisy}));
    let sentence = check(&token).unwrap_err().to_string();
    assert!(sentence.len() < 2_000, "{}", sentence.len());
    assert!(
        !sentence.contains('\u{1b}') && !sentence.contains('\u{202e}'),
        "{sentence}"
    );
}

#[test]
fn peek_reads_what_a_refresh_needs_and_verifies_nothing() {
    let token = token(
        Algorithm::Rs256,
        &json!({"alg": "RS256", "kid": "new"}),
        &claims(),
    );
    let peeked = peek(&token).unwrap();
    assert_eq!(peeked.kid, "new");
    assert_eq!(peeked.algorithm, Algorithm::Rs256);
    assert_eq!(peeked.issuer.as_deref(), Some(crate::forge::ISSUER));
    assert_eq!(peek("a.b").unwrap_err().code(), "not_compact");
}

/// Inputs that once broke some parser, in the manner of a fuzzing corpus. None may pass or panic.
#[test]
fn hostile_corpus() {
    let header = encode_base64url(header(Algorithm::Es256).to_string());
    let mut corpus: Vec<String> = [
        "",
        ".",
        "..",
        "...",
        "....",
        "\u{0}.\u{0}.\u{0}",
        "e30.e30.",
        "e30.e30.e30",
        "bnVsbA.e30.",
        "W10.W10.W10",
        "{}.{}.{}",
        "eyJhbGciOiJub25lIn0..",
        "\u{feff}e30.e30.e30",
        "é.é.é",
        "-.-.-",
        "____.____.____",
        "====.====.====",
        "%65%33%30.e30.e30",
        "eyJ.eyJ.eyJ",
    ]
    .map(str::to_owned)
    .to_vec();
    for payload in [
        r#"{"exp":1e999}"#,
        r#"{"exp":-0}"#,
        r#"{"exp":99999999999999999999999999}"#,
        "{\"sub\":\"\u{ffff}\"}",
        r#"{"sub":"\ud800"}"#,
        r#"{"sub":"\u0000"}"#,
        r#"{"":""}"#,
        r#"{"__proto__":{"sub":"admin"}}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::RawValue":"{}"}"#,
    ] {
        corpus.push(format!("{header}.{}.AAAA", encode_base64url(payload)));
        corpus.push(raw_token(Algorithm::Es256, payload, payload));
    }
    for entry in &corpus {
        refused(entry);
        let _ = peek(entry);
    }
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
