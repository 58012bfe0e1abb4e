//! The streaming checker against two independent judges, over random schemas and documents.
//!
//! `STRICT_SCHEMA_CASES` scales every test (1 by default).

mod documents;
mod engine;
mod random;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use strict_schema::{ArgumentChecker, Automaton, Validator};

use self::{
    documents::Style,
    engine::{Engine, is_valid},
    random::{Random, Taste},
};

const STRICT: Taste = Taste {
    formats: false,
    loose: false,
};
const EVERYTHING: Taste = Taste {
    formats: true,
    loose: true,
};

fn cases(base: u32) -> ProptestConfig {
    let scale = std::env::var("STRICT_SCHEMA_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(base * scale.unwrap_or(1))
    }
}

struct Subject {
    schema: Value,
    automaton: Arc<Automaton>,
    validator: Validator,
}

impl Subject {
    fn new(random: &mut Random, taste: Taste) -> Self {
        let schema = random::schema(random, taste);
        let automaton =
            Automaton::compile(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
        let validator = Validator::new(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
        Self {
            schema,
            automaton: Arc::new(automaton),
            validator,
        }
    }

    fn checker(&self) -> ArgumentChecker {
        ArgumentChecker::new(self.automaton.clone())
    }

    fn document(&self, random: &mut Random, style: Style) -> Vec<u8> {
        let value = documents::instance(random, &self.schema, &self.schema, 0);
        let mut text = Vec::new();
        documents::write(random, &value, style, &mut text);
        text
    }
}

/// Offset of the first refused byte.
fn refuses(checker: &mut ArgumentChecker, text: &[u8]) -> Option<usize> {
    checker.push(text).err().map(|mismatch| mismatch.offset)
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

const FREE: Style = Style {
    shuffled: true,
    free: true,
};
const PLAIN: Style = Style {
    shuffled: false,
    free: false,
};

proptest! {
    #![proptest_config(cases(600))]

    /// Complete if and only if it parses, has no duplicate names, and jsonschema takes it.
    #[test]
    fn complete_means_valid(seed in any::<u64>()) {
        let mut random = Random(seed);
        let subject = Subject::new(&mut random, EVERYTHING);
        for round in 0..24 {
            let mut text = subject.document(&mut random, FREE);
            if round % 2 == 1 {
                documents::mutate(&mut random, &mut text);
            }
            let mut checker = subject.checker();
            let refused = checker.push(&text);
            let expected = is_valid(&text, &subject.validator);
            prop_assert_eq!(
                checker.is_complete(), expected,
                "schema {}\ntext {}\nrefused {:?}", subject.schema, show(&text), refused
            );
            prop_assert_eq!(checker.finish().is_ok(), expected);
        }
    }

    /// Any split of the text gives the same result, message included.
    #[test]
    fn chunk_boundaries_do_not_matter(seed in any::<u64>()) {
        let mut random = Random(seed);
        let subject = Subject::new(&mut random, EVERYTHING);
        for round in 0..8 {
            let mut text = subject.document(&mut random, FREE);
            if round % 2 == 1 {
                documents::mutate(&mut random, &mut text);
            }
            let mut whole = subject.checker();
            let expected = whole.push(&text);
            let mut pieces = subject.checker();
            let mut rest = &text[..];
            let mut got = Ok(());
            while !rest.is_empty() && got.is_ok() {
                let (piece, after) = rest.split_at(1 + random.below(rest.len().min(9)));
                got = pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(&got, &expected);
            prop_assert_eq!(pieces.is_complete(), whole.is_complete());
            prop_assert_eq!(pieces.offset(), whole.offset());
            if got.is_err() {
                prop_assert_eq!(pieces.push(b" "), expected);
            }
        }
    }

    /// A refused byte is refused whatever follows, and what was taken before can still be
    /// completed to a valid document where some completion is known.
    #[test]
    fn prefixes_of_valid_documents_are_taken(seed in any::<u64>()) {
        let mut random = Random(seed);
        let subject = Subject::new(&mut random, EVERYTHING);
        for _ in 0..12 {
            let text = subject.document(&mut random, FREE);
            if is_valid(&text, &subject.validator) {
                let cut = random.below(text.len() + 1);
                prop_assert_eq!(refuses(&mut subject.checker(), &text[..cut]), None);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(120))]

    /// Where we refuse a byte, llguidance has refused it or an earlier one.
    #[test]
    fn llguidance_refuses_no_later(seed in any::<u64>()) {
        let mut random = Random(seed);
        let subject = Subject::new(&mut random, STRICT);
        for round in 0..6 {
            let mut text = subject.document(&mut random, if round % 3 == 0 { FREE } else { PLAIN });
            if round % 2 == 1 {
                documents::mutate(&mut random, &mut text);
            }
            let Some(mut engine) = Engine::new(&subject.schema) else {
                // It says so itself: nothing satisfies the schema, or it lacks a keyword.
                return Ok(());
            };
            if let Some(ours) = refuses(&mut subject.checker(), &text) {
                let theirs = engine.refuses(&text);
                prop_assert!(
                    theirs.is_some_and(|theirs| theirs <= ours),
                    "schema {}\ntext {}\nours {} theirs {:?}", subject.schema, show(&text), ours, theirs
                );
            }
        }
    }

    /// What llguidance generates, byte by byte at random, we take; its ends are complete.
    #[test]
    fn what_llguidance_accepts_is_accepted(seed in any::<u64>()) {
        let mut random = Random(seed);
        let subject = Subject::new(&mut random, STRICT);
        let Some(mut engine) = Engine::new(&subject.schema) else {
            return Ok(());
        };
        let mut checker = subject.checker();
        let mut text = Vec::new();
        for step in 0..200 {
            if engine.accepts_end() {
                prop_assert!(checker.is_complete(), "schema {}\ntext {}", subject.schema, show(&text));
                if random.chance(2) {
                    break;
                }
            }
            let allowed = engine.allowed();
            if allowed.is_empty() {
                break;
            }
            // Closing bytes come sooner, so that many walks reach an end.
            let closing: Vec<u8> =
                allowed.iter().copied().filter(|byte| b"\"}],:".contains(byte)).collect();
            let early = closing.is_empty() || (step < 40 && random.chance(3));
            let byte = *random.pick(if early { &allowed } else { &closing });
            // From here on llguidance counts digits where a double, and so jsonschema, rounds.
            let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 14 {
                break;
            }
            prop_assert!(engine.push(byte));
            text.push(byte);
            let taken = checker.push(&[byte]);
            prop_assert!(taken.is_ok(), "schema {}\ntext {}\n{:?}", subject.schema, show(&text), taken);
        }
    }
}

/// Random bytes, and random JSON-like bytes, never panic; nor do random schemas.
#[test]
fn random_bytes_never_panic() {
    let scale: u64 = std::env::var("STRICT_SCHEMA_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let mut random = Random(7);
    for _ in 0..500 * scale {
        let subject = Subject::new(&mut random, EVERYTHING);
        for _ in 0..100 {
            let length = random.below(40);
            let raw = random.chance(4);
            let text: Vec<u8> = (0..length)
                .map(|_| match raw {
                    true => random.next() as u8,
                    false => *random.pick(b"{{[[]}},:\"\"\"\\u0019-.eEtrufalsn abk\xc3\xa9"),
                })
                .collect();
            let mut checker = subject.checker();
            if let Err(mismatch) = checker.push(&text) {
                assert!(mismatch.offset < text.len());
                assert!(mismatch.message.len() < 8_000);
            }
            let _ = checker.finish();
        }
    }
}

#[test]
fn hostile_schemas_are_refused_or_compiled_in_time() {
    // 2^20 ways through alternatives of alternatives, but twenty places.
    let mut definitions = serde_json::Map::new();
    for level in 0..20 {
        let next = json!({"$ref": format!("#/$defs/n{}", level + 1)});
        definitions.insert(
            format!("n{level}"),
            json!({"anyOf": [
                next, {"allOf": [next, {"type": "string", "minLength": level}]}
            ]}),
        );
    }
    definitions.insert("n20".into(), json!({"type": "string", "maxLength": 5}));
    let bomb = json!({"$defs": definitions, "$ref": "#/$defs/n0"});
    let _ = Automaton::compile(&bomb);

    let doubled = |inner: Value| {
        json!({"type": "array", "items": {"anyOf": [
            inner.clone(), {"type": "array", "items": inner}
        ]}})
    };
    let mut nested = json!({"type": "string"});
    for _ in 0..8 {
        nested = doubled(nested);
    }
    let automaton = Arc::new(Automaton::compile(&nested).expect("compiles"));
    let mut checker = ArgumentChecker::new(automaton);
    let text = format!("{}{}", "[".repeat(12), "]".repeat(12));
    checker.push(text.as_bytes()).expect("fits in many ways");
    assert!(checker.is_complete());
}
