//! The list of keys as a configuration file that can be used.

use std::fmt::Write;

use super::{
    Config,
    reference::{Key, Section, sections},
    secret::MASK,
};

/// Columns of a comment.
const WIDTH: usize = 78;

/// The configuration in effect as a file: every key with its meaning and its
/// default. Secrets stand in it as references only.
pub fn file(config: &Config) -> String {
    let values = toml::Value::try_from(config).expect("plain data always prints");
    let mut out = String::new();
    comment(
        &mut out,
        "What is in effect: every key with its meaning and its default. This text is a configuration file.",
    );
    if let Some(file) = &config.origin.file {
        comment(&mut out, &format!("It was read from {}.", file.display()));
    }
    comment(
        &mut out,
        match &config.admin_key {
            Some(_) => "WAYPOST_ADMIN_KEY is set. It cannot stand in a file.",
            None => "WAYPOST_ADMIN_KEY is not set. It cannot stand in a file.",
        },
    );
    for section in sections() {
        if !section.name.is_empty() {
            out.push('\n');
        }
        let value = at(&values, &section.name);
        match value {
            Some(toml::Value::Array(each)) if section.repeats && !each.is_empty() => {
                for (index, value) in each.iter().enumerate() {
                    if index > 0 {
                        out.push('\n');
                    }
                    let place = value.get("name").and_then(toml::Value::as_str);
                    let place = place.map_or_else(|| index.to_string(), str::to_owned);
                    let place = format!("{}_{place}", section.name);
                    write_section(&mut out, &section, Some(value), &place);
                }
            }
            Some(value @ toml::Value::Table(_)) => {
                write_section(&mut out, &section, Some(value), &section.name);
            }
            _ => write_section(&mut out, &section, None, &section.name),
        }
    }
    out
}

fn at<'v>(values: &'v toml::Value, section: &str) -> Option<&'v toml::Value> {
    section
        .split('.')
        .filter(|name| !name.is_empty())
        .try_fold(values, |value, name| value.get(name))
}

/// One section; as comments only when it is not there.
fn write_section(out: &mut String, section: &Section, value: Option<&toml::Value>, place: &str) {
    let off = if value.is_none() { "# " } else { "" };
    if !section.name.is_empty() {
        comment(out, &section.meaning);
        let _ = if section.repeats {
            writeln!(out, "{off}[[{}]]", section.name)
        } else {
            writeln!(out, "{off}[{}]", section.name)
        };
    }
    for key in &section.keys {
        out.push('\n');
        comment(out, &key.meaning);
        comment(out, &about(key));
        match value.and_then(|value| value.get(&key.name)) {
            Some(value) => {
                let mut value = value.clone();
                let variable = variable(place, &key.name);
                if key.secret && refer(&mut value, &variable) {
                    comment(
                        out,
                        &format!(
                            "The secret itself was written here. Before this text is used as a file, it has to go into the environment, as {variable}."
                        ),
                    );
                }
                let _ = writeln!(out, "{} = {value}", key.name);
            }
            None => {
                let _ = writeln!(out, "# {} = {}", key.name, key.example);
            }
        }
    }
}

/// What may be written, and what holds if nothing is.
fn about(key: &Key) -> String {
    let form = capital(&key.form.replace('`', ""));
    match &key.default {
        _ if key.required => format!("{form}. Required."),
        Some(default) => format!("{form}. Default: {default}"),
        None => format!("{form}."),
    }
}

/// Puts references where secrets are masked; whether any was.
fn refer(value: &mut toml::Value, variable: &str) -> bool {
    match value {
        toml::Value::String(text) if text == MASK => {
            *text = format!("env:{variable}");
            true
        }
        toml::Value::Table(table) => {
            let mut any = false;
            for (name, value) in table.iter_mut() {
                any |= refer(value, &self::variable(variable, name));
            }
            any
        }
        _ => false,
    }
}

/// The name of a variable for the secret of this key.
fn variable(place: &str, key: &str) -> String {
    format!("{place}_{key}")
        .to_ascii_uppercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Comment lines of at most [`WIDTH`] columns.
fn comment(out: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column == 0 {
            out.push_str("# ");
            column = 2;
        } else if column + 1 + length > WIDTH {
            out.push_str("\n# ");
            column = 2;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    if column > 0 {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn what_is_printed_is_a_file_with_the_same_meaning() {
        let printed = file(&Config::default());
        let read: Config = toml::from_str(&printed).expect(&printed);
        assert_eq!(file(&read), printed);
        for section in sections() {
            for key in &section.keys {
                let line = format!("{} = ", key.name);
                assert!(printed.contains(&line), "{line}");
            }
        }
        // What is commented out is right once it is not.
        let all: String = printed
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with('[') || is_key(rest) => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect::<String>()
            .replace("env:NAME", "x");
        toml::from_str::<Config>(&all).expect(&all);
    }

    fn is_key(line: &str) -> bool {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    }

    #[test]
    fn secrets_are_printed_as_references() {
        let mut config = Config::default();
        config.identity.master_key = Some(Secret::from("hunter2".to_owned()));
        let printed = file(&config);
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(
            printed.contains("master_key = \"env:IDENTITY_MASTER_KEY\""),
            "{printed}"
        );
    }
}
