//! The limits over a whole schema.

use serde_json::Value;

use super::finding::{Finding, ViolationKind};
use super::walk::Walk;
use crate::facts::Facts;
use crate::path::At;

const REDUCE_ENUMS: &str = "Consider reducing the number of enums, or use 'strict: false' to opt \
                            out of structured outputs.";

impl<'a> Walk<'a> {
    /// Adds up the values of one node.
    pub(super) fn count_values(&mut self, facts: &Facts<'a>, at: &At<'_>) {
        let chars = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        if self.count_chars {
            self.chars += facts.constant.map_or(0, chars);
        }
        let Some(values) = facts.values.and_then(Value::as_array) else {
            return;
        };
        self.enum_values += values.len();
        let counts = &self.profile.counts;
        let long = values.len() > counts.long_enum;
        if !long && !self.count_chars {
            return;
        }
        let total: usize = values.iter().map(chars).sum();
        self.chars += total;
        if long && total > counts.long_enum_chars {
            let text = format!(
                "Expected at most {} total characters across enum values when there are more \
                 than {} enum values, but received {total}. {REDUCE_ENUMS}",
                counts.long_enum_chars, counts.long_enum,
            );
            let subject = total.to_string();
            self.add(Finding::plain(
                ViolationKind::EnumTooLong,
                at.pointer(),
                subject,
                text,
            ));
        }
    }

    /// The limits over the whole schema.
    pub(super) fn counts(&mut self) {
        let counts = &self.profile.counts;
        let (properties, enums, chars) = (self.properties, self.enum_values, self.chars);
        if let Some(pointer) = self.deepest_at.take() {
            let (levels, limit) = (self.deepest, counts.levels);
            let text = format!("{levels} levels of nesting exceeds limit of {limit}.");
            let kind = ViolationKind::TooManyLevels;
            self.add(Finding::plain(kind, pointer, levels.to_string(), text));
        }
        if properties > counts.properties {
            let text = format!(
                "{properties} parameters exceeds limit of {}.",
                counts.properties
            );
            self.over(ViolationKind::TooManyProperties, properties, text);
        }
        if enums > counts.enum_values {
            let text = format!(
                "Expected at most {} enum values in total within a single schema when using \
                 structured outputs, but received {enums}. {REDUCE_ENUMS}",
                counts.enum_values
            );
            self.over(ViolationKind::TooManyEnumValues, enums, text);
        }
        if chars > counts.chars {
            // OpenAI's text is not public.
            let text = format!(
                "Expected at most {} characters in total across property names, definition \
                 names, enum values and const values, but received {chars}.",
                counts.chars
            );
            self.over(ViolationKind::TooManyCharacters, chars, text);
        }
    }

    fn over(&mut self, kind: ViolationKind, count: usize, text: String) {
        self.add(Finding::plain(kind, String::new(), count.to_string(), text));
    }
}
