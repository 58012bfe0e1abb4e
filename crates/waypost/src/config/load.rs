//! From file, environment and flags to a checked [`Config`].

use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use outbound::Origin;
use strict_schema::Profile;
use waypost_identity::MAX_SKEW_SECONDS;

use super::{
    Config, Dialect, EngineKind, Environment, Keep, Secret, Upstream, UpstreamApi, origin, secret,
};
use crate::sealing::MasterKey;

/// More than a process has descriptors, and few enough to count.
const MAX_CONNECTIONS: usize = 1_000_000;

/// What `drain_delay` has to leave of `shutdown_grace`.
const AFTER_DRAIN_DELAY: Duration = Duration::from_secs(2);

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
/// environment and flags over it, and checks the whole. Every path in it is
/// absolute.
pub fn load(flags: Overrides, env: &Environment) -> Result<Config, ConfigError> {
    let path = flags
        .config
        .clone()
        .or_else(|| env.get("WAYPOST_CONFIG").map(PathBuf::from));
    let (mut config, text) = match &path {
        Some(path) => {
            let text = read(path)?;
            (from_file(&text, path)?, text)
        }
        None => (Config::default(), String::new()),
    };
    let referred_to = referred_to(&text);
    overlay(&mut config, flags, env, &referred_to)?;
    config.data_dir = absolute(&config.data_dir);
    check(&config).map_err(|(field, problem)| ConfigError::Value {
        place: place_of(&field, &text, path.as_deref()),
        field,
        problem,
    })?;
    config.origin.warnings = env.unknown(&referred_to);
    Ok(config)
}

/// Where the data is, by flag, environment, file or default as [`load`] has it,
/// and nothing else. What else the file says is not judged: whoever makes an
/// admin key need not have the secrets of model servers. With a flag or a
/// variable the file is not read.
pub fn data_dir(flags: Overrides, env: &Environment) -> Result<PathBuf, ConfigError> {
    #[derive(serde::Deserialize)]
    struct DataDir {
        data_dir: Option<PathBuf>,
    }
    let variable = |name| env.get(name).map(PathBuf::from);
    if let Some(dir) = flags.data_dir.or_else(|| variable("WAYPOST_DATA_DIR")) {
        return Ok(absolute(&dir));
    }
    let Some(path) = flags.config.or_else(|| variable("WAYPOST_CONFIG")) else {
        return Ok(absolute(&Config::default().data_dir));
    };
    let text = read(&path)?;
    let DataDir { data_dir } = parse(&text, &path)?;
    Ok(match data_dir {
        Some(dir) => directory_of(&absolute(&path)).join(dir),
        None => absolute(&Config::default().data_dir),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.display().to_string(),
        source,
    })
}

fn directory_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// Less is a slip of the pen, and what is gone is gone.
const SHORTEST_AUDIT: Duration = Duration::from_hours(24);

/// The file's own configuration, with its paths as it means them.
fn from_file(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let file = absolute(path);
    let base = directory_of(&file).to_owned();
    let mut config: Config = secret::relative_to(&base, || parse(text, path))?;
    // The default does not stand in the file.
    if text
        .parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("data_dir"))
    {
        config.origin.data_dir = Some(config.data_dir.clone());
        config.data_dir = base.join(&config.data_dir);
    }
    if let Some(tls) = &mut config.tls {
        tls.cert = base.join(&tls.cert);
        tls.key = base.join(&tls.key);
    }
    for upstream in &mut config.upstreams {
        upstream.paths_start_at(&base);
    }
    config.origin.file = Some(file);
    Ok(config)
}

/// From the working directory. Where that is gone, as it stands.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The variables that a file names by `env:`, looked up or not.
fn referred_to(text: &str) -> BTreeSet<String> {
    fn walk(value: &toml::Value, found: &mut BTreeSet<String>) {
        match value {
            toml::Value::String(text) => {
                found.extend(text.strip_prefix("env:").map(str::to_owned));
            }
            toml::Value::Array(each) => each.iter().for_each(|value| walk(value, found)),
            toml::Value::Table(each) => each.values().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        walk(&toml::Value::Table(table), &mut found);
    }
    found
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
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
    env: &Environment,
    referred_to: &BTreeSet<String>,
) -> Result<(), ConfigError> {
    let bad = |name: &str, problem: String| ConfigError::Value {
        place: "environment".to_owned(),
        field: name.to_owned(),
        problem,
    };
    if let Some(listen) = env.get("WAYPOST_LISTEN") {
        config.listen = listen.parse().map_err(|_| {
            bad(
                "WAYPOST_LISTEN",
                format!(
                    "`{listen}` is no address: write an IP address and a port, like 127.0.0.1:8080"
                ),
            )
        })?;
    }
    if let Some(dir) = env.get("WAYPOST_DATA_DIR") {
        config.data_dir = dir.into();
        config.origin.data_dir = Some(config.data_dir.clone());
    }
    if let Some(key) = env.get("WAYPOST_ADMIN_KEY") {
        let key = Secret::of_variable("WAYPOST_ADMIN_KEY", key)
            .map_err(|problem| bad("WAYPOST_ADMIN_KEY", problem))?;
        config.admin_key = Some(key);
    }
    let api = env.get("WAYPOST_UPSTREAM_API");
    let api_key = env.get("WAYPOST_UPSTREAM_API_KEY");
    let dialect = env.get("WAYPOST_UPSTREAM_DIALECT");
    if let Some(base_url) = env.get("WAYPOST_UPSTREAM_URL") {
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
            .map(|key| Secret::of_variable("WAYPOST_UPSTREAM_API_KEY", key))
            .transpose()
            .map_err(|problem| bad("WAYPOST_UPSTREAM_API_KEY", problem))?;
        let dialect = dialect
            .map(|name| {
                Dialect::named(&name).ok_or_else(|| {
                    let known = Dialect::ALL.map(Dialect::name).join(", ");
                    bad(
                        "WAYPOST_UPSTREAM_DIALECT",
                        format!("is `{name}`: it must be one of {known}"),
                    )
                })
            })
            .transpose()?;
        config.upstreams = vec![Upstream {
            api,
            api_key,
            dialect,
            ..Upstream::at("default".to_owned(), base_url)
        }];
    } else if let Some(name) = [
        ("WAYPOST_UPSTREAM_API", api),
        ("WAYPOST_UPSTREAM_API_KEY", api_key),
        ("WAYPOST_UPSTREAM_DIALECT", dialect),
    ]
    .into_iter()
    // A file may have it as a reference: then it is about that upstream.
    .filter(|(name, _)| !referred_to.contains(*name))
    .find_map(|(name, value)| value.map(|_| name))
    {
        return Err(bad(
            "WAYPOST_UPSTREAM_URL",
            format!("is not set, but {name} is"),
        ));
    }
    if let Some(listen) = flags.listen {
        config.listen = listen;
    }
    if let Some(dir) = flags.data_dir {
        config.origin.data_dir = Some(dir.clone());
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
    if let Some(problem) = config.log.problem() {
        return bad("log.level", &problem);
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
    if let Keep::For(kept) = config.audit_retention
        && kept < SHORTEST_AUDIT
    {
        return bad("audit_retention", "must be at least 1d, or \"forever\"");
    }
    if !config.drain_delay.is_zero()
        && config.drain_delay + AFTER_DRAIN_DELAY > config.shutdown_grace
    {
        return bad(
            "drain_delay",
            "leaves less than 2 s of shutdown_grace to end requests and hand jobs over: make it shorter, or shutdown_grace longer",
        );
    }
    at_least("http.header_timeout", config.http.header_timeout, 100)?;
    at_least("http.body_timeout", config.http.body_timeout, 100)?;
    at_least(
        "http.keep_alive_timeout",
        config.http.keep_alive_timeout,
        100,
    )?;
    if config.http.body_limit.0 < 1024 {
        return bad("http.body_limit", "must be at least 1KiB");
    }
    if !(1..=MAX_CONNECTIONS).contains(&config.http.max_connections) {
        return bad("http.max_connections", "must be 1 to 1000000");
    }
    for origin in &config.http.cors_origins {
        if let Some(problem) = origin::problem(origin) {
            return bad(
                "http.cors_origins",
                &format!("holds `{origin}`, which {problem}"),
            );
        }
    }
    let identity = &config.identity;
    if identity.clock_skew > Duration::from_secs(MAX_SKEW_SECONDS.into()) {
        let range = format!("must be 0s to {MAX_SKEW_SECONDS}s");
        return bad("identity.clock_skew", &range);
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
    if let Some((field, problem)) = config.tools.mcp.problem() {
        return bad(&format!("tools.mcp.{field}"), &problem);
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
#[path = "load_tests.rs"]
mod tests;
