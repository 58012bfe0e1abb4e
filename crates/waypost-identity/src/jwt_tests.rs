//! Broken and hostile forms of a token.

use serde_json::json;

use super::*;
use crate::forge::{check, claims, header, raw_token, refused, token, token_of, token_under};
use crate::text::encode_base64url;

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
    for typ in [
        "JWT",
        "jwt",
        "JOSE",
        "at+jwt",
        "AT+JWT",
        "application/jwt",
        "application/at+jwt",
        "Application/AT+JWT",
    ] {
        let token = token_under(&json!({"alg": "ES256", "kid": "p256", "typ": typ}));
        assert!(check(&token).is_ok(), "{typ}");
    }
    assert!(check(&token_under(&json!({"alg": "ES256", "kid": "p256"}))).is_ok());
    for typ in [
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!("logout+jwt"),
        json!("JWE"),
        json!("application/secevent+jwt"),
        json!("application/application/jwt"),
        json!("application/"),
        json!("text/jwt"),
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
