//! Query strings, as the official SDKs write them: `limit=5`,
//! `project_ids[]=a&project_ids[]=b`, `effective_at[gt]=7`. Values get the type
//! of the field that they are for.

use std::fmt;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::{
    self, DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::StrDeserializer,
};

use super::{error::ApiError, json::data_error};

/// Parameters at most; a head is bounded anyway.
const MAX_PARAMETERS: usize = 256;

/// The query string. Errors are 400 with `param`.
#[derive(Debug, Clone, Copy)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse(parts.uri.query().unwrap_or("")).map(Self)
    }
}

/// Reads a query string.
pub fn parse<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let mut fields = Vec::new();
    for (index, (key, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if index == MAX_PARAMETERS {
            return Err(ApiError::invalid(format!(
                "The query has more than {MAX_PARAMETERS} parameters."
            )));
        }
        insert(&mut fields, &key, value.into_owned()).map_err(|problem| {
            ApiError::invalid(format!("Invalid '{key}': {problem}."))
                .param(key.into_owned())
                .code("invalid_value")
        })?;
    }
    let fields = Node::Map(fields);
    serde_path_to_error::deserialize(&fields)
        .map_err(|error| data_error(&error.path().to_string(), &error.inner().0))
}

enum Node {
    One(String),
    Many(Vec<Node>),
    Map(Vec<(String, Node)>),
}

fn insert(fields: &mut Vec<(String, Node)>, key: &str, value: String) -> Result<(), &'static str> {
    let Some((name, rest)) = key.split_once('[') else {
        if fields.iter().any(|(known, _)| known == key) {
            return Err("it is given twice");
        }
        fields.push((key.to_owned(), Node::One(value)));
        return Ok(());
    };
    let inner = rest
        .strip_suffix(']')
        .filter(|inner| !inner.contains(['[', ']']))
        .ok_or("brackets hold one name, or nothing for lists")?;
    // `name[0]` is how some clients write lists.
    let is_list = inner.is_empty() || inner.bytes().all(|b| b.is_ascii_digit());
    let at = fields
        .iter()
        .position(|(known, _)| known == name)
        .unwrap_or_else(|| {
            let empty = if is_list {
                Node::Many(Vec::new())
            } else {
                Node::Map(Vec::new())
            };
            fields.push((name.to_owned(), empty));
            fields.len() - 1
        });
    match &mut fields[at].1 {
        Node::Many(list) if is_list => {
            list.push(Node::One(value));
            Ok(())
        }
        Node::Map(map) if !is_list => insert(map, inner, value),
        _ => Err("it is given in two forms"),
    }
}

/// What serde says.
#[derive(Debug)]
struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Node {
    fn unexpected(&self) -> de::Unexpected<'_> {
        match self {
            Self::One(text) => de::Unexpected::Str(text),
            Self::Many(_) => de::Unexpected::Seq,
            Self::Map(_) => de::Unexpected::Map,
        }
    }

    fn text(&self, visitor: &impl de::Expected) -> Result<&str, Problem> {
        match self {
            Self::One(text) => Ok(text),
            _ => Err(de::Error::invalid_type(self.unexpected(), visitor)),
        }
    }
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $number:ty,)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let text = self.text(&visitor)?;
            match text.parse::<$number>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(de::Error::invalid_type(de::Unexpected::Str(text), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Problem;

    numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.text(&visitor)? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            text => Err(de::Error::invalid_type(
                de::Unexpected::Str(text),
                &"`true` or `false`",
            )),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self {
            Node::One(text) => visitor.visit_str(text),
            Node::Many(list) => visitor.visit_seq(List(list.iter())),
            Node::Map(fields) => visitor.visit_map(Fields {
                rest: fields.iter(),
                value: None,
            }),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self {
            // `repeat` and `comma` styles of one element look like a scalar.
            Node::One(_) => visitor.visit_seq(List(std::slice::from_ref(self).iter())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self {
            // A list would be taken as the struct's fields in their order.
            Node::Many(_) => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let text: StrDeserializer<'_, Problem> = self.text(&"a word")?.into_deserializer();
        visitor.visit_enum(text)
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
        ignored_any
    }
}

struct List<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for List<'_> {
    type Error = Problem;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Problem> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

struct Fields<'a> {
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Problem;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Problem> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let key: StrDeserializer<'_, Problem> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Problem> {
        seed.deserialize(self.value.take().expect("a key came before"))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Query {
        limit: Option<u32>,
        include_archived: bool,
        order: Option<Order>,
        ids: Vec<String>,
        at: Range,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Asc,
        Desc,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Range {
        gt: Option<i64>,
    }

    #[test]
    fn what_sdks_write_is_read() {
        let query: Query = parse(
            "limit=5&include_archived=true&order=desc&ids%5B%5D=a&ids[]=b%20c&ids[2]=d&at%5Bgt%5D=-7",
        )
        .expect("valid");
        assert_eq!(
            query,
            Query {
                limit: Some(5),
                include_archived: true,
                order: Some(Order::Desc),
                ids: vec!["a".to_owned(), "b c".to_owned(), "d".to_owned()],
                at: Range { gt: Some(-7) },
            }
        );
        assert_eq!(parse::<Query>("").expect("valid"), Query::default());
        assert_eq!(parse::<Query>("ids=a").expect("valid").ids, ["a"]);
    }

    #[test]
    fn errors_name_the_parameter() {
        for (query, param) in [
            ("limit=x", "\"limit\""),
            ("limit=-1", "\"limit\""),
            ("limit=1&limit=2", "\"limit\""),
            ("order=up", "\"order\""),
            ("include_archived=1", "\"include_archived\""),
            ("at[gt]=x", "\"at.gt\""),
            ("at[x]=1", "\"at.x\""),
            ("at=5", "\"at\""),
            ("at[]=5", "\"at\""),
            ("ids[]=a&ids[x]=b", "\"ids[x]\""),
            ("nope=1", "\"nope\""),
        ] {
            let error = parse::<Query>(query).expect_err(query);
            let json = String::from_utf8(error.to_json()).expect("UTF-8");
            assert!(
                json.contains(&format!("\"param\":{param}")),
                "{query}: {json}"
            );
        }
    }
}
