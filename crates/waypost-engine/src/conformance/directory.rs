//! The directory: every change is whole, with its event and a new version.

use super::{Factory, kit::*};
use crate::{
    Engine,
    directory::{
        ApiKey, ApiKeyPatch, KeyOwner, ProjectPatch, ProviderPatch, Revocation, RulePatch,
        SealedSigningKey, ServiceAccountPatch,
    },
};

/// The store makes the organization's id once, when it is created.
pub async fn the_organization_is_made_once(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = engine.store.organization_id().await.unwrap();
    assert!(id.starts_with("org-") && id.len() > 8, "{id}");
    assert_eq!(engine.store.organization_id().await.unwrap(), id);
    if let Some(engine) = factory.reopen(engine).await {
        assert_eq!(engine.store.organization_id().await.unwrap(), id);
    }
}

/// Checks that the last call was one change: a higher version, one event.
struct Steps<'a> {
    engine: &'a Engine,
    version: i64,
    events: usize,
}

impl Steps<'_> {
    async fn step(&mut self, event_type: &str) {
        let version = self.engine.store.directory_version().await.unwrap();
        let log = audit_log(self.engine).await;
        assert!(version > self.version, "{event_type} raised no version");
        assert_eq!(log.len(), self.events + 1, "{event_type} wrote one event");
        assert_eq!(log[self.events].event.event_type, event_type);
        (self.version, self.events) = (version, log.len());
    }
}

/// Every changing method that takes an `AuditDraft` writes that event; every
/// change raises the version.
pub async fn every_change_raises_the_version_and_writes_its_event(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let mut steps = Steps {
        engine: &engine,
        version: store.directory_version().await.unwrap(),
        events: 0,
    };
    macro_rules! step {
        ($event:literal, $call:expr) => {{
            let done = $call.await.unwrap();
            steps.step($event).await;
            done
        }};
    }
    let project = step!("1", store.create_project(new_project("p"), draft("1")));
    let patch = ProjectPatch {
        name: Some("q".into()),
        ..ProjectPatch::default()
    };
    step!("2", store.update_project(&project.id, patch, draft("2")));
    let new = new_account(&project.id);
    let (account, _) = step!("3", store.create_service_account(new, draft("3"), None));
    let patch = ServiceAccountPatch {
        role: Some("owner".into()),
        ..ServiceAccountPatch::default()
    };
    let update = store.update_service_account(&project.id, &account.id, patch, draft("4"));
    step!("4", update);
    let key = step!(
        "5",
        store.create_key(new_key(owner_of(&account)), draft("5"))
    );
    let admin = new_key(KeyOwner::Organization);
    let admin = step!("6", store.create_key(admin, draft("6")));
    step!(
        "7",
        store.delete_project_key(&project.id, &key.id, draft("7"))
    );
    step!("8", store.delete_admin_key(&admin.id, draft("8")));
    let provider = step!("9", store.create_provider(new_provider("w"), draft("9")));
    let patch = ProviderPatch {
        enabled: Some(false),
        ..ProviderPatch::default()
    };
    step!(
        "10",
        store.update_provider(&provider.id, patch, draft("10"))
    );
    let new = new_rule(&provider, &account, None);
    let rule = step!("11", store.create_rule(new, draft("11")));
    let patch = RulePatch {
        enabled: Some(false),
        ..RulePatch::default()
    };
    let update = store.update_rule(&provider.id, &rule.id, patch, draft("12"));
    step!("12", update);
    step!("13", store.delete_rule(&provider.id, &rule.id, draft("13")));
    step!("14", store.delete_provider(&provider.id, draft("14")));
    let delete = store.delete_service_account(&project.id, &account.id, draft("15"));
    step!("15", delete);
    step!("16", store.archive_project(&project.id, draft("16")));

    // These have no event of their own:
    let mut version = steps.version;
    let mut raised = async || {
        let before = version;
        version = store.directory_version().await.unwrap();
        version > before
    };
    let revocation = Revocation {
        jti: "jti".into(),
        expires_at: i64::MAX / 4,
    };
    store.revoke_token(revocation).await.unwrap();
    assert!(raised().await);
    let key = SealedSigningKey {
        kid: "kid".into(),
        sealed: vec![1],
        created_at: 1,
        sign_from: 1,
    };
    store.add_signing_key(key).await.unwrap();
    assert!(raised().await);
    store.delete_signing_key("kid").await.unwrap();
    assert!(raised().await);
    assert_eq!(audit_log(&engine).await.len(), 16);
}

/// A creating method puts the new id into the draft's `resource_id` and at the
/// head of its payload as `id`. Other methods leave both as they are.
pub async fn creating_puts_the_new_id_into_the_event(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut created = draft("project.created");
    created.payload.insert("data".into(), "x".into());
    let new = new_project("p");
    let project = engine.store.create_project(new, created).await.unwrap();
    let mut updated = draft("project.updated");
    updated.resource_id = Some(project.id.clone());
    updated.payload.insert("other".into(), "y".into());
    let patch = ProjectPatch::default();
    let update = engine.store.update_project(&project.id, patch, updated);
    update.await.unwrap();
    let new = new_account(&project.id);
    let key = new_key(KeyOwner::Organization);
    let (account, key) = (engine.store)
        .create_service_account(new, draft("account"), Some((key, draft("key"))))
        .await
        .unwrap();
    let log = audit_log(&engine).await;
    let (event, payload) = (&log[0].event, &log[0].event.payload);
    assert_eq!(event.resource_id.as_ref(), Some(&project.id));
    assert_eq!(
        event.project,
        Some((project.id.clone(), project.name.clone()))
    );
    assert_eq!(payload.keys().collect::<Vec<_>>(), ["id", "data"]);
    assert_eq!(payload["id"], project.id.as_str());
    assert_eq!(log[1].event.resource_id.as_ref(), Some(&project.id));
    assert_eq!(log[1].event.payload.keys().collect::<Vec<_>>(), ["other"]);
    assert_eq!(log[2].event.resource_id.as_ref(), Some(&account.id));
    assert_eq!(log[3].event.resource_id, Some(key.unwrap().id));
}

/// A failed change leaves no event, and no part of the change.
pub async fn a_failed_change_leaves_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let provider = provider(&engine, "taken").await;
    let rule = new_rule(&provider, &account, Some("rule"));
    store.create_rule(rule, draft("rule")).await.unwrap();
    let key = new_key(KeyOwner::Organization);
    store.create_key(key.clone(), draft("key")).await.unwrap();
    let before = store.load_directory().await.unwrap();
    let events = audit_log(&engine).await.len();

    let none = "proj_none";
    let name = ProviderPatch::default;
    let fails = [
        kind(&(store.update_project(none, ProjectPatch::default(), draft("x"))).await),
        kind(&store.archive_project(none, draft("x")).await),
        kind(&(store.create_service_account(new_account(none), draft("x"), None)).await),
        kind(&(store.delete_service_account(&project.id, "svc_acct_none", draft("x"))).await),
        kind(&store.delete_admin_key("key_none", draft("x")).await),
        kind(&(store.delete_project_key(&project.id, "key_none", draft("x"))).await),
        kind(&(store.update_provider("wip_none", name(), draft("x"))).await),
        kind(&store.delete_provider("wip_none", draft("x")).await),
        kind(&(store.delete_rule(&provider.id, "wifr_none", draft("x"))).await),
        kind(&store.delete_signing_key("none").await),
    ];
    assert_eq!(fails, ["not found"; 10]);
    assert_eq!(
        kind(&store.create_key(key.clone(), draft("x")).await),
        "conflict"
    );
    let taken = new_provider("taken");
    assert_eq!(
        kind(&store.create_provider(taken, draft("x")).await),
        "conflict"
    );
    let refused = store.delete_provider(&provider.id, draft("x")).await;
    assert_eq!(kind(&refused), "refused");
    // The store makes the account first, then refuses its key.
    let half = store.create_service_account(
        new_account(&project.id),
        draft("x"),
        Some((key, draft("x"))),
    );
    assert_eq!(kind(&half.await), "conflict");

    let after = store.load_directory().await.unwrap();
    assert_eq!(after.version, before.version);
    assert_eq!(after.projects, before.projects);
    assert_eq!(after.service_accounts, before.service_accounts);
    assert_eq!(after.keys, before.keys);
    assert_eq!(after.providers, before.providers);
    assert_eq!(after.rules, before.rules);
    assert_eq!(audit_log(&engine).await.len(), events);
}

/// Archiving twice changes nothing and returns the row; the second call writes
/// no event.
pub async fn archiving_twice_changes_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = project(&engine).await.id;
    let archive = || engine.store.archive_project(&id, draft("project.archived"));
    let first = archive().await.unwrap();
    assert!(first.archived_at.is_some());
    let version = engine.store.directory_version().await.unwrap();
    assert_eq!(archive().await.unwrap(), first);
    assert_eq!(engine.store.get_project(&id).await.unwrap(), first);
    assert_eq!(engine.store.directory_version().await.unwrap(), version);
    assert_eq!(audit_log(&engine).await.len(), 2);
}

/// `Refused` when the project is archived.
pub async fn an_archived_project_refuses_changes(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let provider = provider(&engine, "p").await;
    store
        .archive_project(&project.id, draft("archived"))
        .await
        .unwrap();
    let new = new_account(&project.id);
    let (patch, account_patch) = (ProjectPatch::default(), ServiceAccountPatch::default());
    let refused = [
        kind(&(store.update_project(&project.id, patch, draft("x"))).await),
        kind(&store.create_service_account(new, draft("x"), None).await),
        kind(
            &store
                .update_service_account(&project.id, &account.id, account_patch, draft("x"))
                .await,
        ),
        kind(&(store.create_key(new_key(owner_of(&account)), draft("x"))).await),
        kind(&(store.create_rule(new_rule(&provider, &account, None), draft("x"))).await),
    ];
    assert_eq!(refused, ["refused"; 5]);
    // Its rows are still there.
    let there = store.get_service_account(&project.id, &account.id).await;
    assert_eq!(there.unwrap(), account);
}

/// `key` is created in the same transaction; the store fills in its owner.
pub async fn an_account_and_its_key_are_one_change(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let new = new_account(&project.id);
    let key = new_key(KeyOwner::ServiceAccount {
        project_id: project.id.clone(),
        service_account_id: String::new(),
    });
    let (account, made) = (engine.store)
        .create_service_account(new, draft("account"), Some((key.clone(), draft("key"))))
        .await
        .unwrap();
    let made = made.unwrap();
    assert!(account.id.starts_with("svc_acct_"));
    assert!(made.id.starts_with("key_"));
    assert_eq!(made.owner, owner_of(&account));
    assert_eq!(
        (made.hash, made.scopes.as_ref()),
        (key.hash, key.scopes.as_ref())
    );
    let got = engine.store.get_project_key(&project.id, &made.id).await;
    assert_eq!(got.unwrap(), made);
}

/// Also deletes its keys and its federation rules, in the same transaction.
pub async fn deleting_an_account_takes_its_keys_and_rules(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let project = project(&engine).await;
    let (gone, kept) = (
        account(&engine, &project.id).await,
        account(&engine, &project.id).await,
    );
    let provider = provider(&engine, "p").await;
    for account in [&gone, &kept] {
        let key = new_key(owner_of(account));
        store.create_key(key, draft("key")).await.unwrap();
        let rule = new_rule(&provider, account, None);
        store.create_rule(rule, draft("rule")).await.unwrap();
    }
    let delete = store.delete_service_account(&project.id, &gone.id, draft("deleted"));
    delete.await.unwrap();
    let directory = store.load_directory().await.unwrap();
    assert_eq!(directory.service_accounts.len(), 1);
    assert_eq!(directory.service_accounts[0], kept);
    assert_eq!(directory.keys.len(), 1);
    assert_eq!(directory.keys[0].owner, owner_of(&kept));
    assert_eq!(directory.rules.len(), 1);
    assert_eq!(directory.rules[0].service_account_id, kept.id);
}

/// A row of another project is `NotFound`, and so is a list of a project that does not
/// exist.
pub async fn another_projects_rows_are_not_found(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let mine = project(&engine).await;
    let other = project(&engine).await.id;
    let account = account(&engine, &mine.id).await;
    let key = store.create_key(new_key(owner_of(&account)), draft("key"));
    let key = key.await.unwrap();
    let admin = store.create_key(new_key(KeyOwner::Organization), draft("key"));
    let admin = admin.await.unwrap();
    let patch = ServiceAccountPatch::default;
    for project in [other.as_str(), "proj_none"] {
        let missing = [
            kind(&store.get_service_account(project, &account.id).await),
            kind(
                &store
                    .update_service_account(project, &account.id, patch(), draft("x"))
                    .await,
            ),
            kind(&(store.delete_service_account(project, &account.id, draft("x"))).await),
            kind(&store.get_project_key(project, &key.id).await),
            kind(&(store.delete_project_key(project, &key.id, draft("x"))).await),
            kind(
                &store
                    .update_project_key(project, &key.id, ApiKeyPatch::default(), draft("x"))
                    .await,
            ),
            kind(&(store.list_project_keys(project, Some(&account.id), page(1))).await),
        ];
        assert_eq!(missing, ["not found"; 7]);
    }
    let lists = [
        kind(&store.list_service_accounts("proj_none", page(1)).await),
        kind(&(store.list_project_keys("proj_none", None, page(1))).await),
        // Neither kind of key is found the other way.
        kind(&store.get_admin_key(&key.id).await),
        kind(&store.delete_admin_key(&key.id, draft("x")).await),
        kind(&store.get_project_key(&mine.id, &admin.id).await),
        kind(&store.get_project("proj_none").await),
    ];
    assert_eq!(lists, ["not found"; 6]);
    let empty = store.list_service_accounts(&other, page(9)).await.unwrap();
    assert!(empty.items.is_empty() && !empty.has_more);
    assert_eq!(store.get_admin_key(&admin.id).await.unwrap(), admin);
}

/// `NotFound` when the service account does not exist, `Conflict` when another key has
/// the hash.
pub async fn a_key_needs_its_owner_and_its_own_hash(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let other = super::kit::project(&engine).await;
    let account = account(&engine, &project.id).await;
    for (project_id, account_id) in [
        (project.id.as_str(), "svc_acct_none"),
        (other.id.as_str(), account.id.as_str()),
        ("proj_none", account.id.as_str()),
    ] {
        let owner = KeyOwner::ServiceAccount {
            project_id: project_id.into(),
            service_account_id: account_id.into(),
        };
        let made = engine.store.create_key(new_key(owner), draft("key")).await;
        assert_eq!(kind(&made), "not found");
    }
    let mut key = new_key(owner_of(&account));
    key.expires_at = Some(77);
    key.scopes = None;
    let made = engine.store.create_key(key.clone(), draft("key")).await;
    let made = made.unwrap();
    assert_eq!((made.expires_at, &made.scopes), (Some(77), &None));
    key.owner = KeyOwner::Organization;
    let taken = engine.store.create_key(key, draft("key")).await;
    assert_eq!(kind(&taken), "conflict");
}

/// Only what the patch holds changes; `Refused` when the key has expired or its
/// project is archived; each change raises the version and writes its event.
pub async fn a_key_is_changed_while_it_lasts(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let mut new = new_key(owner_of(&account));
    new.scopes = Some(vec!["a".into()]);
    let key = store.create_key(new, draft("key")).await.unwrap();
    let change = async |scopes, expires_at| {
        let patch = ApiKeyPatch { scopes, expires_at };
        (store.update_project_key(&project.id, &key.id, patch, draft("changed"))).await
    };
    let version = store.directory_version().await.unwrap();
    let events = audit_log(&engine).await.len();
    let far = i64::MAX / 4;
    for (scopes, expires_at, after) in [
        (None, Some(far), (Some(vec!["a".to_owned()]), Some(far))),
        (
            Some(Some(vec!["b".into(), "c".into()])),
            None,
            (Some(vec!["b".into(), "c".into()]), Some(far)),
        ),
        (Some(None), Some(far - 1), (None, Some(far - 1))),
    ] {
        let changed = change(scopes, expires_at).await.unwrap();
        let expected = ApiKey {
            scopes: after.0,
            expires_at: after.1,
            ..key.clone()
        };
        assert_eq!(changed, expected);
        let stored = store.get_project_key(&project.id, &key.id).await.unwrap();
        assert_eq!(stored, expected);
    }
    assert_eq!(store.directory_version().await.unwrap(), version + 3);
    assert_eq!(audit_log(&engine).await.len(), events + 3);
    assert_eq!(
        store.load_directory().await.unwrap().keys[0].expires_at,
        Some(far - 1)
    );

    change(None, Some(1)).await.unwrap();
    assert_eq!(kind(&change(None, Some(far)).await), "refused");
    let mut new = new_key(owner_of(&account));
    new.hash = [9; 32];
    let other = store.create_key(new, draft("key")).await.unwrap();
    store
        .archive_project(&project.id, draft("x"))
        .await
        .unwrap();
    let patch = ApiKeyPatch::default();
    let archived = store.update_project_key(&project.id, &other.id, patch, draft("x"));
    assert_eq!(kind(&archived.await), "refused");
}

/// An older time never replaces a newer one, and unknown ids are ignored. The version
/// stays.
pub async fn touching_keys_keeps_the_newest_time(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let key = (engine.store)
        .create_key(new_key(KeyOwner::Organization), draft("key"))
        .await
        .unwrap();
    assert_eq!(key.last_used_at, None);
    let version = engine.store.directory_version().await.unwrap();
    let touch = async |times: &[i64]| {
        let mut used: Vec<_> = times.iter().map(|at| (key.id.clone(), *at)).collect();
        used.insert(0, ("key_none".into(), 5));
        engine.store.touch_keys(used).await.unwrap();
        let key = engine.store.get_admin_key(&key.id).await.unwrap();
        key.last_used_at
    };
    assert_eq!(touch(&[1000]).await, Some(1000));
    assert_eq!(touch(&[999]).await, Some(1000));
    assert_eq!(touch(&[3000, 2000]).await, Some(3000));
    assert_eq!(touch(&[]).await, Some(3000));
    assert_eq!(engine.store.directory_version().await.unwrap(), version);
    assert_eq!(audit_log(&engine).await.len(), 1);
}

/// `None` leaves a field as it is; `Some(None)` clears one that can be cleared.
pub async fn patches_change_only_what_they_hold(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let mut new = new_project("before");
    new.external_key_id = Some("external".into());
    let project = store.create_project(new, draft("x")).await.unwrap();
    let patch = ProjectPatch {
        name: Some("after".into()),
        external_key_id: None,
    };
    let changed = store.update_project(&project.id, patch, draft("x")).await;
    let changed = changed.unwrap();
    assert_eq!(changed.name.as_deref(), Some("after"));
    assert_eq!(changed.external_key_id, project.external_key_id);
    assert_eq!(changed.created_at, project.created_at);
    let patch = ProjectPatch {
        name: None,
        external_key_id: Some(None),
    };
    let cleared = store.update_project(&project.id, patch, draft("x")).await;
    let cleared = cleared.unwrap();
    assert_eq!(cleared.external_key_id, None);
    assert_eq!(cleared.name, changed.name);
    assert_eq!(store.get_project(&project.id).await.unwrap(), cleared);

    let account = account(&engine, &project.id).await;
    let patch = ServiceAccountPatch {
        name: Some("renamed".into()),
        role: None,
    };
    let update = store.update_service_account(&project.id, &account.id, patch, draft("x"));
    let changed = update.await.unwrap();
    assert_eq!(
        (changed.name.as_str(), &changed.role),
        ("renamed", &account.role)
    );

    let provider = provider(&engine, "p").await;
    let mut rule = new_rule(&provider, &account, Some("rule"));
    rule.description = Some("text".into());
    let rule = store.create_rule(rule, draft("x")).await.unwrap();
    let patch = RulePatch {
        description: Some(None),
        enabled: Some(false),
        ..RulePatch::default()
    };
    let update = store.update_rule(&provider.id, &rule.id, patch, draft("x"));
    let changed = update.await.unwrap();
    assert_eq!((&changed.description, changed.enabled), (&None, false));
    assert_eq!(changed.name, rule.name);
    assert_eq!(changed.attribute_matchers, rule.attribute_matchers);
    assert!(changed.updated_at >= rule.updated_at);
    let got = store.get_rule(&provider.id, &rule.id).await;
    assert_eq!(got.unwrap(), changed);
}

/// `load_directory` reads the whole directory at one moment.
pub async fn the_directory_is_loaded_at_one_moment(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let writer = {
        let (engine, id) = (engine.clone(), project.id.clone());
        tokio::spawn(async move {
            for _ in 0..100 {
                let key = new_key(KeyOwner::Organization);
                let new = new_account(&id);
                let with = Some((key, draft("key")));
                let made = (engine.store).create_service_account(new, draft("account"), with);
                let (account, _) = made.await.unwrap();
                let delete = (engine.store).delete_service_account(&id, &account.id, draft("x"));
                delete.await.unwrap();
            }
        })
    };
    let mut last = 0;
    while !writer.is_finished() {
        let directory = engine.store.load_directory().await.unwrap();
        assert!(directory.version >= last);
        last = directory.version;
        assert_eq!(directory.service_accounts.len(), directory.keys.len());
        for (account, key) in directory.service_accounts.iter().zip(&directory.keys) {
            assert_eq!(key.owner, owner_of(account));
        }
    }
    writer.await.unwrap();
    let version = engine.store.directory_version().await.unwrap();
    let directory = engine.store.load_directory().await.unwrap();
    assert_eq!(directory.version, version);
}

/// Revoking twice changes nothing.
pub async fn revoking_twice_changes_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let revoke = |expires_at| {
        let jti = "jti".into();
        engine.store.revoke_token(Revocation { jti, expires_at })
    };
    let ends = i64::MAX / 4;
    revoke(ends).await.unwrap();
    let version = engine.store.directory_version().await.unwrap();
    revoke(ends).await.unwrap();
    revoke(1).await.unwrap();
    let directory = engine.store.load_directory().await.unwrap();
    assert_eq!(directory.version, version);
    assert_eq!(directory.revocations.len(), 1);
    assert_eq!(directory.revocations[0].expires_at, ends);
}

/// `load_directory` leaves expired revocations out.
pub async fn expired_revocations_are_not_loaded(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for (jti, expires_at) in [("old", 1000), ("new", i64::MAX / 4)] {
        let jti = jti.into();
        let revoke = engine.store.revoke_token(Revocation { jti, expires_at });
        revoke.await.unwrap();
    }
    let directory = engine.store.load_directory().await.unwrap();
    assert_eq!(directory.revocations.len(), 1);
    assert_eq!(directory.revocations[0].jti, "new");
}

/// Adding a key whose `kid` exists changes nothing.
pub async fn signing_keys_are_kept_by_kid(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let key = |kid: &str, sealed: &[u8]| SealedSigningKey {
        kid: kid.into(),
        sealed: sealed.into(),
        created_at: 1,
        sign_from: 2,
    };
    for key in [key("a", b"one"), key("b", b"two"), key("a", b"other")] {
        engine.store.add_signing_key(key).await.unwrap();
    }
    let mut keys = engine.store.load_directory().await.unwrap().signing_keys;
    keys.sort_by(|a, b| a.kid.cmp(&b.kid));
    assert!(keys == [key("a", b"one"), key("b", b"two")]);
    engine.store.delete_signing_key("a").await.unwrap();
    let again = engine.store.delete_signing_key("a").await;
    assert_eq!(kind(&again), "not found");
    let keys = engine.store.load_directory().await.unwrap().signing_keys;
    assert!(keys == [key("b", b"two")]);
}
