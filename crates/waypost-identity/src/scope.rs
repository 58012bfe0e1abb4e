//! The scopes that rules and keys may be restricted to.
//!
//! The list is fixed and holds no admin scope, so a restriction can only narrow what a service
//! account may do. A token or key without a restriction has no scope list at all, which is not
//! the same as an empty one.

use std::fmt;

/// One permission on the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// List and retrieve models.
    ModelRead,
    /// Create responses, chat completions, embeddings.
    ModelRequest,
    /// Retrieve and resume responses, list their input items.
    ResponsesRead,
    /// Cancel and delete responses.
    ResponsesWrite,
    TunnelRead,
    TunnelWrite,
    TunnelUse,
}

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::ModelRead,
        Self::ModelRequest,
        Self::ResponsesRead,
        Self::ResponsesWrite,
        Self::TunnelRead,
        Self::TunnelWrite,
        Self::TunnelUse,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ModelRead => "api.model.read",
            Self::ModelRequest => "api.model.request",
            Self::ResponsesRead => "api.responses.read",
            Self::ResponsesWrite => "api.responses.write",
            Self::TunnelRead => "api.organization.tunnel.read",
            Self::TunnelWrite => "api.organization.tunnel.write",
            Self::TunnelUse => "api.organization.tunnel.use",
        }
    }

    pub fn parse(name: &str) -> Result<Self, ScopeError> {
        if let Some(scope) = Self::ALL.into_iter().find(|scope| scope.name() == name) {
            return Ok(scope);
        }
        let scope = crate::text::quote(name);
        if ADMIN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            Err(ScopeError::Admin { scope })
        } else {
            Err(ScopeError::Unknown { scope })
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Families of scopes that OpenAI's documentation gives to administrators. `api.organization.`
/// is reached only after the tunnel scopes above it were recognised.
const ADMIN_PREFIXES: [&str; 5] = [
    "api.organization.",
    "api.mtls.",
    "api.groups.",
    "api.admin",
    "api.management.",
];

const ACCEPTED: &str = "api.model.read, api.model.request, api.responses.read, \
    api.responses.write, api.organization.tunnel.read, api.organization.tunnel.write, \
    api.organization.tunnel.use";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error("{scope} is not a scope of this server; accepted are {ACCEPTED}.")]
    Unknown { scope: String },
    #[error(
        "{scope} is an admin scope, which workload tokens and service account keys never carry; \
         accepted are {ACCEPTED}."
    )]
    Admin { scope: String },
}

/// A set of scopes, one bit each. Iterates and prints in the order of [`Scope::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(u8);

impl ScopeSet {
    pub const EMPTY: Self = Self(0);
    pub const ALL: Self = Self((1 << Scope::ALL.len()) - 1);

    /// Reads scope names; a repeated one counts once.
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, ScopeError> {
        names.into_iter().map(Scope::parse).collect()
    }

    /// Reads the space-separated form of RFC 6749 §3.3.
    pub fn parse_list(list: &str) -> Result<Self, ScopeError> {
        Self::parse(list.split(' ').filter(|name| !name.is_empty()))
    }

    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(
            scopes
                .into_iter()
                .fold(0, |bits, scope| bits | 1 << scope as u8),
        )
    }
}

/// The space-separated form of RFC 6749 §3.3.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_round_trips_and_is_named_in_the_error() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.name()), Ok(scope));
            assert!(ACCEPTED.split(", ").any(|name| name == scope.name()));
        }
        assert_eq!(
            ScopeSet::parse_list(&ScopeSet::ALL.to_string()),
            Ok(ScopeSet::ALL)
        );
    }

    #[test]
    fn unknown_and_admin_scopes_are_refused_with_the_accepted_ones() {
        for name in [
            "api.organization.projects.api_keys.write",
            "api.mtls.read",
            "api.groups.write",
        ] {
            let error = ScopeSet::parse(["api.model.read", name]).expect_err(name);
            assert!(matches!(error, ScopeError::Admin { .. }), "{error}");
            assert!(error.to_string().contains("api.responses.read"), "{error}");
        }
        for name in [
            "api.vector_store.read",
            "",
            "API.MODEL.READ",
            "api.model.read ",
            "*",
        ] {
            let error = ScopeSet::parse([name]).expect_err(name);
            assert!(matches!(error, ScopeError::Unknown { .. }), "{error}");
        }
    }

    #[test]
    fn intersection_only_narrows() {
        let a = ScopeSet::parse(["api.model.read", "api.model.request"]).unwrap();
        let b = ScopeSet::parse(["api.model.request", "api.responses.read"]).unwrap();
        assert_eq!(a.intersection(b).to_string(), "api.model.request");
        assert_eq!(a.intersection(ScopeSet::EMPTY), ScopeSet::EMPTY);
        assert_eq!(a.intersection(ScopeSet::ALL), a);
        assert!(!a.contains(Scope::ResponsesRead));
    }
}
