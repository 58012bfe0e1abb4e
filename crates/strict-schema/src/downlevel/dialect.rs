//! What the engines behind model servers take, as data.
//!
//! Each entry is what a server of that name is known to need, and no more: the
//! less is taken away here, the more the engine enforces by itself. Sources are
//! the servers' issue trackers and documents; the trap of each is at its entry.

use crate::keyword::{Keyword, KeywordSet};
use crate::pattern::PatternStyle;

/// What an upstream's constraint engine takes. Plain data.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a table of data"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// The name it has in configuration.
    pub name: &'static str,
    /// Keywords that are sent. Others are dropped, or written in these.
    pub keywords: KeywordSet,
    /// Values of `format` that are sent.
    pub formats: &'static [&'static str],
    /// Those of them that the engine takes loosely: a 31st of February is a date.
    pub loose_formats: &'static [&'static str],
    /// How patterns are written, where `pattern` is sent.
    pub patterns: PatternStyle,
    /// Bounds of lengths, counts and repetitions from this number on are not sent.
    pub max_repetition: Option<u64>,
    /// Every `$ref` is replaced by its target; a recursion is cut.
    pub inline_refs: bool,
    /// Whether an object may have no properties at all.
    pub empty_objects: bool,
    /// Whether bounds hold for all numbers, not for integers only.
    pub number_bounds: bool,
    /// Whether `type` may be a list.
    pub type_lists: bool,
    /// Objects are closed unless they say otherwise, against JSON Schema.
    pub closed_by_default: bool,
    /// Whether the root may be a union.
    pub root_unions: bool,
    /// Bytes of all schemas of one request together.
    pub max_schema_bytes: Option<usize>,
}

/// The nine of OpenAI's guide.
const NINE: &[&str] = &[
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

/// What every engine has.
const CORE: KeywordSet = KeywordSet::of(&[
    Keyword::Type,
    Keyword::Properties,
    Keyword::Required,
    Keyword::AdditionalProperties,
    Keyword::Items,
    Keyword::AnyOf,
    Keyword::Enum,
    Keyword::Ref,
    Keyword::Defs,
    Keyword::Definitions,
    Keyword::Title,
    Keyword::Description,
]);

const FULL: KeywordSet = CORE.and(KeywordSet::of(&[
    Keyword::Const,
    Keyword::Pattern,
    Keyword::Format,
    Keyword::MinLength,
    Keyword::MaxLength,
    Keyword::MinItems,
    Keyword::MaxItems,
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::MultipleOf,
    Keyword::Default,
    Keyword::Examples,
]));

const SEARCHED: PatternStyle = PatternStyle {
    spelled_out: false,
    whole: false,
};
const WHOLE: PatternStyle = PatternStyle {
    spelled_out: false,
    whole: true,
};
const SPELLED_OUT: PatternStyle = PatternStyle {
    spelled_out: true,
    whole: true,
};

/// The strict subset itself.
const OPENAI: Dialect = Dialect {
    name: "openai",
    keywords: FULL,
    formats: NINE,
    loose_formats: &[],
    patterns: SEARCHED,
    max_repetition: None,
    inline_refs: false,
    empty_objects: true,
    number_bounds: true,
    type_lists: true,
    closed_by_default: false,
    root_unions: false,
    max_schema_bytes: None,
};

/// Azure documents the subset without any of the constraints.
const AZURE: Dialect = Dialect {
    name: "azure",
    keywords: CORE.plus(Keyword::Const),
    formats: &[],
    ..OPENAI
};

/// xgrammar: no patternProperties, propertyNames, multipleOf; a pattern covers
/// the whole string; an object that does not say `additionalProperties` is closed.
const VLLM: Dialect = Dialect {
    name: "vllm",
    keywords: FULL.but(KeywordSet::of(&[Keyword::MultipleOf])),
    patterns: WHOLE,
    closed_by_default: true,
    root_unions: true,
    ..OPENAI
};

/// xgrammar too; a schema that it cannot read has crashed the scheduler.
const SGLANG: Dialect = Dialect {
    name: "sglang",
    ..VLLM
};

/// Converts all schemas of a request to one grammar. Repetitions near 2,000 fail
/// or cost the most, about 97 kB of schemas fail altogether, an object without
/// properties fails, and a pattern must stand between `^` and `$`. The bounds of a
/// `number` are passed over without a word.
const LLAMA_CPP: Dialect = Dialect {
    name: "llama.cpp",
    keywords: FULL.but(KeywordSet::of(&[Keyword::MultipleOf])),
    formats: &["date-time", "time", "date", "uuid"],
    loose_formats: &["date-time", "time", "date"],
    patterns: SPELLED_OUT,
    max_repetition: Some(1_000),
    empty_objects: false,
    number_bounds: false,
    root_unions: true,
    max_schema_bytes: Some(90_000),
    ..OPENAI
};

/// An older llama.cpp inside, and silent: what it cannot convert is not enforced
/// at all. `$ref` and the order of `$defs`, `\d` in a pattern are such things.
const OLLAMA: Dialect = Dialect {
    name: "ollama",
    keywords: LLAMA_CPP.keywords.but(KeywordSet::of(&[
        Keyword::Ref,
        Keyword::Defs,
        Keyword::Definitions,
    ])),
    inline_refs: true,
    max_schema_bytes: None,
    ..LLAMA_CPP
};

/// Ollama reads the schemas of tools into a struct of its own, constrains nothing
/// by them, and shows the model what was read: no pattern, no bound, no format.
const OLLAMA_TOOLS: Dialect = Dialect {
    name: "ollama-tools",
    keywords: KeywordSet::of(&[
        Keyword::Type,
        Keyword::Properties,
        Keyword::Required,
        Keyword::AdditionalProperties,
        Keyword::Items,
        Keyword::AnyOf,
        Keyword::Enum,
        Keyword::Description,
    ]),
    formats: &[],
    loose_formats: &[],
    empty_objects: true,
    root_unions: false,
    ..OLLAMA
};

/// outlines: a schema becomes one regular expression, so numbers have no bounds
/// and a recursion has no form.
const TGI: Dialect = Dialect {
    name: "tgi",
    keywords: FULL.but(KeywordSet::of(&[
        Keyword::MultipleOf,
        Keyword::Minimum,
        Keyword::Maximum,
        Keyword::ExclusiveMinimum,
        Keyword::ExclusiveMaximum,
        Keyword::Ref,
        Keyword::Defs,
        Keyword::Definitions,
    ])),
    formats: &["date-time", "time", "date", "uuid"],
    patterns: WHOLE,
    max_repetition: Some(1_000),
    inline_refs: true,
    ..OPENAI
};

/// Its guide leaves out lengths and counts, and five formats are left; a union at
/// the root is refused even when nothing is strict.
const DEEPSEEK: Dialect = Dialect {
    name: "deepseek",
    keywords: FULL.but(KeywordSet::of(&[
        Keyword::MinLength,
        Keyword::MaxLength,
        Keyword::MinItems,
        Keyword::MaxItems,
        Keyword::Examples,
    ])),
    formats: &["email", "hostname", "ipv4", "ipv6", "uuid"],
    ..OPENAI
};

/// A server that nothing is known about: what all of the above take.
const GENERIC: Dialect = Dialect {
    name: "generic",
    keywords: CORE.and(KeywordSet::of(&[
        Keyword::Pattern,
        Keyword::MinLength,
        Keyword::MaxLength,
        Keyword::MinItems,
        Keyword::MaxItems,
        Keyword::Minimum,
        Keyword::Maximum,
    ])),
    formats: &[],
    patterns: SPELLED_OUT,
    max_repetition: Some(1_000),
    empty_objects: true,
    ..OPENAI
};

const BUILT_IN: [Dialect; 10] = [
    OPENAI,
    AZURE,
    VLLM,
    SGLANG,
    LLAMA_CPP,
    OLLAMA,
    OLLAMA_TOOLS,
    TGI,
    DEEPSEEK,
    GENERIC,
];

impl Dialect {
    /// The names that [`Dialect::named`] knows.
    pub const NAMES: &[&str] = &[
        OPENAI.name,
        AZURE.name,
        VLLM.name,
        SGLANG.name,
        LLAMA_CPP.name,
        OLLAMA.name,
        OLLAMA_TOOLS.name,
        TGI.name,
        DEEPSEEK.name,
        GENERIC.name,
    ];

    /// A built-in dialect.
    pub fn named(name: &str) -> Option<Dialect> {
        BUILT_IN.into_iter().find(|dialect| dialect.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_dialect() {
        for name in Dialect::NAMES {
            assert_eq!(
                Dialect::named(name).map(|dialect| dialect.name),
                Some(*name)
            );
        }
        assert_eq!(Dialect::named("gpt"), None);
    }

    #[test]
    fn no_dialect_is_sent_what_loosening_would_tighten() {
        // A branch of `not`, `if` or `oneOf` that accepts more makes the whole
        // accept less, so these never go out.
        for name in Dialect::NAMES {
            let keywords = Dialect::named(name).unwrap().keywords;
            assert!(
                ["not", "if", "oneOf", "dependentSchemas"]
                    .iter()
                    .all(|k| !keywords.contains(k))
            );
        }
    }
}
