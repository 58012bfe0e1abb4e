//! The directory: the organization's projects, accounts, keys, providers, rules.
//! Plain data.

use serde_json::Value;

use crate::Millis;

/// A project. An archived project keeps its rows, but serves nobody.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    pub id: String,
    pub name: Option<String>,
    pub external_key_id: Option<String>,
    pub created_at: Millis,
    pub archived_at: Option<Millis>,
}

/// A service account of one project.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceAccount {
    pub id: String,
    pub project_id: String,
    pub name: String,
    /// `owner`, `member` or `none`.
    pub role: String,
    pub created_at: Millis,
}

/// The owner of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// An organization admin key.
    Organization,
    /// A service account, for its project only.
    ServiceAccount {
        project_id: String,
        service_account_id: String,
    },
}

/// An API key. The secret itself is never stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    pub id: String,
    pub owner: KeyOwner,
    pub name: Option<String>,
    /// SHA-256 of the whole key (256 random bits need no slow hash). Unique.
    pub hash: [u8; 32],
    /// What lists show: the key with its middle replaced.
    pub redacted: String,
    /// `None`: everything that the owner may do.
    pub scopes: Option<Vec<String>>,
    pub created_at: Millis,
    pub expires_at: Option<Millis>,
    /// Approximate: the server writes it in batches, see `touch_keys`.
    pub last_used_at: Option<Millis>,
}

/// A workload identity provider. `attribute_transformations` and `verification`
/// are the API's JSON, opaque to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub issuer: String,
    pub audience: String,
    pub enabled: bool,
    pub attribute_transformations: Value,
    pub verification: Value,
    /// Rises by one whenever the provider's trust changes. Access tokens carry it,
    /// so the server refuses tokens that were issued under the old trust.
    pub trust_epoch: i64,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// A federation rule. `attribute_matchers` and `permissions` are the API's JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub id: String,
    pub provider_id: String,
    pub project_id: String,
    pub service_account_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub enabled: bool,
    pub attribute_matchers: Value,
    pub permissions: Value,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// An access token that is refused before it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The token's `jti`.
    pub jti: String,
    /// When the token itself expires. A sweep removes the row after that.
    pub expires_at: Millis,
}

/// A private key that signs access tokens. The server seals it, so the engine
/// never sees it in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSigningKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    pub sealed: Vec<u8>,
    pub created_at: Millis,
    /// The server signs with it from this time on: verifiers must see it first.
    pub sign_from: Millis,
}

/// The whole directory at one moment, for the server's in-memory snapshot.
#[derive(Clone, Default)]
pub struct Directory {
    /// Rises with every committed change of the directory.
    pub version: i64,
    pub projects: Vec<Project>,
    pub service_accounts: Vec<ServiceAccount>,
    pub keys: Vec<ApiKey>,
    pub providers: Vec<Provider>,
    pub rules: Vec<Rule>,
    /// Only those that have not expired.
    pub revocations: Vec<Revocation>,
    pub signing_keys: Vec<SealedSigningKey>,
}

// The arguments of creating methods. The store adds ids and times.

#[derive(Debug, Clone)]
pub struct NewProject {
    pub name: String,
    pub external_key_id: Option<String>,
}

#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    pub project_id: String,
    pub name: String,
    pub role: String,
}

#[derive(Debug, Clone)]
pub struct NewApiKey {
    pub owner: KeyOwner,
    pub name: Option<String>,
    pub hash: [u8; 32],
    pub redacted: String,
    pub scopes: Option<Vec<String>>,
    pub expires_at: Option<Millis>,
}

#[derive(Debug, Clone)]
pub struct NewProvider {
    pub name: String,
    pub description: Option<String>,
    pub issuer: String,
    pub audience: String,
    pub enabled: bool,
    pub attribute_transformations: Value,
    pub verification: Value,
}

#[derive(Debug, Clone)]
pub struct NewRule {
    pub provider_id: String,
    pub project_id: String,
    pub service_account_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub enabled: bool,
    pub attribute_matchers: Value,
    pub permissions: Value,
}

// The arguments of updating methods. `None` leaves a field as it is; `Some(None)`
// clears a field that can be cleared.

#[derive(Debug, Clone, Default)]
pub struct ProjectPatch {
    pub name: Option<String>,
    pub external_key_id: Option<Option<String>>,
}

#[derive(Debug, Clone, Default)]
pub struct ServiceAccountPatch {
    pub name: Option<String>,
    pub role: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct ApiKeyPatch {
    /// `Some(None)`: everything that the owner may do.
    pub scopes: Option<Option<Vec<String>>>,
    pub expires_at: Option<Millis>,
}

#[derive(Debug, Clone, Default)]
pub struct ProviderPatch {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub enabled: Option<bool>,
    pub attribute_transformations: Option<Value>,
    pub verification: Option<Value>,
}

#[derive(Debug, Clone, Default)]
pub struct RulePatch {
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub enabled: Option<bool>,
    pub attribute_matchers: Option<Value>,
    pub permissions: Option<Value>,
}

/// What a provider trusts. If any of it changes, the server refuses the tokens that
/// were issued before.
#[derive(PartialEq)]
struct Trust<'p> {
    issuer: &'p str,
    audience: &'p str,
    attribute_transformations: &'p Value,
    verification: &'p Value,
}

impl Provider {
    /// The pattern has no `..`, so the compiler asks of every new field whether it
    /// belongs to the trust.
    fn trust(&self) -> Trust<'_> {
        let Self {
            issuer,
            audience,
            attribute_transformations,
            verification,
            id: _,
            name: _,
            description: _,
            enabled: _,
            trust_epoch: _,
            created_at: _,
            updated_at: _,
        } = self;
        Trust {
            issuer,
            audience,
            attribute_transformations,
            verification,
        }
    }
}

impl ProviderPatch {
    /// Applies the patch, and raises the trust epoch if the trust changes.
    pub fn apply(self, provider: &mut Provider) {
        let before = provider.clone();
        let Self {
            name,
            description,
            issuer,
            audience,
            enabled,
            attribute_transformations,
            verification,
        } = self;
        set(&mut provider.name, name);
        set(&mut provider.description, description);
        set(&mut provider.issuer, issuer);
        set(&mut provider.audience, audience);
        set(&mut provider.enabled, enabled);
        set(
            &mut provider.attribute_transformations,
            attribute_transformations,
        );
        set(&mut provider.verification, verification);
        if before.trust() != provider.trust() {
            provider.trust_epoch += 1;
        }
    }
}

impl RulePatch {
    /// Applies the patch.
    pub fn apply(self, rule: &mut Rule) {
        set(&mut rule.name, self.name);
        set(&mut rule.description, self.description);
        set(&mut rule.enabled, self.enabled);
        set(&mut rule.attribute_matchers, self.attribute_matchers);
        set(&mut rule.permissions, self.permissions);
    }
}

impl ProjectPatch {
    /// Applies the patch.
    pub fn apply(self, project: &mut Project) {
        if let Some(name) = self.name {
            project.name = Some(name);
        }
        set(&mut project.external_key_id, self.external_key_id);
    }
}

impl ServiceAccountPatch {
    /// Applies the patch.
    pub fn apply(self, account: &mut ServiceAccount) {
        set(&mut account.name, self.name);
        set(&mut account.role, self.role);
    }
}

impl ApiKeyPatch {
    /// Applies the patch.
    pub fn apply(self, key: &mut ApiKey) {
        set(&mut key.scopes, self.scopes);
        set(&mut key.expires_at, self.expires_at.map(Some));
    }
}

fn set<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}
