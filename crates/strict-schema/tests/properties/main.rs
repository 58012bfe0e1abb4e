//! What holds for every schema: resolving twice is resolving once, the order
//! stays, what the resolved schema accepts the original accepts, and what a level
//! C rewrite changed is changed back. The judge is the `jsonschema` crate, with
//! formats asserted.

mod generate;
mod instances;
mod mended;

use generate::{Tape, nonsense, schema};
use instances::{instance, mutate};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;
use strict_schema::{
    Dialect, Level, Limits, Profile, Resolved, Restore, Where, check_root, check_strict, downlevel,
    parse, resolve,
};

const AT: Where<'_> = Where::ResponsesTool {
    index: 0,
    name: "f",
};

/// A validator for a schema that is one.
pub fn judge(schema: &Value) -> Option<Validator> {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .ok()
}

fn strict(schema: &Value, profile: &Profile) -> Option<(Value, Restore, Vec<Level>)> {
    match resolve(schema, profile) {
        Resolved::Strict {
            schema,
            restore,
            changes,
        } => Some((
            schema,
            restore,
            changes.into_iter().map(|change| change.level).collect(),
        )),
        Resolved::Fallback { reasons } => {
            assert!(!reasons.is_empty());
            for reason in reasons {
                assert!(
                    schema.pointer(&reason.pointer).is_some(),
                    "{reason:?} in {schema}"
                );
            }
            None
        }
    }
}

/// Documents in the shape of a schema, some of them a little wrong.
fn documents(schema: &Value, tape: &mut Tape<'_>) -> Vec<Value> {
    (0..12)
        .map(|round| {
            let mut document = instance(schema, schema, tape, 0);
            if round % 3 == 2 {
                mutate(&mut document, tape, 0);
            }
            document
        })
        .collect()
}

/// Without what level A adds.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| {
                !(*key == "additionalProperties" && **value == Value::Bool(false)
                    || *key == "required" && value.is_array()
                    || *key == "properties"
                        && value.as_object().is_some_and(serde_json::Map::is_empty))
            })
            .map(|(key, value)| (key.clone(), bare(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

fn tapes() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(any::<u8>(), 0..200),
    )
}

fn loose_profile() -> Profile {
    let mut profile = Profile::default();
    profile.rewrites.nullable_optionals = true;
    profile.rewrites.maps_to_arrays = true;
    profile
}

/// How many documents a case has said something about.
fn check_soundness(original: &Value, profile: &Profile, tape: &mut Tape<'_>) -> usize {
    let Some((resolved, restore, _)) = strict(original, profile) else {
        return 0;
    };
    let judge_resolved = judge(&resolved).unwrap_or_else(|| panic!("{resolved} is no schema"));
    let Some(judge_original) = judge(original) else {
        return 0;
    };
    let mut said = 0;
    for document in documents(&resolved, tape) {
        if judge_resolved.is_valid(&document) {
            let mut restored = document.clone();
            restore.apply(&mut restored);
            assert!(
                judge_original.is_valid(&restored),
                "{restored} (sent as {document})\nis valid for {resolved}\nnot for {original}",
            );
            said += 1;
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resolving_twice_is_resolving_once((bytes, _) in tapes()) {
        let original = schema(&mut Tape::new(&bytes));
        for profile in [Profile::default(), loose_profile()] {
            if let Some((once, restore, _)) = strict(&original, &profile) {
                let (twice, none, changes) = strict(&once, &profile).expect("strict stays strict");
                prop_assert_eq!(once.to_string(), twice.to_string());
                prop_assert!(changes.is_empty() && none.is_empty());
                prop_assert_eq!(restore.is_empty(), profile == Profile::default() || restore.is_empty());
            }
        }
    }

    #[test]
    fn what_resolves_is_strict_and_what_is_strict_resolves((bytes, _) in tapes()) {
        let original = schema(&mut Tape::new(&bytes));
        let profile = Profile::default();
        let resolved = strict(&original, &profile);
        if let Some((resolved, ..)) = &resolved {
            prop_assert_eq!(check_strict(resolved, &profile, AT), Ok(()));
            prop_assert_eq!(check_root(resolved, AT), Ok(()));
        }
        if check_strict(&original, &profile, AT).is_ok() {
            let (_, restore, levels) = resolved.expect("strict already");
            prop_assert!(restore.is_empty() && levels.iter().all(|level| *level == Level::B));
        }
    }

    #[test]
    fn the_order_stays((bytes, _) in tapes()) {
        let original = schema(&mut Tape::new(&bytes));
        if let Some((resolved, _, levels)) = strict(&original, &Profile::default())
            && levels.iter().all(|level| *level == Level::A)
        {
            prop_assert_eq!(bare(&resolved).to_string(), bare(&original).to_string());
        }
    }

    #[test]
    fn levels_a_and_b_only_narrow((bytes, more) in tapes()) {
        let original = schema(&mut Tape::new(&bytes));
        check_soundness(&original, &Profile::default(), &mut Tape::new(&more));
    }

    #[test]
    fn level_c_is_undone((bytes, more) in tapes()) {
        let original = schema(&mut Tape::new(&bytes));
        check_soundness(&original, &loose_profile(), &mut Tape::new(&more));
    }

    #[test]
    fn engines_are_sent_looser_schemas((bytes, more) in tapes()) {
        let original = schema(&mut Tape::new(&bytes));
        let Some(judge_original) = judge(&original) else { return Ok(()) };
        let documents: Vec<_> = documents(&original, &mut Tape::new(&more))
            .into_iter()
            .filter(|document| judge_original.is_valid(document))
            .collect();
        for name in Dialect::NAMES {
            let sent = downlevel(&original, &Dialect::named(name).expect(name)).schema;
            let looser = judge(&sent).unwrap_or_else(|| panic!("{sent} is no schema"));
            for document in &documents {
                prop_assert!(looser.is_valid(document), "{name}: {document}\n{sent}\n{original}");
            }
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut tape = Tape::new(&bytes);
        let value = nonsense(&mut tape, 6);
        let text = value.to_string();
        let parsed = parse(text.as_bytes(), &Limits::default());
        prop_assert_eq!(parsed.as_ref(), Ok(&value));
        let _ = parse(&bytes, &Limits::default());
        for profile in [Profile::default(), loose_profile()] {
            if let Resolved::Strict { schema, restore, .. } = resolve(&value, &profile) {
                prop_assert_eq!(check_strict(&schema, &profile, AT), Ok(()));
                let mut arguments = nonsense(&mut tape, 4);
                restore.apply(&mut arguments);
            }
        }
        let _ = check_strict(&value, &Profile::default(), AT);
        let _ = check_root(&value, AT);
        for name in Dialect::NAMES {
            let _ = downlevel(&value, &Dialect::named(name).expect(name));
        }
    }
}

/// The same bytes in every run, so many at a time (xorshift).
fn seeded(len: usize) -> impl FnMut() -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    move || {
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..len).map(byte).collect()
    }
}

/// The properties above would hold for a generator that makes nothing strict.
#[test]
fn the_properties_are_about_something() {
    let mut tape = seeded(160);
    let (mut narrow, mut loose, mut resolved) = (0, 0, 0);
    for _ in 0..300 {
        let (bytes, more) = (tape(), tape());
        let original = schema(&mut Tape::new(&bytes));
        resolved += usize::from(strict(&original, &Profile::default()).is_some());
        narrow += check_soundness(&original, &Profile::default(), &mut Tape::new(&more));
        loose += check_soundness(&original, &loose_profile(), &mut Tape::new(&more));
    }
    assert!(
        resolved > 60 && narrow > 300 && loose > 300,
        "{resolved} {narrow} {loose}"
    );
}
