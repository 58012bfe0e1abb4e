//! The body of a token request, JSON or form, read strictly.
//!
//! RFC 6749 §3.2: a parameter without a value counts as omitted, one given
//! twice is an error, one that is not known is ignored.

use axum::body::{Body, to_bytes};
use http::{HeaderMap, header};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, error::Category};

use super::reply::Refused;

pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
pub const SUBJECT_TOKEN_TYPES: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];

/// Largest accepted body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Parameters of one request.
const MAX_PARAMS: usize = 64;
/// How long a body may take to arrive.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// RFC 8693 §2.1: these two may be repeated. They are not acted on.
const REPEATABLE: [&str; 2] = ["audience", "resource"];

/// The parameters of a request. Not printable: it holds tokens.
pub struct Params(Vec<(String, Value)>);

/// A token exchange as it was asked for (spec: RFC 8693 §2.1 with OpenAI's two
/// ids).
pub struct ExchangeRequest {
    pub subject_token: String,
    pub identity_provider_id: String,
    pub service_account_id: String,
}

impl ExchangeRequest {
    pub fn of(params: &Params) -> Result<Self, Refused> {
        let grant_type = params.required("grant_type")?;
        if grant_type != GRANT_TYPE {
            return Err(Refused::unsupported_grant_type());
        }
        let subject_token_type = params.required("subject_token_type")?;
        if !SUBJECT_TOKEN_TYPES.contains(&subject_token_type) {
            return Err(Refused::invalid_request(
                "This subject_token_type is not supported; use urn:ietf:params:oauth:token-type:jwt or urn:ietf:params:oauth:token-type:id_token.",
            ));
        }
        for name in ["actor_token", "actor_token_type"] {
            if params.text(name)?.is_some() {
                return Err(Refused::invalid_request(format!(
                    "Delegation is not supported: leave out {name}."
                )));
            }
        }
        if params
            .text("requested_token_type")?
            .is_some_and(|requested| requested != ACCESS_TOKEN_TYPE)
        {
            return Err(Refused::invalid_request(
                "Only access tokens are issued: leave out requested_token_type, or use urn:ietf:params:oauth:token-type:access_token.",
            ));
        }
        // Tolerated, and without effect: nothing a caller asks for widens what
        // its rule gives.
        for name in ["scope", "client_id"] {
            params.text(name)?;
        }
        Ok(Self {
            // `--data-urlencode subject_token@FILE` sends the file's last newline too.
            subject_token: params.required("subject_token")?.trim_ascii().to_owned(),
            identity_provider_id: params.required("identity_provider_id")?.to_owned(),
            service_account_id: params.required("service_account_id")?.to_owned(),
        })
    }
}

impl Params {
    /// Reads a body of the type that the headers say.
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Refused> {
        let kind = content_type(headers)?;
        let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES))
            .await
            .map_err(|_| Refused::invalid_request("The body did not arrive in time."))?
            .map_err(|_| {
                Refused::invalid_request("The body is larger than 65536 bytes, or it broke off.")
            })?;
        let params = match kind {
            ContentType::Json => parse_json(&bytes)?,
            ContentType::Form => Self(
                form_urlencoded::parse(&bytes)
                    .take(MAX_PARAMS + 1)
                    .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
                    .collect(),
            ),
        };
        params.check()
    }

    /// A string, unless it is left out, null or blank.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        match self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text).filter(|text| !text.trim().is_empty())),
            Some(_) => Err(Refused::invalid_request(format!(
                "{name} must be a string."
            ))),
        }
    }

    pub fn required(&self, name: &str) -> Result<&str, Refused> {
        self.text(name)?
            .ok_or_else(|| Refused::invalid_request(format!("Missing required parameter: {name}.")))
    }

    fn check(self) -> Result<Self, Refused> {
        if self.0.len() > MAX_PARAMS {
            return Err(Refused::invalid_request("There are too many parameters."));
        }
        let repeated = self.0.iter().enumerate().find(|(at, (name, _))| {
            !REPEATABLE.contains(&name.as_str()) && self.0[..*at].iter().any(|(n, _)| n == name)
        });
        if repeated.is_some() {
            return Err(Refused::invalid_request(
                "A parameter is given more than once.",
            ));
        }
        Ok(self)
    }
}

enum ContentType {
    Json,
    Form,
}

fn content_type(headers: &HeaderMap) -> Result<ContentType, Refused> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(ContentType::Json),
        "application/x-www-form-urlencoded" => Ok(ContentType::Form),
        _ => Err(Refused::invalid_request(
            "The Content-Type must be application/json or application/x-www-form-urlencoded.",
        )),
    }
}

fn parse_json(bytes: &[u8]) -> Result<Params, Refused> {
    serde_json::from_slice(bytes).map_err(|error| {
        Refused::invalid_request(match error.classify() {
            Category::Data => "The body must be a JSON object.".to_owned(),
            Category::Syntax | Category::Eof | Category::Io => format!(
                "The body is not valid JSON (line {}, column {}).",
                error.line(),
                error.column()
            ),
        })
    })
}

/// Keeps duplicates, which a map of `serde_json` would swallow.
impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Params;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() <= MAX_PARAMS {
                        members.push(member);
                    }
                }
                Ok(Params(members))
            }
        }
        from.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(kind: &'static str, body: &str) -> Result<Params, Refused> {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(kind))]);
        Params::read(&headers, Body::from(body.to_owned())).await
    }

    #[tokio::test]
    async fn json_and_form_say_the_same() {
        for (kind, body) in [
            ("application/json", r#"{"a":"x y","b":"","c":null}"#),
            ("application/json; charset=utf-8", r#"{"a":"x y"}"#),
            ("application/x-www-form-urlencoded", "a=x+y&b=&d=%C3%A9"),
        ] {
            let params = read(kind, body).await.unwrap_or_else(|_| panic!("{body}"));
            assert_eq!(params.required("a").ok(), Some("x y"), "{body}");
            assert_eq!(params.text("b").ok(), Some(None), "{body}");
            assert_eq!(params.text("c").ok(), Some(None), "{body}");
        }
    }

    #[tokio::test]
    async fn what_is_ambiguous_is_refused() {
        let many = (0..65)
            .map(|n| format!("p{n}=1"))
            .collect::<Vec<_>>()
            .join("&");
        for (kind, body) in [
            ("application/json", r#"{"a":"1","a":"1"}"#),
            ("application/json", "[]"),
            ("application/json", "{"),
            ("application/json", ""),
            ("application/json", r#"{"a":"1"} {}"#),
            ("application/x-www-form-urlencoded", "a=1&a=2"),
            ("application/x-www-form-urlencoded", &many),
            ("text/plain", "a=1"),
        ] {
            assert!(read(kind, body).await.is_err(), "{kind}: {body}");
        }
        let repeated = "resource=a&resource=b&audience=a&audience=b";
        assert!(
            read("application/x-www-form-urlencoded", repeated)
                .await
                .is_ok()
        );
    }
}
