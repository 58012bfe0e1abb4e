//! Workload identity providers and federation rules.

use serde_json::json;

use super::{Factory, kit::*};
use crate::{
    directory::{ProviderPatch, RulePatch},
    store::{MAX_PROVIDERS, MAX_RULES_PER_PROVIDER},
};

/// Names are unique (`Conflict`), even when a provider is renamed.
pub async fn provider_names_are_unique(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    provider(&engine, "a").await;
    let b = provider(&engine, "b").await;
    let second = (engine.store).create_provider(new_provider("a"), draft("x"));
    assert_eq!(kind(&second.await), "conflict");
    let rename = |name: &str| {
        let patch = ProviderPatch {
            name: Some(name.into()),
            ..ProviderPatch::default()
        };
        engine.store.update_provider(&b.id, patch, draft("x"))
    };
    assert_eq!(kind(&rename("a").await), "conflict");
    rename("b").await.unwrap();
    assert_eq!(rename("c").await.unwrap().name, "c");
    provider(&engine, "b").await;
}

/// There are at most `MAX_PROVIDERS`. A deleted provider makes room.
pub async fn providers_are_limited(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut last = String::new();
    for n in 0..MAX_PROVIDERS {
        last = provider(&engine, &n.to_string()).await.id;
    }
    let more = || (engine.store).create_provider(new_provider("more"), draft("x"));
    assert_eq!(kind(&more().await), "limit");
    let delete = (engine.store).delete_provider(&last, draft("x"));
    delete.await.unwrap();
    more().await.unwrap();
}

/// The trust epoch rises by one whenever the provider's trust changes. Other patches
/// leave it.
pub async fn the_trust_epoch_moves_with_the_trust(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let provider = provider(&engine, "p").await;
    let patch = ProviderPatch::default;
    let epochs = [
        (patch(), 0),
        (
            ProviderPatch {
                description: Some(Some("text".into())),
                enabled: Some(false),
                ..patch()
            },
            0,
        ),
        (
            ProviderPatch {
                issuer: Some(provider.issuer.clone()),
                ..patch()
            },
            0,
        ),
        (
            ProviderPatch {
                issuer: Some("https://other.example".into()),
                audience: Some("other".into()),
                ..patch()
            },
            1,
        ),
        (
            ProviderPatch {
                attribute_transformations: Some(json!(["x"])),
                ..patch()
            },
            1,
        ),
        (
            ProviderPatch {
                verification: Some(json!({"keys": []})),
                ..patch()
            },
            1,
        ),
    ];
    let mut expected = provider.trust_epoch;
    for (patch, rise) in epochs {
        expected += rise;
        let update = (engine.store).update_provider(&provider.id, patch.clone(), draft("x"));
        let updated = update.await.unwrap();
        assert_eq!(updated.trust_epoch, expected, "{patch:?}");
        let got = engine.store.get_provider(&provider.id).await.unwrap();
        assert_eq!(got, updated);
    }
}

/// A provider cannot be deleted while it has rules (`Refused`).
pub async fn a_provider_with_rules_stays(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let provider = provider(&engine, "p").await;
    let rule = new_rule(&provider, &account, None);
    let rule = engine.store.create_rule(rule, draft("x")).await.unwrap();
    let delete = || engine.store.delete_provider(&provider.id, draft("x"));
    assert_eq!(kind(&delete().await), "refused");
    let delete_rule = (engine.store).delete_rule(&provider.id, &rule.id, draft("x"));
    delete_rule.await.unwrap();
    delete().await.unwrap();
    let gone = engine.store.get_provider(&provider.id).await;
    assert_eq!(kind(&gone), "not found");
}

/// `NotFound` when the provider or the service account (of that project) does not
/// exist.
pub async fn a_rule_needs_provider_and_account(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let other = super::kit::project(&engine).await;
    let account = account(&engine, &project.id).await;
    let provider = provider(&engine, "p").await;
    let rule = || new_rule(&provider, &account, None);
    let mut wrong = [rule(), rule(), rule()];
    wrong[0].provider_id = "wip_none".into();
    wrong[1].service_account_id = "svc_acct_none".into();
    wrong[2].project_id = other.id;
    for new in wrong {
        let made = engine.store.create_rule(new, draft("x")).await;
        assert_eq!(kind(&made), "not found");
    }
    let made = engine.store.create_rule(rule(), draft("x")).await.unwrap();
    assert!(made.id.starts_with("wifr_"));
    assert_eq!(made.project_id, project.id);
    assert_eq!(made.permissions, rule().permissions);
}

/// A provider has one rule for a service account (`Conflict`).
pub async fn one_rule_for_a_provider_and_account(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let second = super::kit::account(&engine, &project.id).await;
    let a = provider(&engine, "a").await;
    let b = provider(&engine, "b").await;
    let create = |new| engine.store.create_rule(new, draft("x"));
    create(new_rule(&a, &account, Some("one"))).await.unwrap();
    let again = create(new_rule(&a, &account, Some("two"))).await;
    assert_eq!(kind(&again), "conflict");
    create(new_rule(&b, &account, None)).await.unwrap();
    create(new_rule(&a, &second, None)).await.unwrap();
}

/// Names of rules are unique within the provider. Rules without a name do not conflict.
pub async fn rule_names_are_unique_within_the_provider(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let mut accounts = Vec::new();
    for _ in 0..4 {
        accounts.push(account(&engine, &project.id).await);
    }
    let a = provider(&engine, "a").await;
    let b = provider(&engine, "b").await;
    let create = |new| engine.store.create_rule(new, draft("x"));
    create(new_rule(&a, &accounts[0], Some("n"))).await.unwrap();
    let again = create(new_rule(&a, &accounts[1], Some("n"))).await;
    assert_eq!(kind(&again), "conflict");
    create(new_rule(&b, &accounts[0], Some("n"))).await.unwrap();
    create(new_rule(&a, &accounts[1], None)).await.unwrap();
    let nameless = create(new_rule(&a, &accounts[2], None)).await.unwrap();
    let rename = |name: Option<&str>| {
        let patch = RulePatch {
            name: Some(name.map(str::to_owned)),
            ..RulePatch::default()
        };
        engine
            .store
            .update_rule(&a.id, &nameless.id, patch, draft("x"))
    };
    assert_eq!(kind(&rename(Some("n")).await), "conflict");
    assert_eq!(rename(Some("m")).await.unwrap().name.as_deref(), Some("m"));
    assert_eq!(rename(None).await.unwrap().name, None);
}

/// A provider has at most `MAX_RULES_PER_PROVIDER` rules.
pub async fn rules_are_limited(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let provider = provider(&engine, "p").await;
    for _ in 0..MAX_RULES_PER_PROVIDER {
        let account = account(&engine, &project.id).await;
        let rule = new_rule(&provider, &account, None);
        engine.store.create_rule(rule, draft("x")).await.unwrap();
    }
    let account = account(&engine, &project.id).await;
    let rule = new_rule(&provider, &account, None);
    let more = engine.store.create_rule(rule, draft("x")).await;
    assert_eq!(kind(&more), "limit");
    let other = super::kit::provider(&engine, "q").await;
    let rule = new_rule(&other, &account, None);
    engine.store.create_rule(rule, draft("x")).await.unwrap();
}

/// A rule of another provider is `NotFound`, and so is a list of a provider that does
/// not exist.
pub async fn rules_are_found_through_their_provider(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let mine = provider(&engine, "a").await;
    let other = provider(&engine, "b").await;
    let rule = new_rule(&mine, &account, None);
    let rule = store.create_rule(rule, draft("x")).await.unwrap();
    let patch = RulePatch::default();
    let missing = [
        kind(&store.get_rule(&other.id, &rule.id).await),
        kind(
            &store
                .update_rule(&other.id, &rule.id, patch, draft("x"))
                .await,
        ),
        kind(&store.delete_rule(&other.id, &rule.id, draft("x")).await),
        kind(&store.list_rules("wip_none", None, page(1)).await),
    ];
    assert_eq!(missing, ["not found"; 4]);
    let none = store.list_rules(&other.id, None, page(1)).await.unwrap();
    assert!(none.items.is_empty());
    assert_eq!(store.get_rule(&mine.id, &rule.id).await.unwrap(), rule);
}
