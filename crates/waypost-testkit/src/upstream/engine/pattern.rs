//! A text that a regular expression matches: the fewest repetitions, the first alternatives, and
//! letters or digits where a class has them.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Matches `pattern` and has at least `least` characters, if more repetitions can reach that.
pub(super) fn example(pattern: &str, least: usize) -> Result<String, String> {
    let tree = regex_syntax::parse(pattern)
        .map_err(|_| format!("cannot generate from the pattern `{pattern}`"))?;
    let mut text = String::new();
    for more in 0..=least {
        text.clear();
        write(&tree, more as u32, &mut text)?;
        if text.chars().count() >= least {
            break;
        }
    }
    Ok(text)
}

fn write(tree: &Hir, more: u32, text: &mut String) -> Result<(), String> {
    match tree.kind() {
        // Anchors hold: the text is the whole match, and other assertions are rare in schemas.
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.push(member(class).ok_or("a class without members")?),
        HirKind::Repetition(repeated) => {
            let most = repeated.max.unwrap_or(u32::MAX);
            for _ in 0..repeated.min.max(more.min(most)) {
                write(&repeated.sub, more, text)?;
            }
        }
        HirKind::Capture(group) => write(&group.sub, more, text)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, more, text)?;
            }
        }
        HirKind::Alternation(branches) => write(&branches[0], more, text)?,
    }
    Ok(())
}

fn member(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.iter().map(|r| (r.start(), r.end())).collect(),
        Class::Bytes(class) => class
            .iter()
            .map(|r| (char::from(r.start()), char::from(r.end())))
            .collect(),
    };
    let has = |wanted: &char| {
        ranges
            .iter()
            .any(|(low, high)| (low..=high).contains(&wanted))
    };
    let preferred = ['a', 'A', '0', '1', '_', '-', ' ', '!'];
    let first = ranges.first().map(|(low, _)| *low);
    preferred
        .iter()
        .find(|wanted| has(wanted))
        .copied()
        .or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_match() {
        for (pattern, least, expected) in [
            ("^[a-z]{3}-\\d{2,4}$", 0, "aaa-00"),
            ("^(north|south)$", 0, "north"),
            ("^\\w+$", 5, "aaaaa"),
            ("^a*$", 0, ""),
            ("^[^a]$", 0, "A"),
        ] {
            assert_eq!(example(pattern, least).unwrap(), expected, "{pattern}");
        }
        assert!(example("(?=x)", 0).unwrap_err().contains("(?=x)"));
    }
}
