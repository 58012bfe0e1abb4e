use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::{
    Fault, Limits, locate,
    pointer::{push_index, push_token},
    read,
};

const LIMITS: Limits = Limits {
    max_depth: 127,
    max_values: 10_000,
};

proptest! {
    /// What is read is what serde_json reads, unless a key comes twice.
    #[test]
    fn texts_are_read_as_serde_json_reads_them(text in "[\\[\\]{}:,\"\\\\ab10.eu\\- \n]{0,24}") {
        let theirs = serde_json::from_slice::<Value>(text.as_bytes());
        match (read(text.as_bytes(), &LIMITS), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(ours), Ok(_)) => prop_assert_eq!(ours.fault, Fault::DuplicateKey),
            (Err(ours), Err(theirs)) if ours.fault != Fault::DuplicateKey => {
                let place = format!(" at line {} column {}", ours.line, ours.column);
                prop_assert_eq!(ours.fault.to_string(), theirs.to_string().replace(&place, ""));
            }
            (Err(_), Err(_)) => {}
            (Ok(_), Err(theirs)) => prop_assert!(false, "{theirs}"),
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let theirs = serde_json::from_slice::<Value>(&bytes);
        if let Ok(ours) = read(&bytes, &LIMITS) {
            prop_assert_eq!(ours, theirs.expect("serde_json reads it too"));
        }
        let text = String::from_utf8_lossy(&bytes);
        locate(&text, "/a");
        locate(&text, "/0");
    }

    #[test]
    fn values_come_back_and_each_is_found(value in value(), pretty in any::<bool>()) {
        let text = written(&value, pretty);
        // Not `value`: serde_json reads some numbers as their neighbours.
        let value: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(read(text.as_bytes(), &LIMITS), Ok(value.clone()));
        for (pointer, inner) in places(&value) {
            let at = offset(&text, &pointer);
            let mut rest = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
            let found = rest.next().expect("a value").expect("JSON");
            prop_assert_eq!(&found, inner, "{} in {}", pointer, text);
        }
    }

    /// A key that is written once more is refused, wherever it is, with its place.
    #[test]
    fn a_key_written_twice_is_refused(value in value(), pretty in any::<bool>(), pick in any::<prop::sample::Index>()) {
        let mut keyed: Vec<(String, String)> = Vec::new();
        for (pointer, inner) in places(&value) {
            for key in inner.as_object().into_iter().flat_map(Map::keys) {
                keyed.push((pointer.clone(), key.clone()));
            }
        }
        prop_assume!(!keyed.is_empty());
        let (pointer, key) = pick.get(&keyed);
        let mut text = written(&value, pretty);
        let brace = offset(&text, pointer) + 1;
        // Escaped, so that only reading it says that it is the same key.
        let mut escaped = String::new();
        for unit in key.encode_utf16() {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
        text.insert_str(brace, &format!("\"{escaped}\":[],"));
        let error = read(text.as_bytes(), &LIMITS).expect_err("a key twice");
        let mut place = pointer.clone();
        push_token(&mut place, key);
        prop_assert_eq!((error.fault, error.pointer), (Fault::DuplicateKey, place));
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec(("[a-c~/\"\\\\é\n]{0,3}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn written(value: &Value, pretty: bool) -> String {
    if pretty {
        format!("{value:#}")
    } else {
        value.to_string()
    }
}

/// All values of a value, with their pointers.
fn places(value: &Value) -> Vec<(String, &Value)> {
    let mut places = vec![(String::new(), value)];
    let mut next = 0;
    while let Some((pointer, value)) = places.get(next).cloned() {
        next += 1;
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let mut pointer = pointer.clone();
                    push_index(&mut pointer, index);
                    places.push((pointer, item));
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    let mut pointer = pointer.clone();
                    push_token(&mut pointer, key);
                    places.push((pointer, item));
                }
            }
            _ => {}
        }
    }
    places
}

/// The byte at which [`locate`] says that a value begins.
fn offset(text: &str, pointer: &str) -> usize {
    let place = locate(text, pointer).expect(pointer);
    let line = text
        .split_inclusive('\n')
        .nth(place.line - 1)
        .expect("a line");
    let before: usize = text
        .split_inclusive('\n')
        .take(place.line - 1)
        .map(str::len)
        .sum();
    let within = line
        .char_indices()
        .nth(place.column - 1)
        .expect("a column")
        .0;
    before + within
}
