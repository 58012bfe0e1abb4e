//! What "strict" means, as data.
//!
//! OpenAI documents one subset of JSON Schema, has changed it over the years, and
//! applies narrower ones to fine-tuned models and on Azure. A [`Profile`] holds
//! one such subset: the keywords and formats it takes, its limits, how it counts
//! levels, and which rewrites may bring a schema into it. No code asks for a
//! profile's name.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::keyword::{ANNOTATIONS, Keyword, KeywordSet};
use crate::limits::Limits;

/// One strict subset and the way into it.
///
/// ```
/// use strict_schema::Profile;
///
/// let mut profile = Profile::named("openai-2026").expect("a built-in name");
/// assert!(profile.permitted.contains("minLength"));
/// let before = profile.fingerprint();
/// profile.rewrites.nullable_optionals = true;
/// assert_ne!(profile.fingerprint(), before);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The name it has in configuration.
    pub name: &'static str,
    /// The keywords of JSON Schema that a strict schema may use. Any other
    /// keyword is refused by name (`'uniqueItems' is not permitted`).
    pub permitted: KeywordSet,
    /// Whether keys that no version of JSON Schema knows (`x-order`) may stay.
    pub unknown_keywords: bool,
    /// The values of `format` on strings. On other types any `format` is ignored.
    pub formats: &'static [&'static str],
    /// Limits over a whole schema.
    pub counts: Counts,
    /// How nesting levels are counted.
    pub levels: LevelCounting,
    /// What is refused unread.
    pub guards: Limits,
    /// Which rewrites [`crate::resolve`] may do.
    pub rewrites: Rewrites,
    /// Decisions that OpenAI does not document.
    pub choices: Choices,
}

/// Limits of the structured-outputs guide. Lengths are counted in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Properties of all objects together.
    pub properties: usize,
    /// Levels of nesting.
    pub levels: usize,
    /// Enum values of all enums together.
    pub enum_values: usize,
    /// The number of values from which one enum counts as long.
    pub long_enum: usize,
    /// Characters of the values of one long string enum.
    pub long_enum_chars: usize,
    /// Names of properties and definitions, enum and const values.
    pub chars: usize,
}

/// Which edges of a schema lead one level down. The root object is level 1;
/// a node counts when it is an object or an array, or always with `scalars`.
/// `$ref` is never followed.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a table of data"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LevelCounting {
    /// From an object to the schema of a property.
    pub properties: bool,
    /// From an array to the schema of its items.
    pub items: bool,
    /// From a union to its branches.
    pub combinators: bool,
    /// Whether a string or a number is a level too.
    pub scalars: bool,
}

/// The rewrites that may turn a schema strict. Level A, closing objects and
/// requiring every property, is what OpenAI was observed to do and always on.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a table of data"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rewrites {
    /// Level B: another spelling of the same schema.
    pub meaning_preserving: bool,
    /// Level C: an optional property may be `null`, and [`crate::Restore`] takes
    /// the null away again.
    pub nullable_optionals: bool,
    /// Level C: a constraint outside the subset moves into `description`, where
    /// only the model sees it.
    pub constraints_to_description: bool,
    /// Level C: a map becomes an array of `key` and `value`, and
    /// [`crate::Restore`] makes a map of it again.
    pub maps_to_arrays: bool,
}

/// What nobody documents, decided once, here.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a table of data"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Choices {
    /// `{}` as the whole schema: a closed empty object, instead of no object.
    pub empty_root_is_an_object: bool,
    /// `{"type": "object"}` as the whole schema: a closed empty object.
    pub bare_root_is_closed: bool,
    /// An unknown `format` is an annotation and may be dropped (level B).
    pub unknown_formats_are_annotations: bool,
    /// `enum` and `const` may hold arrays and objects.
    pub container_enums: bool,
    /// A schema that no finite document satisfies is refused.
    pub refuse_unsatisfiable: bool,
}

/// The nine formats of the structured-outputs guide.
const FORMATS: &[&str] = &[
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];

/// The core of every profile: structure, and what constrains nothing.
const STRUCTURE: KeywordSet = ANNOTATIONS.and(KeywordSet::of(&[
    Keyword::Type,
    Keyword::Properties,
    Keyword::Required,
    Keyword::AdditionalProperties,
    Keyword::Items,
    Keyword::AnyOf,
    Keyword::Enum,
    Keyword::Const,
    Keyword::Ref,
    Keyword::Defs,
    Keyword::Definitions,
    // OpenAPI's word for "or null", which strict mode does not hear.
    Keyword::Nullable,
]));

/// What the guide adds for all models but fine-tuned ones.
const CONSTRAINTS: KeywordSet = KeywordSet::of(&[
    Keyword::Pattern,
    Keyword::Format,
    Keyword::MultipleOf,
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::MinItems,
    Keyword::MaxItems,
    // Not in the guide; accepted by the newest measurement.
    Keyword::MinLength,
    Keyword::MaxLength,
]);

const OPENAI_2026: Profile = Profile {
    name: "openai-2026",
    permitted: STRUCTURE.and(CONSTRAINTS),
    unknown_keywords: true,
    formats: FORMATS,
    counts: Counts {
        properties: 5_000,
        levels: 10,
        enum_values: 1_000,
        long_enum: 250,
        long_enum_chars: 15_000,
        chars: 120_000,
    },
    levels: LevelCounting {
        properties: true,
        items: true,
        combinators: false,
        scalars: false,
    },
    guards: Limits {
        max_bytes: 1 << 20,
        max_depth: 100,
        max_nodes: 100_000,
    },
    rewrites: Rewrites {
        meaning_preserving: true,
        nullable_optionals: false,
        constraints_to_description: false,
        maps_to_arrays: false,
    },
    choices: Choices {
        empty_root_is_an_object: false,
        bare_root_is_closed: true,
        unknown_formats_are_annotations: false,
        container_enums: false,
        refuse_unsatisfiable: true,
    },
};

/// The subset of August 2024, with the limits of that time.
const OPENAI_2024: Profile = Profile {
    name: "openai-2024",
    permitted: STRUCTURE.but(KeywordSet::of(&[Keyword::Default])),
    counts: Counts {
        properties: 100,
        levels: 5,
        enum_values: 500,
        long_enum: 250,
        long_enum_chars: 7_500,
        chars: 15_000,
    },
    ..OPENAI_2026
};

const AZURE: Profile = Profile {
    name: "azure",
    permitted: STRUCTURE,
    counts: Counts {
        properties: 100,
        levels: 5,
        ..OPENAI_2026.counts
    },
    ..OPENAI_2026
};

const FINE_TUNED: Profile = Profile {
    name: "fine-tuned",
    permitted: STRUCTURE,
    ..OPENAI_2026
};

impl Profile {
    /// The names that [`Profile::named`] knows, the default first.
    pub const NAMES: &[&str] = &[
        OPENAI_2026.name,
        OPENAI_2024.name,
        AZURE.name,
        FINE_TUNED.name,
    ];

    /// A built-in profile.
    pub fn named(name: &str) -> Option<Profile> {
        [OPENAI_2026, OPENAI_2024, AZURE, FINE_TUNED]
            .into_iter()
            .find(|p| p.name == name)
    }

    /// A number that differs where the profile differs: a part of a cache's key.
    /// Stable within one build of the program, and no longer.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Default for Profile {
    /// `openai-2026`.
    fn default() -> Self {
        OPENAI_2026
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_profile_and_its_own_fingerprint() {
        let profiles: Vec<_> = Profile::NAMES
            .iter()
            .map(|name| Profile::named(name).unwrap())
            .collect();
        let mut prints: Vec<_> = profiles.iter().map(Profile::fingerprint).collect();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), Profile::NAMES.len());
        assert_eq!(profiles[0], Profile::default());
        assert_eq!(Profile::named("openai"), None);
    }
}
