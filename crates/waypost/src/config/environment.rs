//! Environment variables that begin with `WAYPOST_`: the known ones, and who
//! is meant by one that is not.

use std::collections::{BTreeMap, BTreeSet};

/// Every variable that is read, and what it does. None may be called
/// `WAYPOST_PORT`, nor begin with `WAYPOST_PORT_` or `WAYPOST_SERVICE_`:
/// Kubernetes sets those for a service called `waypost`.
pub const VARIABLES: &[(&str, &str)] = &[
    ("WAYPOST_CONFIG", "The configuration file. `--config` wins."),
    ("WAYPOST_LISTEN", "`listen`. `--listen` wins."),
    ("WAYPOST_DATA_DIR", "`data_dir`. `--data-dir` wins."),
    (
        "WAYPOST_ADMIN_KEY",
        "An organization admin key that is accepted from start-up. A file cannot hold it.",
    ),
    (
        "WAYPOST_UPSTREAM_URL",
        "The `base_url` of one model server, called `default`, in place of all `[[upstreams]]`.",
    ),
    ("WAYPOST_UPSTREAM_API", "Its `api`: `chat` or `responses`."),
    (
        "WAYPOST_UPSTREAM_API_KEY",
        "Its `api_key`. `env:` and `file:` are references here too.",
    ),
    (
        "WAYPOST_UPSTREAM_DIALECT",
        "Its `dialect`. Without it the server is asked what it is.",
    ),
    (
        "WAYPOST_MCP_AUTHORIZATION",
        "The access token with which `waypost schema lint --mcp-url` asks a server.",
    ),
];

/// What the tests of this project set.
const OF_TESTS: &[&str] = &["WAYPOST_TEST_", "WAYPOST_BIN", "WAYPOST_TESTKIT_BIN"];
/// What Kubernetes sets for a service called `waypost`.
const OF_KUBERNETES: &[&str] = &["WAYPOST_PORT_", "WAYPOST_SERVICE_"];

/// The environment, as far as it is ours.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        std::env::vars_os()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect()
    }

    /// A variable's value. An empty one counts as unset: that is what `NAME=
    /// command` means.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A sentence about each variable that is set and does nothing, unless the
    /// configuration refers to it.
    pub fn unknown(&self, referred_to: &BTreeSet<String>) -> Vec<String> {
        let is_known = |name: &str| VARIABLES.iter().any(|(known, _)| *known == name);
        self.0
            .keys()
            .filter(|name| !is_known(name) && !referred_to.contains(*name))
            .filter(|name| !OF_TESTS.iter().any(|start| name.starts_with(start)))
            .filter(|name| !OF_KUBERNETES.iter().any(|start| name.starts_with(start)))
            .filter(|name| *name != "WAYPOST_PORT")
            .map(|name| {
                format!(
                    "the environment variable {} does nothing: is {} meant?",
                    name.escape_debug(),
                    nearest(name)
                )
            })
            .collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        all.into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _)| name.starts_with("WAYPOST_"))
            .collect::<BTreeMap<_, _>>()
            .into()
    }
}

impl From<BTreeMap<String, String>> for Environment {
    fn from(all: BTreeMap<String, String>) -> Self {
        Self(all)
    }
}

/// The known variable whose name is most like this one.
fn nearest(name: &str) -> &'static str {
    let distance = |known: &str| strsim::damerau_levenshtein(known, name);
    let nearest = VARIABLES.iter().min_by_key(|(known, _)| distance(known));
    nearest.expect("there are variables").0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_nothing_is_told_with_what_may_be_meant() {
        let environment: Environment = [
            ("WAYPOST_LISTN", "x"),
            ("WAYPOST_UPSTREAM_DIALEKT", "x"),
            ("WAYPOST_LISTEN", "127.0.0.1:1"),
            ("WAYPOST_OWN", "x"),
            ("WAYPOST_PORT", "tcp://10.0.0.1:80"),
            ("WAYPOST_PORT_80_TCP", "x"),
            ("WAYPOST_SERVICE_HOST", "10.0.0.1"),
            ("WAYPOST_TEST_REQUIRE_ALL", "1"),
            ("PATH", "x"),
        ]
        .into_iter()
        .collect();
        let told = environment.unknown(&BTreeSet::from(["WAYPOST_OWN".to_owned()]));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("WAYPOST_LISTN") && told[0].contains("WAYPOST_LISTEN "));
        assert!(told[1].contains("WAYPOST_UPSTREAM_DIALECT "), "{told:?}");
    }

    #[test]
    fn no_setting_has_a_name_that_kubernetes_sets() {
        for (name, _) in VARIABLES {
            assert!(name.starts_with("WAYPOST_") && *name != "WAYPOST_PORT");
            assert!(!OF_KUBERNETES.iter().any(|start| name.starts_with(start)));
        }
    }
}
