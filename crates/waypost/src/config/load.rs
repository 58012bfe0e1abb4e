//! From file, environment and flags to a checked [`Config`].

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use strict_schema::Profile;
use waypost_identity::Origin;

use super::{Config, EngineKind, Keep, Secret, Upstream, UpstreamApi};
use crate::identity::master_key::MasterKey;

/// More than a process has descriptors, and few enough to count.
const MAX_CONNECTIONS: usize = 1_000_000;

/// What flags set; they win over the environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
}

/// Why there is no configuration. Display is for the person who wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}:{line}:{column}: {message}")]
    Parse {
        path: String,
        line: usize,
        column: usize,
        message: String,
    },
    /// A value that is well-formed and makes no sense.
    #[error("{place}: `{field}` {problem}")]
    Value {
        /// The file and, if known, the line; or what overrode it.
        place: String,
        field: String,
        problem: String,
    },
}

/// Reads the file that flags or `WAYPOST_CONFIG` name (none is fine), lays
/// environment and flags over it, and checks the whole.
pub fn load(flags: Overrides, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    // An empty variable counts as unset: that is what `NAME= command` means.
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    let path = flags
        .config
        .clone()
        .or_else(|| env("WAYPOST_CONFIG").map(PathBuf::from));
    let (mut config, text) = match &path {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.display().to_string(),
                source,
            })?;
            (parse(&text, path)?, text)
        }
        None => (Config::default(), String::new()),
    };
    overlay(&mut config, flags, &env)?;
    check(&config).map_err(|(field, problem)| ConfigError::Value {
        place: place_of(&field, &text, path.as_deref()),
        field,
        problem,
    })?;
    Ok(config)
}

fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or(text);
        let line = before.split('\n').count();
        let column = at - before.rfind('\n').map_or(0, |n| n + 1) + 1;
        let mut message = error.message().trim_end().to_owned();
        // The line itself, unless a value that may be a secret stands on it.
        if let Some(key) = text.lines().nth(line - 1).and_then(|l| l.split('=').next()) {
            let key = key.trim();
            if !key.is_empty() && !key.starts_with('#') && !message.contains(&format!("`{key}`")) {
                message = format!("{key}: {message}");
            }
        }
        if message.contains("socket address") {
            message.push_str("\nhint: write an IP address and a port, like \"127.0.0.1:8080\"");
        }
        if message.contains("admin_key") {
            message.push_str("\nhint: the bootstrap key is given by WAYPOST_ADMIN_KEY only");
        }
        ConfigError::Parse {
            path: path.display().to_string(),
            line,
            column,
            message,
        }
    })
}

fn overlay(
    config: &mut Config,
    flags: Overrides,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    let bad = |name: &str, problem: String| ConfigError::Value {
        place: "environment".to_owned(),
        field: name.to_owned(),
        problem,
    };
    if let Some(listen) = env("WAYPOST_LISTEN") {
        config.listen = listen.parse().map_err(|_| {
            bad(
                "WAYPOST_LISTEN",
                format!(
                    "`{listen}` is no address: write an IP address and a port, like 127.0.0.1:8080"
                ),
            )
        })?;
    }
    if let Some(dir) = env("WAYPOST_DATA_DIR") {
        config.data_dir = dir.into();
    }
    if let Some(key) = env("WAYPOST_ADMIN_KEY") {
        let key = Secret::look_up(key).map_err(|problem| bad("WAYPOST_ADMIN_KEY", problem))?;
        config.admin_key = Some(key);
    }
    let api = env("WAYPOST_UPSTREAM_API");
    let api_key = env("WAYPOST_UPSTREAM_API_KEY");
    if let Some(base_url) = env("WAYPOST_UPSTREAM_URL") {
        let api = match api.as_deref() {
            None | Some("chat") => UpstreamApi::Chat,
            Some("responses") => UpstreamApi::Responses,
            Some(other) => {
                return Err(bad(
                    "WAYPOST_UPSTREAM_API",
                    format!("is `{other}`: it must be `chat` or `responses`"),
                ));
            }
        };
        let api_key = api_key
            .map(Secret::look_up)
            .transpose()
            .map_err(|problem| bad("WAYPOST_UPSTREAM_API_KEY", problem))?;
        config.upstreams = vec![Upstream::from_environment(base_url, api, api_key)];
    } else if api.is_some() || api_key.is_some() {
        return Err(bad(
            "WAYPOST_UPSTREAM_URL",
            "is not set, but WAYPOST_UPSTREAM_API or WAYPOST_UPSTREAM_API_KEY is".to_owned(),
        ));
    }
    if let Some(listen) = flags.listen {
        config.listen = listen;
    }
    if let Some(dir) = flags.data_dir {
        config.data_dir = dir;
    }
    Ok(())
}

/// What no type can say. The first problem: its field and a sentence.
fn check(config: &Config) -> Result<(), (String, String)> {
    let bad = |field: &str, problem: &str| Err((field.to_owned(), problem.to_owned()));
    let at_least = |field: &str, value: Duration, min_ms: u64| {
        if value < Duration::from_millis(min_ms) {
            return bad(field, &format!("must be at least {min_ms} ms"));
        }
        Ok(())
    };
    if Profile::named(&config.tools.profile).is_none() {
        return bad(
            "tools.profile",
            &format!(
                "is `{}`: it must be one of {}",
                config.tools.profile,
                Profile::NAMES.join(", ")
            ),
        );
    }
    if config.engine.kind == EngineKind::Cluster {
        return bad(
            "engine.kind",
            "is `cluster`, which this version does not have: use `embedded`",
        );
    }
    if let Some(url) = &config.public_url
        && !is_base_url(url)
    {
        return bad(
            "public_url",
            "must be an http or https URL without credentials, query, fragment or trailing slash, like \"https://waypost.example.com\"",
        );
    }
    if let Some(key) = &config.admin_key
        && (key.expose().len() < 8 || !key.expose().bytes().all(|b| b.is_ascii_graphic()))
    {
        return bad(
            "WAYPOST_ADMIN_KEY",
            "must be at least 8 visible ASCII characters without spaces; make one with `openssl rand -hex 32`",
        );
    }
    at_least("shutdown_grace", config.shutdown_grace, 100)?;
    at_least("http.header_timeout", config.http.header_timeout, 100)?;
    at_least("http.body_timeout", config.http.body_timeout, 100)?;
    if config.http.body_limit.0 < 1024 {
        return bad("http.body_limit", "must be at least 1KiB");
    }
    if !(1..=MAX_CONNECTIONS).contains(&config.http.max_connections) {
        return bad("http.max_connections", "must be 1 to 1000000");
    }
    let identity = &config.identity;
    if identity.clock_skew > Duration::from_mins(5) {
        return bad("identity.clock_skew", "must be 0s to 300s");
    }
    at_least("identity.fetch_timeout", identity.fetch_timeout, 100)?;
    at_least("identity.key_cache", identity.key_cache, 1_000)?;
    at_least(
        "identity.key_refresh_cooldown",
        identity.key_refresh_cooldown,
        100,
    )?;
    // A new key is published an hour before it signs.
    at_least(
        "identity.signing_key_lifetime",
        identity.signing_key_lifetime,
        2 * 3_600_000,
    )?;
    if let Some(key) = &identity.master_key
        && let Err(problem) = MasterKey::check(key.expose())
    {
        return bad("identity.master_key", problem);
    }
    for origin in &identity.allow_private_issuers {
        if let Err(problem) = Origin::parse(origin) {
            return bad(
                "identity.allow_private_issuers",
                &format!("holds `{origin}`: {problem}"),
            );
        }
    }
    let responses = &config.responses;
    at_least("responses.lease", responses.lease, 1_000)?;
    at_least("responses.keep_alive", responses.keep_alive, 100)?;
    at_least("responses.max_duration", responses.max_duration, 1_000)?;
    at_least(
        "responses.upstream_idle_timeout",
        responses.upstream_idle_timeout,
        100,
    )?;
    if responses.max_attempts == 0 {
        return bad("responses.max_attempts", "must be at least 1");
    }
    if let Keep::For(stored) = responses.stored_retention
        && stored < responses.event_log_retention
    {
        return bad(
            "responses.stored_retention",
            "must not be shorter than event_log_retention",
        );
    }
    let mut names = HashSet::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if let Some((field, problem)) = upstream.problem() {
            return bad(&format!("upstreams[{index}].{field}"), &problem);
        }
        if !names.insert(&upstream.name) {
            return bad(
                &format!("upstreams[{index}].name"),
                &format!("`{}` is taken by another upstream", upstream.name),
            );
        }
    }
    Ok(())
}

/// An http(s) URL to which paths can be appended.
fn is_base_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    }) && !text.ends_with('/')
}

/// `file:line` of a field, found by its last name in its section; the file
/// alone when it is not written there (an override set it).
fn place_of(field: &str, text: &str, path: Option<&Path>) -> String {
    let Some(path) = path else {
        return "configuration".to_owned();
    };
    let (section, key) = field.rsplit_once('.').unwrap_or(("", field));
    let (name, index) = match section.split_once('[') {
        Some((name, rest)) => (name, rest.trim_end_matches(']').parse().unwrap_or(0)),
        None => (section, 0usize),
    };
    let mut current = String::new();
    let mut seen = 0;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            let head = line
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or("")
                .trim();
            head.clone_into(&mut current);
            if current == name {
                seen += 1;
            }
            continue;
        }
        let wanted = current == name && (name.is_empty() || seen == index + 1);
        if wanted && line.split('=').next().map(str::trim) == Some(key) {
            return format!("{}:{}", path.display(), number + 1);
        }
    }
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        let flags = Overrides {
            config: Some(file.path().to_owned()),
            ..Overrides::default()
        };
        let env = |name: &str| {
            env.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        };
        load(flags, &env).map_err(|error| {
            error
                .to_string()
                .replace(&file.path().display().to_string(), "waypost.toml")
        })
    }

    #[test]
    fn the_documented_example_is_read() {
        let config = load_text(
            r#"
listen = "127.0.0.1:8080"
public_url = "http://127.0.0.1:8080"
data_dir = "waypost-data"
shutdown_grace = "10s"

[engine]
kind = "embedded"
postgres_url = "env:WAYPOST_POSTGRES_URL"
nats_url = "nats://127.0.0.1:4222"

[identity]
allow_private_issuers = ["http://127.0.0.1:9000"]
clock_skew = "60s"

[[upstreams]]
name = "local"
base_url = "http://127.0.0.1:8000/v1"
api = "chat"
api_key = "sk-upstream"
models = ["*"]
max_concurrent = 64
dialect = "llama.cpp"
assistant_prefill = false
headers = { "x-team" = "search" }
"#,
            &[],
        )
        .expect("valid");
        assert_eq!(config.upstreams[0].assistant_prefill, Some(false));
        let printed = toml::to_string_pretty(&config).expect("printable");
        assert!(!printed.contains("sk-upstream"), "{printed}");
        assert!(!printed.contains("search"), "{printed}");
        assert!(toml::from_str::<Config>(&printed).is_ok(), "{printed}");
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, expected) in [
            (
                "lisen = \"127.0.0.1:1\"\n",
                "waypost.toml:1:1: unknown field `lisen`",
            ),
            (
                "\n[http]\nbody_limit = \"1MB\"\n",
                "waypost.toml:3:14: body_limit: `1MB` is no size",
            ),
            (
                "[identity]\nclock_skew = \"10m\"\n",
                "waypost.toml:2: `identity.clock_skew` must be 0s to 300s",
            ),
            (
                "[engine]\nkind = \"cluster\"\n",
                "waypost.toml:2: `engine.kind` is `cluster`, which this version does not have",
            ),
            (
                "[[upstreams]]\nname = \"a\"\nbase_url = \"http://h/v1\"\n[[upstreams]]\nname = \"a\"\nbase_url = \"http://h/v1\"\n",
                "waypost.toml:5: `upstreams[1].name` `a` is taken",
            ),
            (
                "[[upstreams]]\nname = \"a\"\nbase_url = \"http://h/v1\"\napi_key = \"env:WAYPOST_NO_SUCH\"\n",
                "waypost.toml:4:11: api_key: the environment variable WAYPOST_NO_SUCH is not set",
            ),
            ("admin_key = \"sk-admin-x\"\n", "WAYPOST_ADMIN_KEY only"),
            (
                "listen = \"localhost:8080\"\n",
                "write an IP address and a port, like \"127.0.0.1:8080\"",
            ),
            (
                "shutdown_grace = 10\n",
                "shutdown_grace: a duration is a number and a unit",
            ),
            (
                "[http]\nmax_connections = 9000000000000000000\n",
                "`http.max_connections` must be 1 to 1000000",
            ),
            (
                "[[upstreams]]\nname = \"a\"\nbase_url = \"http://u:hunter2@h/v1\"\n",
                "`upstreams[0].base_url` must be",
            ),
        ] {
            let error = load_text(text, &[]).expect_err(text);
            assert!(error.contains(expected), "{error}\nshould hold\n{expected}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file_and_flags_both() {
        let text = "listen = \"127.0.0.1:1\"\n";
        let config = load_text(text, &[("WAYPOST_LISTEN", "127.0.0.1:2")]).expect("valid");
        assert_eq!(config.listen.port(), 2);
        let flags = Overrides {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 3))),
            ..Overrides::default()
        };
        let env = |name: &str| (name == "WAYPOST_LISTEN").then(|| "127.0.0.1:2".to_owned());
        assert_eq!(load(flags, &env).expect("valid").listen.port(), 3);

        let config = load_text(
            "",
            &[
                ("WAYPOST_UPSTREAM_URL", "http://127.0.0.1:9/v1"),
                ("WAYPOST_UPSTREAM_API", "responses"),
                ("WAYPOST_UPSTREAM_API_KEY", "k"),
            ],
        )
        .expect("valid");
        assert_eq!(config.upstreams[0].api, UpstreamApi::Responses);
        assert!(load_text("", &[("WAYPOST_UPSTREAM_API", "chat")]).is_err());
        assert!(load_text("", &[("WAYPOST_LISTEN", "")]).is_ok());
    }
}
