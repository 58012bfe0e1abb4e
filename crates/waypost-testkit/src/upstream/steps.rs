//! Steps of a script: texts and calls written out, and how they are cut into deltas.
//!
//! Cuts fall between characters: a JSON string cannot hold half of one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::script::Script;

/// Largest piece that `cut_seed` makes, in bytes.
const MAX_CHANCE_PIECE: u64 = 12;

/// One thing that the model says or calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Say(String),
    /// Calls a function tool.
    Call(Call),
    /// Calls a custom tool.
    Custom(Call),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub name: String,
    /// Written by the responses dialect only; chat knows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// As they are sent, JSON or not. A custom tool's input.
    #[serde(alias = "input")]
    pub arguments: String,
}

impl Step {
    /// Reads one pair of the query notation; `None` if it is not a step.
    pub(super) fn from_pair(name: &str, value: &str) -> Result<Option<Self>, String> {
        let (kind, coded) = match name.strip_suffix("64") {
            Some(kind) => (kind, true),
            None => (name, false),
        };
        let text = |value: &str| {
            if !coded {
                return Ok(value.to_owned());
            }
            let bytes = URL_SAFE_NO_PAD.decode(value).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| format!("`{name}` is not base64url of a text: `{value}`"))
        };
        let call = || {
            let (target, arguments) = value
                .split_once(':')
                .ok_or_else(|| format!("`{name}` is NAME:TEXT, not `{value}`"))?;
            let (namespace, name) = match target.split_once('/') {
                Some((namespace, name)) => (Some(namespace.to_owned()), name),
                None => (None, target),
            };
            Ok::<_, String>(Call {
                name: name.to_owned(),
                namespace,
                arguments: text(arguments)?,
            })
        };
        Ok(Some(match kind {
            "say" => Self::Say(text(value)?),
            "call" => Self::Call(call()?),
            "custom" => Self::Custom(call()?),
            _ => return Ok(None),
        }))
    }
}

impl Script {
    /// Where the pieces of `text` end, in bytes; the last one is its length.
    pub(super) fn cuts(&self, text: &str) -> Vec<usize> {
        let all = text.len();
        if let Some(size) = self.cut_bytes {
            return ends(text, (1..).map(|piece| piece * size));
        }
        if let Some(seed) = self.cut_seed {
            let mut chance = Chance(seed);
            let mut at = 0;
            return ends(
                text,
                std::iter::repeat_with(|| {
                    at += 1 + (chance.next() % MAX_CHANCE_PIECE) as usize;
                    at
                }),
            );
        }
        if !self.cut_at.is_empty() {
            return ends(text, self.cut_at.iter().copied());
        }
        // Here pieces may be empty: as many as the script says.
        (1..=self.tool_fragments)
            .map(|piece| text.floor_char_boundary(all * piece / self.tool_fragments))
            .collect()
    }
}

/// The cuts inside `text`, moved to the next characters, and its end.
fn ends(text: &str, cuts: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts
        .take_while(|cut| *cut < text.len())
        .map(|cut| text.ceil_char_boundary(cut))
        .filter(|cut| (1..text.len()).contains(cut))
        .collect();
    ends.push(text.len());
    ends.dedup();
    ends
}

/// SplitMix64: chance that a number in the script repeats.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"city":"Köln 漢字 🦀","days":3}"#;

    fn pieces(query: &str, text: &str) -> Vec<String> {
        let script = Script::from_query(query).unwrap();
        let mut from = 0;
        let piece = |end: usize| text[std::mem::replace(&mut from, end)..end].to_owned();
        script.cuts(text).into_iter().map(piece).collect()
    }

    #[test]
    fn pieces_join_to_the_text_at_any_cut() {
        let queries = ["cut_bytes=1", "cut_bytes=7", "cut_seed=1", "cut_seed=2"];
        let queries = queries.into_iter().chain([
            "cut_at=0,3,14,900",
            "tool_fragments=1",
            "tool_fragments=7",
            "tool_fragments=100",
        ]);
        for query in queries {
            assert_eq!(pieces(query, TEXT).concat(), TEXT, "{query}");
            assert_eq!(pieces(query, "").concat(), "", "{query}");
        }
    }

    #[test]
    fn cuts_fall_where_the_script_says() {
        assert_eq!(pieces("cut_at=1,3", "abcde"), ["a", "bc", "de"]);
        assert_eq!(pieces("cut_bytes=2", "abcde"), ["ab", "cd", "e"]);
        assert_eq!(pieces("cut_bytes=1", "aé漢b"), ["a", "é", "漢", "b"]);
        assert_eq!(pieces("cut_at=5", "abcde"), ["abcde"]);
        assert!(pieces("cut_seed=9", &"x".repeat(500)).len() > 50);
        assert_ne!(
            pieces("cut_seed=9", &"x".repeat(500)),
            pieces("cut_seed=10", &"x".repeat(500))
        );
    }
}
