//! `waypost admin-key create`: the first admin key, made beside the server.

use std::{io::Write, path::Path};

use anyhow::Context;
use serde_json::{Map, Value, json};
use waypost_engine::{
    audit::AuditDraft,
    directory::{KeyOwner, NewApiKey},
    embedded::OpenError,
};

use crate::{identity::keys, serve};

/// Creates the key and prints it on standard output; hints go to standard
/// error, so that `KEY=$(waypost admin-key create …)` works.
pub(super) fn create(data_dir: &Path, name: &str) -> anyhow::Result<()> {
    let name = name.trim();
    anyhow::ensure!(
        (1..=256).contains(&name.chars().count()),
        "--name must have 1 to 256 characters"
    );
    let key = keys::fresh(keys::ADMIN_PREFIX);
    let new = NewApiKey {
        owner: KeyOwner::Organization,
        name: Some(name.to_owned()),
        hash: key.hash,
        redacted: key.redacted,
        scopes: None,
        expires_at: None,
    };
    let audit = AuditDraft {
        event_type: "api_key.created".to_owned(),
        // Whoever can write the data directory; there is no id to give.
        actor: Value::Null,
        actor_id: None,
        actor_email: None,
        project: None,
        resource_id: None,
        ip_address: None,
        user_agent: Some(concat!("waypost-cli/", env!("CARGO_PKG_VERSION")).to_owned()),
        request_id: None,
        payload: Map::from_iter([("data".to_owned(), json!({"scopes": []}))]),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let created = runtime.block_on(async {
        let engine = serve::open_engine(data_dir).map_err(explain)?;
        let created = engine.store.create_key(new, audit).await;
        engine.store.close().await;
        anyhow::Ok(created?)
    })?;
    writeln!(std::io::stdout(), "{}", key.value.as_str()).context("cannot print the key")?;
    eprintln!(
        "Admin key {} ({name}) was created in {}. It is shown this once; keep it safe.",
        created.id,
        data_dir.display()
    );
    Ok(())
}

fn explain(error: OpenError) -> anyhow::Error {
    let hint = match &error {
        OpenError::Locked { .. } => {
            "a running server makes keys itself: POST /v1/organization/admin_api_keys with an admin key. To get the first one, start it with WAYPOST_ADMIN_KEY set, or stop it and run this command again"
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(hint)
}
