//! The nine string formats of the strict subset.
//!
//! The verdict at the closing quote is the `jsonschema` crate's own, so that it cannot differ
//! from the final verdict. A regular expression that matches a superset of each format finds
//! most wrong strings earlier; `formats_accept_what_the_filter_refuses` in the tests guards the
//! superset.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::dfa::Dfa;

/// Longest string (decoded, in bytes) that a format is checked on. No address, name, time or
/// identifier comes near; longer ones are refused.
pub(crate) const MAX_FORMAT_BYTES: usize = 512;

macro_rules! time_of_day {
    () => {
        r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
    };
}
macro_rules! day {
    () => {
        r"[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))"
    };
}

/// Names and the filters that see a wrong byte early.
const FILTERS: [(&str, &str); 9] = [
    (
        "date-time",
        concat!("^", day!(), "[tT]", time_of_day!(), "$"),
    ),
    ("time", concat!("^", time_of_day!(), "$")),
    ("date", concat!("^", day!(), "$")),
    (
        "duration",
        r"^P([0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?)$",
    ),
    ("email", r"^[^\x00-\x1f]*[^\x00-\x1f]@[^\x00-\x1f@]+$"),
    (
        "hostname",
        r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    ),
    (
        "ipv4",
        r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\.|$)){4}$",
    ),
    ("ipv6", r"^[0-9a-fA-F:.]{2,45}$"),
    (
        "uuid",
        r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    ),
];

/// One format: the early filter and the exact check.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) filter: Arc<Dfa>,
    exact: jsonschema::Validator,
}

impl Format {
    /// The format of that name, if it is one of the nine.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        static ALL: OnceLock<Vec<Format>> = OnceLock::new();
        ALL.get_or_init(|| {
            FILTERS
                .iter()
                .map(|&(name, filter)| Self::new(name, filter))
                .collect()
        })
        .iter()
        .find(|format| format.name == name)
    }

    fn new(name: &'static str, filter: &str) -> Self {
        let exact = jsonschema::options()
            .should_validate_formats(true)
            .offline()
            .build(&json!({ "format": name }))
            .expect("a schema with a known format is valid");
        let filter = Dfa::from_rust(filter, name).expect("the filters are small expressions");
        Self {
            name,
            filter: Arc::new(filter),
            exact,
        }
    }

    pub(crate) fn accepts(&self, text: &str) -> bool {
        text.len() <= MAX_FORMAT_BYTES && self.exact.is_valid(&Value::from(text))
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Format")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLES: [(&str, &[&str], &[&str]); 9] = [
        (
            "date-time",
            &["2024-02-29T23:59:60Z", "2024-01-01t00:00:00.123+05:30"],
            &[
                "2024-02-30T00:00:00Z",
                "2024-01-01 00:00:00Z",
                "2024-01-01T00:00:00",
            ],
        ),
        (
            "time",
            &["23:59:59Z", "00:00:00.5-08:00"],
            &["24:00:00Z", "12:00", "12:00:00"],
        ),
        (
            "date",
            &["2024-02-29", "0000-01-31"],
            &["2023-02-29", "2024-13-01", "2024-04-31"],
        ),
        (
            "duration",
            &["P3Y6M4DT12H30M5S", "P4W", "PT1S"],
            &["P", "PT", "1D", "P1W1D", "P1S"],
        ),
        (
            "email",
            &["a@b.c", "\"a b\"@example.org", "x@[127.0.0.1]"],
            &["a", "@b", "a@", "a b@c"],
        ),
        (
            "hostname",
            &["a", "a-b.example.org"],
            &["-a", "a..b", "a_b", "", "a."],
        ),
        (
            "ipv4",
            &["0.0.0.0", "255.249.199.9"],
            &["256.0.0.1", "1.2.3", "01.2.3.4"],
        ),
        (
            "ipv6",
            &["::", "2001:db8::1", "::ffff:1.2.3.4"],
            &[":::", "1", "g::", "::1%eth0"],
        ),
        (
            "uuid",
            &["123e4567-e89b-12d3-a456-426614174000"],
            &[
                "123e4567e89b12d3a456426614174000",
                "123e4567-e89b-12d3-a456-42661417400g",
            ],
        ),
    ];

    #[test]
    fn samples_are_judged_and_the_filter_agrees_on_the_valid_ones() {
        for (name, valid, invalid) in SAMPLES {
            let format = Format::named(name).expect("one of the nine");
            for text in valid {
                assert!(format.accepts(text), "{name} {text}");
                assert!(
                    format.filter.matches(text),
                    "filter of {name} refuses {text}"
                );
            }
            for text in invalid {
                assert!(!format.accepts(text), "{name} {text}");
            }
        }
        assert!(Format::named("uri").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn formats_accept_what_the_filter_refuses(
            text in "[0-9PTYMWDHSZtz:.+@\\[\\]\"a-f -]{0,30}|[0-9]{4}-[01][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,4})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])|P([0-9]{1,3}[YMWDTHS]{1,2}){1,5}|[ -~é]{1,8}@[!-~]{1,12}|([0-9a-f:]{1,5}){1,9}|([0-9]{1,3}\\.){3}[0-9]{1,3}"
        ) {
            for (name, _) in FILTERS {
                let format = Format::named(name).expect("one of the nine");
                if format.accepts(&text) {
                    prop_assert!(format.filter.matches(&text), "{} refuses {:?}", name, text);
                }
            }
        }
    }
}
