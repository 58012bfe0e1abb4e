//! `permissions` of a federation rule: no restriction, or a list of scopes.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

use crate::scope::{ScopeError, ScopeSet};

/// What tokens of a rule may do. `service_account_default` adds no restriction: what the service
/// account may do decides alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permissions {
    #[default]
    ServiceAccountDefault,
    /// Never empty.
    Restricted(ScopeSet),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionsError {
    #[error("`permissions` must be an object with a `type`.")]
    NotAnObject,
    #[error("`permissions.type` must be \"service_account_default\" or \"restricted\".")]
    Type,
    #[error("`permissions.scopes` must be a list of at least one scope name.")]
    Scopes,
    #[error("`permissions.scopes` belongs to the type \"restricted\" only.")]
    ScopesWithoutRestriction,
    #[error("`permissions.{member}` is not a known field.")]
    UnknownMember { member: String },
    #[error("`permissions.scopes[{index}]`: {problem}")]
    Scope { index: usize, problem: ScopeError },
}

impl PermissionsError {
    /// Path of the field at fault, for an error's `param`.
    pub fn path(&self) -> String {
        match self {
            Self::NotAnObject => "permissions".to_owned(),
            Self::Type => "permissions.type".to_owned(),
            Self::Scopes | Self::ScopesWithoutRestriction => "permissions.scopes".to_owned(),
            Self::UnknownMember { member } => format!("permissions.{member}"),
            Self::Scope { index, .. } => format!("permissions.scopes[{index}]"),
        }
    }
}

impl Permissions {
    /// Reads the Admin API's form.
    pub fn parse(value: &Value) -> Result<Self, PermissionsError> {
        let object = value.as_object().ok_or(PermissionsError::NotAnObject)?;
        if let Some(member) = object
            .keys()
            .find(|key| !matches!(key.as_str(), "type" | "scopes"))
        {
            return Err(PermissionsError::UnknownMember {
                member: member.clone(),
            });
        }
        match (
            object.get("type").and_then(Value::as_str),
            object.get("scopes"),
        ) {
            (Some("service_account_default"), None) => Ok(Self::ServiceAccountDefault),
            (Some("service_account_default"), Some(_)) => {
                Err(PermissionsError::ScopesWithoutRestriction)
            }
            (Some("restricted"), Some(Value::Array(names))) if !names.is_empty() => {
                let scopes = names
                    .iter()
                    .enumerate()
                    .map(|(index, name)| {
                        crate::Scope::parse(name.as_str().ok_or(PermissionsError::Scopes)?)
                            .map_err(|problem| PermissionsError::Scope { index, problem })
                    })
                    .collect::<Result<_, _>>()?;
                Ok(Self::Restricted(scopes))
            }
            (Some("restricted"), _) => Err(PermissionsError::Scopes),
            _ => Err(PermissionsError::Type),
        }
    }

    /// The scopes that a token of the rule carries; none when it is not restricted.
    pub fn scopes(self) -> Option<ScopeSet> {
        match self {
            Self::ServiceAccountDefault => None,
            Self::Restricted(scopes) => Some(scopes),
        }
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let restricted = self.scopes();
        let members = 1 + usize::from(restricted.is_some());
        let mut object = serializer.serialize_struct("Permissions", members)?;
        match restricted {
            None => object.serialize_field("type", "service_account_default")?,
            Some(scopes) => {
                let names: Vec<_> = scopes.iter().map(crate::Scope::name).collect();
                object.serialize_field("type", "restricted")?;
                object.serialize_field("scopes", &names)?;
            }
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_types_round_trip() {
        for value in [
            json!({"type": "service_account_default"}),
            json!({"type": "restricted", "scopes": ["api.model.read", "api.model.request"]}),
        ] {
            let permissions = Permissions::parse(&value).unwrap();
            assert_eq!(serde_json::to_value(permissions).unwrap(), value);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_path() {
        for (value, path) in [
            (json!(null), "permissions"),
            (json!("restricted"), "permissions"),
            (json!({}), "permissions.type"),
            (json!({"type": "all"}), "permissions.type"),
            (json!({"type": "restricted"}), "permissions.scopes"),
            (
                json!({"type": "restricted", "scopes": []}),
                "permissions.scopes",
            ),
            (
                json!({"type": "restricted", "scopes": "api.model.read"}),
                "permissions.scopes",
            ),
            (
                json!({"type": "restricted", "scopes": [1]}),
                "permissions.scopes",
            ),
            (
                json!({"type": "restricted", "scopes": ["api.model.read", "api.mtls.read"]}),
                "permissions.scopes[1]",
            ),
            (
                json!({"type": "service_account_default", "scopes": []}),
                "permissions.scopes",
            ),
            (
                json!({"type": "service_account_default", "role": 1}),
                "permissions.role",
            ),
        ] {
            let error = Permissions::parse(&value).expect_err("must be refused");
            assert_eq!(error.path(), path, "{value}");
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
