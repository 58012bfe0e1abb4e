//! Names as every model server takes them: `^[a-zA-Z0-9_-]{1,64}$`, unique in
//! a request, and the same for the same tool in every request (a prompt cache
//! depends on it, and so does a model that reads its own earlier calls).

use std::{collections::HashSet, fmt::Write};

use aws_lc_rs::digest;

/// Longest name that Chat Completions takes.
const LONGEST: usize = 64;
/// Hexadecimal digits that tell shortened names apart.
const MARK: usize = 8;

/// The name of a tool on its own.
pub fn flat(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None if fits(name) => name.to_owned(),
        None => marked(namespace, name),
        Some(space) => {
            let joined = format!("{space}__{name}");
            if fits(&joined) {
                joined
            } else {
                marked(namespace, name)
            }
        }
    }
}

/// Names for all tools of a request. A name that two of them would share goes
/// to the one without a namespace, else to the first; the other is marked.
pub fn all<'a>(tools: impl Iterator<Item = (Option<&'a str>, &'a str)> + Clone) -> Vec<String> {
    let mut taken: HashSet<String> = tools
        .clone()
        .filter(|(namespace, _)| namespace.is_none())
        .map(|(_, name)| flat(None, name))
        .collect();
    tools
        .map(|(namespace, name)| {
            let mut flat = flat(namespace, name);
            if namespace.is_some() && !taken.insert(flat.clone()) {
                flat = marked(namespace, name);
                taken.insert(flat.clone());
            }
            flat
        })
        .collect()
}

fn fits(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// As much of the name as fits, and a mark made of the whole identity.
fn marked(namespace: Option<&str>, name: &str) -> String {
    let identity = format!("{}\0{name}", namespace.unwrap_or_default());
    let hash = digest::digest(&digest::SHA256, identity.as_bytes());
    let readable = match namespace {
        Some(space) => format!("{space}__{name}"),
        None => name.to_owned(),
    };
    let mut out: String = readable
        .chars()
        .map(|c| {
            if c.is_ascii() && is_plain(c as u8) {
                c
            } else {
                '_'
            }
        })
        .take(LONGEST - MARK - 1)
        .collect();
    out.push('_');
    for byte in &hash.as_ref()[..MARK / 2] {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_are_unique_and_do_not_depend_on_others() {
        let long = "x".repeat(100);
        let also = format!("{long}y");
        let tools = [
            (Some("a"), "b__c"),
            (Some("a__b"), "c"),
            (None, "a__b__c"),
            (None, long.as_str()),
            (None, also.as_str()),
            (Some("crm"), "find"),
        ];
        let names = all(tools.into_iter());
        assert!(names.iter().all(|name| fits(name)), "{names:?}");
        let unique: HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{names:?}");
        assert_eq!(names[2], "a__b__c", "plain names stay as they are");
        assert_eq!(names[5], "crm__find");
        assert_eq!(all(tools[5..].iter().copied()), names[5..]);
        assert!(fits(&flat(None, "")) && fits(&flat(Some("ü"), "é")));
    }
}
