//! Properties that hold for every input: no panic, nothing forged gets in, no bit may change.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::forge::{ED, P256, RSA, check, claims, header, token, token_of, unsigned};
use crate::text::encode_base64url;
use crate::{KeySet, peek};

proptest! {
    #[test]
    fn arbitrary_text_is_refused_without_panic(text in "\\PC{0,200}") {
        prop_assert!(check(&text).is_err());
        prop_assert!(peek(&text).is_err());
    }

    #[test]
    fn arbitrary_segments_are_refused_without_panic(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        payload in proptest::collection::vec(any::<u8>(), 0..80),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let segments = [header, payload, signature].map(encode_base64url);
        prop_assert!(check(&segments.join(".")).is_err());
    }

    #[test]
    fn arbitrary_claims_under_a_good_signature_never_panic(
        name in "iss|aud|sub|exp|iat|nbf|jti|[a-z.]{1,6}",
        value in json_value(),
    ) {
        let mut claims = claims();
        claims[&name] = value;
        let _ = check(&token_of(&claims));
    }

    #[test]
    fn arbitrary_signatures_are_refused(
        signature in proptest::collection::vec(any::<u8>(), 0..300),
        index in 0..Algorithm::ALL.len(),
    ) {
        let token = unsigned(&header(Algorithm::ALL[index]), &signature);
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn arbitrary_documents_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(KeySet::parse_uploaded(&bytes).is_err());
        prop_assert!(KeySet::parse_fetched(&bytes).is_err());
    }

    #[test]
    fn arbitrary_keys_never_panic(value in json_value(), member in "kty|kid|n|e|x|y|crv|alg|use") {
        for key in [&*RSA, &*P256, &*ED] {
            let mut jwk = key.jwk();
            jwk[&member] = value.clone();
            let document = json!({"keys": [jwk]}).to_string();
            let _ = KeySet::parse_uploaded(document.as_bytes());
            let fetched = KeySet::parse_fetched(document.as_bytes()).unwrap();
            prop_assert_eq!(fetched.usable() + fetched.skipped().len(), 1);
        }
    }
}

/// Every single bit of a signed token, for a signature of each family.
#[test]
fn any_flipped_bit_is_refused() {
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ] {
        let good = token(algorithm, &header(algorithm), &claims());
        assert!(check(&good).is_ok());
        for position in 0..good.len() * 8 {
            let mut bytes = good.clone().into_bytes();
            bytes[position / 8] ^= 1 << (position % 8);
            // Bytes that are not UTF-8 cannot even be handed over.
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert!(check(&flipped).is_err(), "{algorithm}: bit {position}");
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[A-Za-z0-9_-]{0,60}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
