//! `waypost signing-key rotate`: another key for access tokens, made while the
//! server is down.

use crate::{
    clock,
    config::Config,
    identity::{signing, snapshot::DirectoryHandle},
    serve,
};

/// Makes a key. With `replace_all` it signs at once and all others go.
pub(super) fn rotate(config: &Config, replace_all: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = serve::open_engine(&config.data_dir)?;
        let done = rotate_in(config, &engine, replace_all).await;
        engine.store.close().await;
        done
    })
}

async fn rotate_in(
    config: &Config,
    engine: &waypost_engine::Engine,
    replace_all: bool,
) -> anyhow::Result<()> {
    let directory = DirectoryHandle::load(engine.clone()).await?;
    let now = clock::now();
    if replace_all {
        // Nothing sealed before has to open any more.
        let master = signing::load_master_key(config, false)?;
        let kid = signing::add_key(engine, &master, now).await?;
        let old = directory.current().signing_keys.clone();
        for key in &old {
            engine.store.delete_signing_key(&key.kid).await?;
        }
        eprintln!(
            "Signing key {kid} replaces all {} before it. Every access token issued so far is refused; workloads exchange new ones by themselves.",
            old.len()
        );
        return Ok(());
    }
    let master = signing::prepare(config, engine, &directory).await?;
    let from = now + signing::PUBLISH_AHEAD.as_millis() as i64;
    let kid = signing::add_key(engine, &master, from).await?;
    eprintln!(
        "Signing key {kid} was made. Start the server: it publishes the key at once and signs with it in {} minutes; tokens of the keys before it stay valid.",
        (from - now) / 60_000
    );
    Ok(())
}
