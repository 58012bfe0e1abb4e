//! Takes out of a record what differs from run to run.

use std::collections::HashMap;

use regex::{Captures, Regex};

/// Ids are numbered as they come, so that it still shows which is which.
pub struct Mask {
    places: Vec<(String, String)>,
    id: Regex,
    ids: HashMap<String, usize>,
    others: Vec<(Regex, &'static str)>,
}

impl Mask {
    pub fn new(places: &[(&str, &str)]) -> Self {
        let regex = |pattern: &str| Regex::new(pattern).expect("a pattern");
        let owned = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
        Self {
            places: places.iter().map(owned).collect(),
            id: regex(r"\b([A-Za-z][A-Za-z_]*?(?:_log)?)[_-]([0-9a-f]{32,})\b"),
            ids: HashMap::new(),
            others: vec![
                (regex(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "<jwt>"),
                (regex(r"\bsk-(admin|svcacct)-[\w-]{20,}"), "<sk-$1>"),
                (
                    regex(r"\bsk-(admin|svcacct)-[\w-]*(\*+|\.\.\.|…)[\w-]*"),
                    "<sk-$1 shortened>",
                ),
                (regex(r#""(kid|x|y|n)":"[\w-]{20,}""#), r#""$1":"<key>""#),
                (regex(r"\b1[789]\d{8}\b"), "<time>"),
                (regex(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z"), "<time>"),
            ],
        }
    }

    pub fn of(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.places {
            text = text.replace(from, to);
        }
        for (pattern, mark) in &self.others {
            text = pattern.replace_all(&text, *mark).into_owned();
        }
        let ids = &mut self.ids;
        let numbered = self.id.replace_all(&text, |found: &Captures<'_>| {
            let next = ids.len() + 1;
            let number = *ids.entry(found[0].to_owned()).or_insert(next);
            format!("{}_#{number}", &found[1])
        });
        numbered.into_owned()
    }
}
