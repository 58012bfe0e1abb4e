use super::*;

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("written");
    let flags = Overrides {
        config: Some(file.path().to_owned()),
        ..Overrides::default()
    };
    load(flags, &env.iter().copied().collect()).map_err(|error| {
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
        (
            "[log]\nlevel = \"verbose\"\n",
            "waypost.toml:2: `log.level` holds `verbose`: write a level",
        ),
        (
            "[log]\nlevel = \"info,hyper\"\n",
            "waypost.toml:2: `log.level` holds `hyper`",
        ),
        ("admin_key = \"sk-admin-x\"\n", "WAYPOST_ADMIN_KEY only"),
        (
            "listen = \"localhost:8080\"\n",
            "write an IP address and a port, like \"127.0.0.1:8080\"",
        ),
        (
            "shutdown_grace = \"5s\"\ndrain_delay = \"4s\"\n",
            "`drain_delay` leaves less than 2 s",
        ),
        (
            "shutdown_grace = 10\n",
            "shutdown_grace: a duration is a number and a unit",
        ),
        (
            "audit_retention = \"30s\"\n",
            "`audit_retention` must be at least 1d",
        ),
        (
            "[http]\nmax_connections = 9000000000000000000\n",
            "`http.max_connections` must be 1 to 1000000",
        ),
        (
            "[http]\ncors_origins = [\"https://app.example.com/\"]\n",
            "waypost.toml:2: `http.cors_origins` holds `https://app.example.com/`, which is no origin",
        ),
        (
            "[http]\ntrusted_proxies = [\"proxy.internal\"]\n",
            "trusted_proxies: `proxy.internal` is no network: write an address",
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
    let env = [("WAYPOST_LISTEN", "127.0.0.1:2")].into_iter().collect();
    assert_eq!(load(flags, &env).expect("valid").listen.port(), 3);

    let config = load_text(
        "",
        &[
            ("WAYPOST_UPSTREAM_URL", "http://127.0.0.1:9/v1"),
            ("WAYPOST_UPSTREAM_API", "responses"),
            ("WAYPOST_UPSTREAM_API_KEY", "k"),
            ("WAYPOST_UPSTREAM_DIALECT", "llama.cpp"),
        ],
    )
    .expect("valid");
    assert_eq!(config.upstreams[0].api, UpstreamApi::Responses);
    assert_eq!(config.upstreams[0].dialect, Some(Dialect::LlamaCpp));
    let wrong = [
        ("WAYPOST_UPSTREAM_URL", "http://127.0.0.1:9/v1"),
        ("WAYPOST_UPSTREAM_DIALECT", "vlm"),
    ];
    let error = load_text("", &wrong).expect_err("no such dialect");
    assert!(error.contains("one of generic, openai"), "{error}");
    assert!(load_text("", &[("WAYPOST_UPSTREAM_API", "chat")]).is_err());
    assert!(load_text("", &[("WAYPOST_LISTEN", "")]).is_ok());
}

#[test]
fn paths_in_a_file_start_at_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("waypost.toml");
    std::fs::write(dir.path().join("key"), "from-the-file\n").expect("written");
    std::fs::write(
        &file,
        "data_dir = \"data\"\n[tls]\ncert = \"c.pem\"\nkey = \"/k.pem\"\n[[upstreams]]\nname = \"a\"\nbase_url = \"http://h/v1\"\napi_key = \"file:key\"\n",
    )
    .expect("written");
    let flags = Overrides {
        config: Some(file.clone()),
        ..Overrides::default()
    };
    let config = load(flags.clone(), &Environment::default()).expect("valid");
    assert_eq!(config.data_dir, dir.path().join("data"));
    let tls = config.tls.as_ref().expect("a section");
    assert_eq!(tls.cert, dir.path().join("c.pem"));
    assert_eq!(tls.key, Path::new("/k.pem"));
    let key = config.upstreams[0].api_key.as_ref().expect("a key");
    assert_eq!(key.expose(), "from-the-file");
    let printed = crate::config::print::file(&config);
    let reference = format!("api_key = \"file:{}/key\"", dir.path().display());
    assert!(printed.contains(&reference), "{printed}");

    // Outside of a file they start at the working directory.
    let here = std::env::current_dir().expect("a directory");
    let env = [("WAYPOST_DATA_DIR", "elsewhere")].into_iter().collect();
    let config = load(flags, &env).expect("valid");
    assert_eq!(config.data_dir, here.join("elsewhere"));
    std::fs::write(&file, "").expect("written");
    let flags = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let config = load(flags, &Environment::default()).expect("valid");
    assert_eq!(config.data_dir, here.join("waypost-data"));
    assert_eq!(config.origin.data_dir, None);
}

#[test]
fn a_file_may_refer_to_the_variable_of_the_key() {
    let env = [("WAYPOST_UPSTREAM_API_KEY", "k")];
    let error = load_text("", &env).expect_err("nothing uses it");
    assert!(
        error.contains("is not set, but WAYPOST_UPSTREAM_API_KEY is"),
        "{error}"
    );
    // It is looked at only where it is used, which this is not.
    let text = "[engine]\nnats_url = \"env:WAYPOST_UPSTREAM_API_KEY\"\n";
    load_text(text, &env).expect("the file says what it is for");
}

#[test]
fn variables_that_a_file_refers_to_are_known() {
    let text = "[engine]\nnats_url = \"env:WAYPOST_NATS\"\n";
    let env = [("WAYPOST_NATS", "x"), ("WAYPOST_LISTEM", "x")];
    let config = load_text(text, &env).expect("valid");
    assert_eq!(config.origin.warnings.len(), 1);
    assert!(config.origin.warnings[0].contains("WAYPOST_LISTEN"));
}
