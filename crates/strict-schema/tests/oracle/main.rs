//! The streaming checker against two independent judges, over random schemas and documents.
//!
//! `STRICT_SCHEMA_CASES` multiplies the cases of every test (1 by default; with 20,
//! `random_bytes_never_panic` reads a million texts).

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
    numbers: true,
    loose: false,
};
const EVERYTHING: Taste = Taste {
    formats: true,
    numbers: true,
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
        let Some(engine) = Engine::new(&subject.schema) else {
            // It says so itself: nothing satisfies the schema, or it lacks a keyword.
            return Ok(());
        };
        for round in 0..6 {
            let mut text = subject.document(&mut random, if round % 3 == 0 { FREE } else { PLAIN });
            if round % 2 == 1 {
                documents::mutate(&mut random, &mut text);
            }
            if let Some(ours) = refuses(&mut subject.checker(), &text) {
                let theirs = engine.again().refuses(&text);
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
            // From here on llguidance counts digits where a double, and so jsonschema, rounds or
            // overflows.
            let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let before = text.iter().rev().nth(digits).copied().unwrap_or(b' ');
            if digits > 14 || (digits > 1 && b"eE+-".contains(&before)) {
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
                .map(|_| {
                    if raw {
                        random.next() as u8
                    } else {
                        *random.pick(b"{{[[]}},:\"\"\"\\u0019-.eEtrufalsn abk\xc3\xa9")
                    }
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

/// The properties above would hold of generators that make nothing; these make enough.
#[test]
fn the_generators_make_valid_and_invalid_documents_for_both_judges() {
    let mut random = Random(11);
    let (mut compiled, mut valid, mut invalid) = (0, 0, 0);
    for _ in 0..60 {
        let subject = Subject::new(&mut random, STRICT);
        compiled += usize::from(Engine::new(&subject.schema).is_some());
        for round in 0..10 {
            let mut text = subject.document(&mut random, FREE);
            if round % 2 == 1 {
                documents::mutate(&mut random, &mut text);
            }
            if is_valid(&text, &subject.validator) {
                valid += 1;
            } else {
                invalid += 1;
            }
        }
    }
    assert!(
        compiled > 40,
        "{compiled} of 60 schemas compile in llguidance"
    );
    assert!(
        valid > 150 && invalid > 150,
        "{valid} valid, {invalid} invalid"
    );
}

/// Bytes to try, those that end things first.
const BYTES: &[u8] =
    b"\"}]:,0l1tfn{[a-5bcdriougxyezskmqv.~/ C F9-3267 E8\xc3\xa9\xf0\x9f\x98\x80\\";

/// Whether some text completes what the checker has taken, found by trying bytes depth-first.
fn completes(checker: &ArgumentChecker, budget: &mut usize, depth: usize) -> bool {
    if checker.is_complete() {
        return true;
    }
    for &byte in BYTES {
        if *budget == 0 || depth == 0 {
            return false;
        }
        *budget -= 1;
        let mut next = checker.clone();
        if next.push(&[byte]).is_ok() && completes(&next, budget, depth - 1) {
            return true;
        }
    }
    false
}

/// The promise of the first byte, from the other side: what was taken can be completed. Left out
/// are numbers and escapes, which are judged at their end.
#[test]
fn what_is_taken_can_be_completed() {
    let mut random = Random(23);
    let taste = Taste {
        numbers: false,
        ..STRICT
    };
    let (mut tried, mut completed, mut missed) = (0, 0, Vec::new());
    for _ in 0..150 {
        let subject = Subject::new(&mut random, taste);
        for _ in 0..6 {
            let mut text = subject.document(&mut random, FREE);
            documents::mutate(&mut random, &mut text);
            let mut checker = subject.checker();
            let end = refuses(&mut checker, &text).unwrap_or(text.len());
            let mut before = subject.checker();
            before.push(&text[..end]).expect("taken before");
            let tail = &text[end.saturating_sub(12)..end];
            let number = tail
                .last()
                .is_some_and(|byte| b"0123456789+-.eE".contains(byte));
            if number || tail.contains(&b'\\') {
                continue;
            }
            tried += 1;
            if completes(&before, &mut 20_000, 200) {
                completed += 1;
            } else {
                missed.push(format!("{}\n{}", subject.schema, show(&text[..end])));
            }
        }
    }
    // The search itself gets lost in some unanchored patterns.
    assert!(
        completed * 100 >= tried * 97,
        "{completed} of {tried}, not:\n{}",
        missed.join("\n\n")
    );
}
