//! What a store says when it refuses. Clients see most of these sentences, so
//! every engine takes them from here.

use crate::{
    StoreError,
    responses::{MAX_CHECKPOINT, Status},
    store::{MAX_PROVIDERS, MAX_RULES_PER_PROVIDER},
};

/// The name that `NotFound` has for a project.
pub const PROJECT: &str = "project";
/// The name that `NotFound` has for a service account.
pub const SERVICE_ACCOUNT: &str = "service account";

// The directory.

pub(crate) fn no_project() -> StoreError {
    StoreError::NotFound(PROJECT)
}

pub(crate) fn project_is_archived() -> StoreError {
    StoreError::Refused("the project is archived".into())
}

pub(crate) fn no_service_account() -> StoreError {
    StoreError::NotFound(SERVICE_ACCOUNT)
}

pub(crate) fn no_key() -> StoreError {
    StoreError::NotFound("API key")
}

pub(crate) fn key_exists() -> StoreError {
    StoreError::Conflict("this key exists already".into())
}

pub(crate) fn key_has_expired() -> StoreError {
    StoreError::Refused("the API key has expired".into())
}

pub(crate) fn no_provider() -> StoreError {
    StoreError::NotFound("workload identity provider")
}

pub(crate) fn too_many_providers() -> StoreError {
    StoreError::LimitReached {
        what: "workload identity providers",
        max: MAX_PROVIDERS,
    }
}

pub(crate) fn provider_name_is_taken(name: &str) -> StoreError {
    StoreError::Conflict(format!(
        "a workload identity provider named '{name}' exists already"
    ))
}

pub(crate) fn provider_has_rules() -> StoreError {
    StoreError::Refused("the provider still has federation rules".into())
}

pub(crate) fn no_rule() -> StoreError {
    StoreError::NotFound("federation rule")
}

pub(crate) fn too_many_rules() -> StoreError {
    StoreError::LimitReached {
        what: "federation rules of one provider",
        max: MAX_RULES_PER_PROVIDER,
    }
}

pub(crate) fn account_has_a_rule() -> StoreError {
    StoreError::Conflict(
        "the provider has a federation rule for this service account already".into(),
    )
}

pub(crate) fn rule_name_is_taken(name: &str) -> StoreError {
    StoreError::Conflict(format!(
        "the provider has a federation rule named '{name}' already"
    ))
}

pub(crate) fn no_signing_key() -> StoreError {
    StoreError::NotFound("signing key")
}

// Responses and their jobs.

pub(crate) fn no_response() -> StoreError {
    StoreError::NotFound("response")
}

pub(crate) fn response_exists() -> StoreError {
    StoreError::Conflict("this response exists already".into())
}

pub(crate) fn response_is_running() -> StoreError {
    StoreError::Refused("the response is still running".into())
}

pub(crate) fn idempotency_key_is_taken() -> StoreError {
    StoreError::Conflict("a response was created under this idempotency key already".into())
}

pub(crate) fn no_input_item() -> StoreError {
    StoreError::NotFound("input item")
}

pub(crate) fn too_many_queued(max: u64) -> StoreError {
    StoreError::LimitReached {
        what: "queued background responses",
        max,
    }
}

pub(crate) fn chain_is_too_long(max_turns: u32) -> StoreError {
    StoreError::LimitReached {
        what: "turns in a chain of responses",
        max: max_turns.into(),
    }
}

pub(crate) fn chain_is_too_large(max_bytes: usize) -> StoreError {
    StoreError::LimitReached {
        what: "bytes in a chain of responses",
        max: max_bytes as u64,
    }
}

pub(crate) fn items_are_too_large(max_bytes: usize) -> StoreError {
    StoreError::LimitReached {
        what: "bytes of referenced items",
        max: max_bytes as u64,
    }
}

// Calls that break the contract. Only the log shows these.

pub(crate) fn not_terminal(status: Status) -> StoreError {
    let status = status.as_str();
    StoreError::Internal(format!("{status} is not a terminal status"))
}

pub(crate) fn checkpoint_is_too_long(bytes: usize) -> StoreError {
    StoreError::Internal(format!(
        "a checkpoint has {bytes} bytes, more than {MAX_CHECKPOINT}"
    ))
}

pub(crate) fn events_do_not_fit(id: &str, first_seq: u64, next_seq: u64) -> StoreError {
    StoreError::Internal(format!(
        "events from number {first_seq} on do not fit the log of {id}, whose next number is {next_seq}"
    ))
}

pub(crate) fn rewound_past_the_end(id: &str, to: u64, next_seq: u64) -> StoreError {
    StoreError::Internal(format!(
        "the log of {id} cannot be rewound to {to}: its next number is {next_seq}"
    ))
}

// The store itself.

pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}
