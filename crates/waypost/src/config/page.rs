//! `docs/configuration.md`, which a test holds against the source.

use std::fmt::Write;

use super::{environment, print::capital, reference::sections};

fn page() -> String {
    let mut out = PREAMBLE.to_owned();
    out.push_str("\n## Environment\n\n| Variable | Meaning |\n|---|---|\n");
    for (name, meaning) in environment::VARIABLES {
        let _ = writeln!(out, "| `{name}` | {meaning} |");
    }
    for section in sections() {
        let heading = match (section.name.as_str(), section.repeats) {
            ("", _) => "The top of the file".to_owned(),
            (name, true) => format!("`[[{name}]]`"),
            (name, false) => format!("`[{name}]`"),
        };
        let _ = write!(out, "\n## {heading}\n\n{}\n\n", section.meaning);
        out.push_str("| Key | Default | Meaning |\n|---|---|---|\n");
        for key in &section.keys {
            let default = match &key.default {
                _ if key.required => "required".to_owned(),
                Some(default) => format!("`{default}`"),
                None => String::new(),
            };
            let text = format!("{} {}.", key.meaning, capital(&key.form));
            let text = text.replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {default} | {text} |", key.name);
        }
    }
    out
}

const PREAMBLE: &str = r#"# Configuration

This page is made from the server's source. `waypost config check` prints the same list as a file, with the values in effect.

A configuration is TOML; an unknown key is an error. `--config` or `WAYPOST_CONFIG` names the file; without one the defaults hold. Environment variables win over the file, flags win over both.

- **Paths.** A relative path in the file (`data_dir`, certificates, `file:`) starts at the directory of the file. In flags and in the environment it starts at the working directory, as does the default of `data_dir`.
- **Secrets.** `"env:NAME"` takes a secret from the environment, `"file:PATH"` from a file, whose last line break is left out. The secret itself may be written too; nothing prints it.
- **Durations** are numbers with units: `ms`, `s`, `m`, `h`, `d`, as in `"1h30m"`. **Sizes** are numbers with `B`, `KiB`, `MiB` or `GiB`.

`waypost config check` reads everything that the configuration names (certificates, keys, secrets) and exits with 64 where something is wrong. With `--connect` it also looks at the store, fetches the keys of the issuers that the store's enabled identity providers name, and asks each model server what it is and lists, without a change to anything; a server may run on the data directory. It exits with 1 where one does not answer, or an issuer has no usable key.

The smallest useful file:

```toml
listen = "0.0.0.0:8080"
public_url = "https://waypost.example.com"   # the issuer of its access tokens: set it before the first exchange
data_dir = "/var/lib/waypost"

[[upstreams]]
name = "local"
base_url = "http://127.0.0.1:8000/v1"

[tls]                                        # or a proxy in front
cert = "tls/fullchain.pem"
key = "tls/key.pem"
```
"#;

/// `WAYPOST_TEST_UPDATE=1` writes the page anew.
#[test]
fn the_page_is_the_one_in_docs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = page();
    if std::env::var_os("WAYPOST_TEST_UPDATE").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is not what the source says: WAYPOST_TEST_UPDATE=1 cargo test -p waypost --lib config::page"
    );
}
