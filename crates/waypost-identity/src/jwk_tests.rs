use serde_json::json;

use super::*;
use crate::forge::{ED, P256, P384, P521, RSA, TestKey, all_keys, ec};
use crate::text::encode_base64url;

fn problem(jwk: &Value) -> (&'static str, JwkProblem) {
    let fault = parse_key(jwk).expect_err("the key must be refused");
    (fault.member, fault.problem)
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

fn without(mut jwk: Value, member: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(member);
    jwk
}

fn verify_vector(jwk: &Value, algorithm: Algorithm, signed: &str, signature: &str) {
    let key = parse_key(jwk).unwrap();
    let mut signature = decode_base64url(signature).unwrap();
    assert_eq!(key.verify(algorithm, signed.as_bytes(), &signature), Ok(()));
    signature[10] ^= 1;
    let verdict = key.verify(algorithm, signed.as_bytes(), &signature);
    assert_eq!(verdict, Err(SignatureFault::Invalid));
}

#[test]
fn rfc_7515_a2_rs256() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let jwk = json!({"kty": "RSA", "kid": "a2", "n": n, "e": "AQAB"});
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    verify_vector(&jwk, Algorithm::Rs256, signed, signature);
}

#[test]
fn rfc_7515_a3_es256() {
    let jwk = json!({
        "kty": "EC", "kid": "a3", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    verify_vector(&jwk, Algorithm::Es256, signed, signature);
}

#[test]
fn rfc_8037_a4_ed25519() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = json!({"kty": "OKP", "kid": "a4", "crv": "Ed25519", "x": x});
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    verify_vector(&jwk, Algorithm::EdDsa, signed, signature);
}

#[test]
fn a_key_serves_the_algorithms_of_its_type() {
    let served = |jwk: &Value| parse_key(jwk).unwrap().algorithms().collect::<Vec<_>>();
    assert_eq!(served(&RSA.jwk()), Algorithm::ALL[..6]);
    assert_eq!(served(&P256.jwk()), [Algorithm::Es256]);
    assert_eq!(served(&P384.jwk()), [Algorithm::Es384]);
    assert_eq!(served(&P521.jwk()), [Algorithm::Es512]);
    assert_eq!(served(&ED.jwk()), [Algorithm::EdDsa]);
    assert_eq!(
        served(&with(RSA.jwk(), "alg", json!("PS384"))),
        [Algorithm::Ps384]
    );
    assert_eq!(
        served(&with(ED.jwk(), "alg", json!("Ed25519"))),
        [Algorithm::EdDsa]
    );
}

#[test]
fn alg_must_fit_the_key() {
    for (key, alg) in [
        (&RSA, "ES256"),
        (&RSA, "HS256"),
        (&RSA, "RSA-OAEP"),
        (&RSA, "none"),
        (&P256, "ES384"),
        (&P256, "ES256K"),
        (&P384, "RS384"),
        (&ED, "ES256"),
        (&ED, "Ed448"),
    ] {
        let (member, found) = problem(&with(key.jwk(), "alg", json!(alg)));
        assert_eq!(member, "alg");
        assert!(
            matches!(found, JwkProblem::AlgorithmMismatch(_)),
            "{alg}: {found:?}"
        );
    }
    assert_eq!(
        problem(&with(RSA.jwk(), "alg", json!(1))),
        ("alg", JwkProblem::NotAString)
    );
}

#[test]
fn use_and_key_ops_must_be_for_verifying() {
    for purpose in ["sig", "jwt-svid"] {
        assert!(parse_key(&with(P256.jwk(), "use", json!(purpose))).is_ok());
    }
    for purpose in ["enc", "SIG", "x509-svid"] {
        let (member, found) = problem(&with(P256.jwk(), "use", json!(purpose)));
        assert_eq!(member, "use");
        assert!(matches!(found, JwkProblem::WrongUse(_)), "{purpose}");
    }
    for operations in [
        json!(["verify"]),
        json!(["sign", "verify"]),
        json!(["verify", "custom"]),
    ] {
        assert!(parse_key(&with(P256.jwk(), "key_ops", operations)).is_ok());
    }
    for operations in [
        json!({}),
        json!(["sign"]),
        json!(["encrypt", "wrapKey"]),
        json!("verify"),
        json!(["verify", 1]),
        json!(["verify", "verify"]),
    ] {
        let found = problem(&with(P256.jwk(), "key_ops", operations.clone()));
        assert_eq!(found, ("key_ops", JwkProblem::WrongKeyOps), "{operations}");
    }
}

#[test]
fn private_and_shared_keys_are_refused() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        for key in all_keys() {
            let found = problem(&with(key.jwk(), member, json!("AQAB")));
            assert_eq!(found, (member, JwkProblem::PrivateMaterial));
        }
        for disclosed in [json!(7), json!([{"r": "AQ"}]), json!({})] {
            let found = problem(&with(RSA.jwk(), member, disclosed));
            assert_eq!(found, (member, JwkProblem::PrivateMaterial));
        }
    }
    let oct = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    assert_eq!(problem(&oct), ("kty", JwkProblem::Symmetric));
}

#[test]
fn members_that_are_null_or_empty_count_as_absent() {
    let optional = [
        "d", "p", "q", "dp", "dq", "qi", "oth", "k", "use", "alg", "key_ops",
    ];
    for member in optional {
        for key in all_keys() {
            for nothing in [json!(null), json!(""), json!([])] {
                // Only a list may be an empty list, and only a name an empty string.
                if matches!(member, "use" | "alg") && nothing.is_array() {
                    continue;
                }
                let jwk = with(key.jwk(), member, nothing.clone());
                assert!(parse_key(&jwk).is_ok(), "{member}: {nothing}");
            }
        }
    }
    for required in ["kty", "kid", "x"] {
        let found = problem(&with(P256.jwk(), required, json!(null)));
        assert_eq!(found, (required, JwkProblem::Missing));
    }
}

#[test]
fn kty_and_crv_are_known_and_belong_together() {
    for kty in ["", "rsa", "ec", "AKP", "DSA"] {
        let (member, found) = problem(&with(RSA.jwk(), "kty", json!(kty)));
        assert_eq!(member, "kty");
        assert!(matches!(found, JwkProblem::UnsupportedType(_)), "{kty}");
    }
    for (key, crv) in [
        (&P256, "secp256k1"),
        (&P256, "P-224"),
        (&P256, "p-256"),
        (&P256, "Ed25519"),
        (&ED, "X25519"),
        (&ED, "Ed448"),
        (&ED, "P-256"),
    ] {
        let (member, found) = problem(&with(key.jwk(), "crv", json!(crv)));
        assert_eq!(member, "crv");
        assert!(matches!(found, JwkProblem::UnsupportedCurve(_)), "{crv}");
    }
    for member in ["kty", "crv", "x", "y", "kid"] {
        assert_eq!(
            problem(&without(P256.jwk(), member)),
            (member, JwkProblem::Missing)
        );
    }
    assert_eq!(problem(&json!("key")), ("", JwkProblem::NotAnObject));
}

#[test]
fn kid_is_present_and_plain() {
    let kid = |kid: Value| problem(&with(ED.jwk(), "kid", kid));
    assert_eq!(kid(json!("")), ("kid", JwkProblem::Empty));
    assert_eq!(kid(json!(7)), ("kid", JwkProblem::NotAString));
    assert_eq!(kid(json!("a\tb")), ("kid", JwkProblem::ControlCharacter));
    assert_eq!(
        kid(json!("k".repeat(257))),
        ("kid", JwkProblem::TooLong { max: 256 })
    );
    assert!(parse_key(&with(ED.jwk(), "kid", json!("k".repeat(256)))).is_ok());
}

#[test]
fn rsa_numbers_are_bounded_and_odd() {
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= bytes.len() * 8 - bits;
        encode_base64url(bytes)
    };
    let n = |bits: usize| parse_key(&with(RSA.jwk(), "n", json!(modulus(bits))));
    for bits in [2048, 3072, 4096, 8192] {
        assert!(n(bits).is_ok(), "{bits}");
    }
    for bits in [8, 512, 1024, 2047, 8193, 16_384] {
        assert_eq!(
            n(bits).unwrap_err().problem,
            JwkProblem::ModulusSize { bits }
        );
    }
    let empty = with(RSA.jwk(), "n", json!(""));
    assert_eq!(problem(&empty), ("n", JwkProblem::ModulusSize { bits: 0 }));
    let mut even = decode_base64url(RSA.jwk()["n"].as_str().unwrap()).unwrap();
    *even.last_mut().unwrap() &= 0xfe;
    let even = with(RSA.jwk(), "n", json!(encode_base64url(even)));
    assert_eq!(problem(&even), ("n", JwkProblem::ModulusEven));
    for exponent in [vec![3], vec![1, 0, 1], vec![0, 1, 0, 1], vec![255; 4]] {
        let key = with(RSA.jwk(), "e", json!(encode_base64url(&exponent)));
        assert!(parse_key(&key).is_ok(), "{exponent:?}");
    }
    for exponent in [
        vec![],
        vec![0],
        vec![1],
        vec![2],
        vec![1, 0, 0],
        vec![1, 0, 0, 0, 1],
    ] {
        let key = with(RSA.jwk(), "e", json!(encode_base64url(&exponent)));
        assert_eq!(problem(&key), ("e", JwkProblem::Exponent), "{exponent:?}");
    }
}

#[test]
fn numbers_are_strict_base64url() {
    for text in ["AQAB=", "AQ AB", "AQ+B", "AQA\n", "AR"] {
        let found = problem(&with(RSA.jwk(), "e", json!(text)));
        assert_eq!(found, ("e", JwkProblem::NotBase64Url), "{text:?}");
    }
    assert_eq!(
        problem(&with(RSA.jwk(), "n", json!(3))),
        ("n", JwkProblem::NotAString)
    );
}

/// Invalid-curve points would leak nothing here (there is no secret), but they are not keys.
#[test]
fn ec_points_lie_on_their_curve() {
    for (key, length) in [(&P256, 32), (&P384, 48), (&P521, 66)] {
        let mut x = decode_base64url(key.jwk()["x"].as_str().unwrap()).unwrap();
        x[length - 1] ^= 1;
        let moved = with(key.jwk(), "x", json!(encode_base64url(&x)));
        assert_eq!(problem(&moved), ("x", JwkProblem::NotOnCurve));
        let zero = json!(encode_base64url(vec![0; length]));
        let infinity = with(with(key.jwk(), "x", zero.clone()), "y", zero);
        assert_eq!(problem(&infinity), ("x", JwkProblem::NotOnCurve));
        for wrong in [0, 1, length - MAX_COORDINATE_PADDING - 1, length + 1] {
            let short = with(key.jwk(), "y", json!(encode_base64url(vec![1; wrong])));
            let expected = JwkProblem::WrongLength {
                expected: length,
                got: wrong,
            };
            assert_eq!(problem(&short), ("y", expected));
        }
        let cut = with(key.jwk(), "y", json!(encode_base64url(vec![1; length - 1])));
        assert_eq!(problem(&cut), ("x", JwkProblem::NotOnCurve));
    }
}

/// Libraries that write numbers instead of octets leave out leading zeros: one key in 128 has a
/// coordinate with one.
#[test]
fn ec_coordinates_without_their_leading_zeros_are_padded() {
    let short = |key: &TestKey| {
        let mut jwk = key.jwk();
        let mut shortened = false;
        for member in ["x", "y"] {
            let full = decode_base64url(jwk[member].as_str().unwrap()).unwrap();
            let zeros = full.iter().take_while(|byte| **byte == 0).count();
            shortened |= zeros > 0;
            jwk[member] = json!(encode_base64url(&full[zeros..]));
        }
        shortened.then_some(jwk)
    };
    let (key, jwk) = (0..20_000)
        .map(|_| {
            ec(
                "short",
                "P-256",
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            )
        })
        .find_map(|key| short(&key).map(|jwk| (key, jwk)))
        .unwrap();
    let parsed = parse_key(&jwk).unwrap();
    assert!(parsed.was_padded());
    let signed = key.sign(Algorithm::Es256, b"message");
    assert_eq!(parsed.verify(Algorithm::Es256, b"message", &signed), Ok(()));
    assert_eq!(
        parsed.verify(Algorithm::Es256, b"another", &signed),
        Err(SignatureFault::Invalid)
    );
    assert!(!parse_key(&key.jwk()).unwrap().was_padded());
}

#[test]
fn ed25519_points_of_small_order_are_refused() {
    for small in SMALL_ORDER_POINTS {
        for sign in [0, 0x80] {
            let mut point = small;
            point[31] |= sign;
            let key = with(ED.jwk(), "x", json!(encode_base64url(point)));
            assert_eq!(problem(&key), ("x", JwkProblem::SmallOrder));
        }
    }
    let short = with(ED.jwk(), "x", json!(encode_base64url([1; 31])));
    let expected = JwkProblem::WrongLength {
        expected: 32,
        got: 31,
    };
    assert_eq!(problem(&short), ("x", expected));
}

/// Shows that the list is needed and right: under such a key the signature (identity, 0) holds
/// for about one message in eight, whoever made it.
#[test]
fn small_order_points_would_accept_forgeries() {
    let mut forgery = [0; 64];
    forgery[0] = 1;
    let canonical = &SMALL_ORDER_POINTS[..5];
    for point in canonical {
        let key = ParsedPublicKey::new(&signature::ED25519, point).unwrap();
        let accepted =
            (0..400_u32).any(|message| key.verify_sig(&message.to_be_bytes(), &forgery).is_ok());
        assert!(accepted, "{point:02x?}");
    }
}

#[test]
fn unknown_members_are_ignored() {
    let key = with(P256.jwk(), "x5c", json!(["MIIB"]));
    assert!(parse_key(&with(key, "ext", json!(true))).is_ok());
}
