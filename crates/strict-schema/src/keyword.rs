//! The keywords of JSON Schema, told apart quickly.
//!
//! Every walk of this crate asks of every key "which keyword is this, and what
//! lies below it?". [`Keyword::of`] answers with one look at the group of names
//! of that length, and [`KeywordSet`] holds any number of keywords in one word,
//! so a whole node can be judged with a few `and`s.
//!
//! Only keys of a *schema* are keywords. The keys of `properties` or `$defs` are
//! names, whatever they spell: `$ref`, `__proto__` and the empty string are fine.

use serde_json::{Map, Value};

/// What lies below a keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// No schema: a value, an annotation.
    Plain,
    /// One schema.
    Schema,
    /// A list of schemas.
    List,
    /// Schemas by name.
    Map,
    /// `items`: one schema, or before draft 2020-12 a list of them.
    SchemaOrList,
}

macro_rules! keywords {
    ($($variant:ident $name:literal $shape:ident,)+) => {
        /// A keyword that JSON Schema, or OpenAPI's dialect of it, gives a meaning.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub(crate) enum Keyword { $($variant,)+ }

        impl Keyword {
            /// In the order of the enum, which is the order of the names' lengths.
            const ALL: &[Keyword] = &[$(Keyword::$variant,)+];
            const NAMES: &[&str] = &[$($name,)+];
            const SHAPES: &[Shape] = &[$(Shape::$shape,)+];
        }
    };
}

// Sorted by the length of the name; a test holds it so.
keywords! {
    If "if" Schema,
    Id "$id" Plain,
    Not "not" Schema,
    Ref "$ref" Plain,
    Enum "enum" Plain,
    Type "type" Plain,
    Then "then" Schema,
    Else "else" Schema,
    Defs "$defs" Map,
    Items "items" SchemaOrList,
    AnyOf "anyOf" List,
    OneOf "oneOf" List,
    AllOf "allOf" List,
    Const "const" Plain,
    Title "title" Plain,
    Format "format" Plain,
    Pattern "pattern" Plain,
    Minimum "minimum" Plain,
    Maximum "maximum" Plain,
    Default "default" Plain,
    Example "example" Plain,
    Schema "$schema" Plain,
    Anchor "$anchor" Plain,
    Comment "$comment" Plain,
    MinItems "minItems" Plain,
    MaxItems "maxItems" Plain,
    Contains "contains" Schema,
    Required "required" Plain,
    Examples "examples" Plain,
    Nullable "nullable" Plain,
    ReadOnly "readOnly" Plain,
    WriteOnly "writeOnly" Plain,
    MinLength "minLength" Plain,
    MaxLength "maxLength" Plain,
    Properties "properties" Map,
    MultipleOf "multipleOf" Plain,
    Deprecated "deprecated" Plain,
    Definitions "definitions" Map,
    UniqueItems "uniqueItems" Plain,
    PrefixItems "prefixItems" List,
    MinContains "minContains" Plain,
    MaxContains "maxContains" Plain,
    Description "description" Plain,
    Vocabulary "$vocabulary" Plain,
    DynamicRef "$dynamicRef" Plain,
    Dependencies "dependencies" Map,
    RecursiveRef "$recursiveRef" Plain,
    MinProperties "minProperties" Plain,
    MaxProperties "maxProperties" Plain,
    PropertyNames "propertyNames" Schema,
    ContentSchema "contentSchema" Schema,
    Discriminator "discriminator" Plain,
    DynamicAnchor "$dynamicAnchor" Plain,
    AdditionalItems "additionalItems" Schema,
    ContentEncoding "contentEncoding" Plain,
    RecursiveAnchor "$recursiveAnchor" Plain,
    ExclusiveMinimum "exclusiveMinimum" Plain,
    ExclusiveMaximum "exclusiveMaximum" Plain,
    UnevaluatedItems "unevaluatedItems" Schema,
    ContentMediaType "contentMediaType" Plain,
    DependentSchemas "dependentSchemas" Map,
    DependentRequired "dependentRequired" Plain,
    PatternProperties "patternProperties" Map,
    AdditionalProperties "additionalProperties" Schema,
    UnevaluatedProperties "unevaluatedProperties" Schema,
}

const LONGEST: usize = 21;

/// `STARTS[n]..STARTS[n + 1]` are the keywords whose name has `n` bytes.
const STARTS: [u8; LONGEST + 2] = {
    let mut starts = [0u8; LONGEST + 2];
    let mut length = 0;
    let mut index = 0;
    while length < LONGEST + 2 {
        while index < Keyword::NAMES.len() && Keyword::NAMES[index].len() < length {
            index += 1;
        }
        starts[length] = index as u8;
        length += 1;
    }
    starts
};

impl Keyword {
    /// The keyword that a key of a schema is, if it is one.
    #[inline]
    pub(crate) fn of(key: &str) -> Option<Keyword> {
        let length = key.len();
        if length > LONGEST {
            return None;
        }
        let group = usize::from(STARTS[length])..usize::from(STARTS[length + 1]);
        group
            .clone()
            .find(|&index| Self::NAMES[index] == key)
            .map(|index| Self::ALL[index])
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub(crate) fn shape(self) -> Shape {
        Self::SHAPES[self as usize]
    }

    /// Whether a validator ignores it: it says something to people or to tools.
    pub(crate) fn is_annotation(self) -> bool {
        ANNOTATIONS.has(self)
    }
}

/// The value of a keyword in a schema node.
///
/// Nodes have a handful of keys: comparing them all is several times quicker than
/// hashing the name once, and every walk asks for many names.
#[inline]
pub(crate) fn get<'m>(node: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    if node.len() > 8 {
        return node.get(name);
    }
    node.iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Keywords that constrain nothing.
pub(crate) const ANNOTATIONS: KeywordSet = KeywordSet::of(&[
    Keyword::Title,
    Keyword::Description,
    Keyword::Default,
    Keyword::Example,
    Keyword::Examples,
    Keyword::Comment,
    Keyword::ReadOnly,
    Keyword::WriteOnly,
    Keyword::Deprecated,
    Keyword::Schema,
    Keyword::ContentEncoding,
    Keyword::ContentMediaType,
    Keyword::ContentSchema,
    Keyword::Discriminator,
]);

/// A set of JSON Schema keywords. Plain data: profiles and dialects are made of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeywordSet(u128);

impl KeywordSet {
    /// No keyword.
    pub const EMPTY: KeywordSet = KeywordSet(0);

    pub(crate) const fn of(keywords: &[Keyword]) -> KeywordSet {
        let mut bits = 0;
        let mut index = 0;
        while index < keywords.len() {
            bits |= 1 << keywords[index] as u8;
            index += 1;
        }
        KeywordSet(bits)
    }

    /// The keywords that a schema uses, and how many of its keys are none.
    #[inline]
    pub(crate) fn of_schema(schema: &Map<String, Value>) -> KeywordSet {
        schema
            .keys()
            .filter_map(|key| Keyword::of(key))
            .fold(Self::EMPTY, KeywordSet::plus)
    }

    #[inline]
    pub(crate) const fn plus(self, keyword: Keyword) -> KeywordSet {
        KeywordSet(self.0 | 1 << keyword as u8)
    }

    pub(crate) const fn and(self, other: KeywordSet) -> KeywordSet {
        KeywordSet(self.0 | other.0)
    }

    pub(crate) const fn but(self, other: KeywordSet) -> KeywordSet {
        KeywordSet(self.0 & !other.0)
    }

    #[inline]
    pub(crate) const fn has(self, keyword: Keyword) -> bool {
        self.0 >> keyword as u8 & 1 == 1
    }

    #[inline]
    pub(crate) const fn meets(self, other: KeywordSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the keyword of this name is in the set. False for a name that no
    /// version of JSON Schema knows.
    pub fn contains(self, keyword: &str) -> bool {
        Keyword::of(keyword).is_some_and(|keyword| self.has(keyword))
    }

    /// The set with one keyword more. A name that is no keyword changes nothing.
    #[must_use]
    pub fn with(self, keyword: &str) -> KeywordSet {
        Keyword::of(keyword).map_or(self, |keyword| self.plus(keyword))
    }

    /// The set with one keyword less.
    #[must_use]
    pub fn without(self, keyword: &str) -> KeywordSet {
        Keyword::of(keyword).map_or(self, |keyword| KeywordSet(self.0 & !(1 << keyword as u8)))
    }

    /// The names in it.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Keyword::ALL
            .iter()
            .filter(move |keyword| self.has(**keyword))
            .map(|k| k.name())
    }
}

impl std::fmt::Debug for KeywordSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_keyword_and_nothing_else_does() {
        assert!(
            Keyword::NAMES
                .windows(2)
                .all(|pair| pair[0].len() <= pair[1].len())
        );
        assert_eq!(
            Keyword::NAMES.iter().map(|name| name.len()).max(),
            Some(LONGEST)
        );
        for (index, name) in Keyword::NAMES.iter().enumerate() {
            assert_eq!(Keyword::of(name), Some(Keyword::ALL[index]), "{name}");
        }
        for other in [
            "",
            "Type",
            "typed",
            "$defs ",
            "additionalPropertiesAndMore",
            "x-type",
        ] {
            assert_eq!(Keyword::of(other), None, "{other}");
        }
    }

    #[test]
    fn sets_are_made_from_names() {
        let set = KeywordSet::EMPTY
            .with("type")
            .with("enum")
            .with("no keyword");
        assert!(set.contains("type") && !set.contains("title") && !set.contains("no keyword"));
        assert_eq!(set.without("type").names().collect::<Vec<_>>(), ["enum"]);
        assert_eq!(format!("{set:?}"), r#"{"enum", "type"}"#);
    }
}
