//! Cursor pagination, which is the same in every list.

use super::{Factory, kit::*};
use crate::{Engine, directory::KeyOwner, page::PageQuery};

async fn projects(engine: &Engine, query: PageQuery) -> (Vec<String>, bool) {
    let page = engine.store.list_projects(query, true).await.unwrap();
    let ids = page.items.into_iter().map(|project| project.id).collect();
    (ids, page.has_more)
}

/// Creates projects. Returns their ids in the order of the list.
async fn some(engine: &Engine, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(project(engine).await.id);
    }
    ids.sort();
    ids
}

/// `after`: start after this id, in the direction of the listing.
pub async fn pages_walk_the_whole_list_both_ways(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut ids = some(&engine, 7).await;
    for descending in [false, true] {
        for limit in [1, 2, 3, 7, 8] {
            let (mut seen, mut more) = (Vec::new(), true);
            while more {
                let query = PageQuery {
                    after: seen.last().cloned(),
                    before: None,
                    limit,
                    descending,
                };
                let (page, has_more) = projects(&engine, query).await;
                assert!(page.len() <= limit as usize);
                seen.extend(page);
                assert_eq!(has_more, seen.len() < ids.len(), "whether more rows follow");
                more = has_more;
            }
            assert_eq!(seen, ids);
        }
        ids.reverse();
    }
}

/// `before`: end before this id, in the direction of the listing; the page
/// holds the rows right before it, and `has_more` says whether more precede.
pub async fn before_gives_the_rows_right_before(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut ids = some(&engine, 6).await;
    for descending in [false, true] {
        let query = |after: Option<usize>, before: usize, limit| PageQuery {
            after: after.map(|at| ids[at].clone()),
            before: Some(ids[before].clone()),
            limit,
            descending,
        };
        let cases = [
            (query(None, 4, 2), &ids[2..4], true),
            (query(None, 2, 2), &ids[0..2], false),
            (query(None, 2, 9), &ids[0..2], false),
            (query(None, 0, 2), &ids[0..0], false),
            (query(Some(1), 5, 2), &ids[3..5], true),
            (query(Some(1), 5, 3), &ids[2..5], false),
        ];
        for (query, expected, more) in cases {
            let (page, has_more) = projects(&engine, query.clone()).await;
            assert_eq!((&page[..], has_more), (expected, more), "{query:?}");
        }
        ids.reverse();
    }
}

/// A walk with cursors sees each row that was there when the walk began, and
/// sees it once, while others insert.
pub async fn pages_are_stable_under_inserts(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let before = some(&engine, 40).await;
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { some(&engine, 40).await })
        })
        .collect();
    let (mut seen, mut more) = (Vec::<String>::new(), true);
    while more {
        let query = PageQuery {
            after: seen.last().cloned(),
            ..page(5)
        };
        let (page, has_more) = projects(&engine, query).await;
        seen.extend(page);
        more = has_more;
    }
    assert!(
        seen.is_sorted_by(|one, next| one < next),
        "a row came twice"
    );
    assert!(before.iter().all(|id| seen.contains(id)));
    for writer in writers {
        writer.await.unwrap();
    }
}

/// A cursor still works after its row is deleted.
pub async fn a_cursor_outlives_its_row(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let new = new_key(KeyOwner::Organization);
        let made = engine.store.create_key(new, draft("api_key.created"));
        ids.push(made.await.unwrap().id);
    }
    ids.sort();
    let deleted = draft("api_key.deleted");
    (engine.store)
        .delete_admin_key(&ids[2], deleted)
        .await
        .unwrap();
    let list = async |query| {
        let page = engine.store.list_admin_keys(query).await.unwrap();
        (page.items.into_iter().map(|key| key.id)).collect::<Vec<_>>()
    };
    let after = PageQuery {
        after: Some(ids[2].clone()),
        ..page(10)
    };
    assert_eq!(list(after).await, ids[3..]);
    let before = PageQuery {
        before: Some(ids[2].clone()),
        descending: true,
        ..page(10)
    };
    assert_eq!(list(before).await, [ids[4].clone(), ids[3].clone()]);
}

/// Every list takes cursors, both orders and a limit.
pub async fn every_list_pages(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let project = project(&engine).await;
    let first = account(&engine, &project.id).await;
    let provider = provider(&engine, "a").await;
    super::kit::provider(&engine, "b").await;
    for account in [&first, &account(&engine, &project.id).await] {
        let rule = new_rule(&provider, account, None);
        store.create_rule(rule, draft("rule")).await.unwrap();
        let key = new_key(owner_of(account));
        store.create_key(key, draft("key")).await.unwrap();
        let key = new_key(KeyOwner::Organization);
        store.create_key(key, draft("key")).await.unwrap();
    }
    let key = new_key(owner_of(&first));
    store.create_key(key, draft("key")).await.unwrap();

    macro_rules! check {
        ($count:expr, |$query:ident| $list:expr) => {{
            let $query = page(100);
            let mut all: Vec<String> = $list
                .await
                .unwrap()
                .items
                .into_iter()
                .map(|row| row.id)
                .collect();
            assert_eq!(all.len(), $count, stringify!($list));
            let $query = PageQuery {
                after: Some(all[0].clone()),
                ..page(1)
            };
            let one = $list.await.unwrap();
            assert_eq!(one.items[0].id, all[1]);
            assert_eq!(one.has_more, $count > 2);
            let $query = PageQuery {
                descending: true,
                ..page(100)
            };
            let back: Vec<String> = $list
                .await
                .unwrap()
                .items
                .into_iter()
                .map(|row| row.id)
                .collect();
            all.reverse();
            assert_eq!(back, all);
        }};
    }
    check!(2, |query| store.list_service_accounts(&project.id, query));
    check!(2, |query| store.list_admin_keys(query));
    check!(3, |query| store.list_project_keys(&project.id, None, query));
    check!(2, |query| store.list_project_keys(
        &project.id,
        Some(&first.id),
        query
    ));
    check!(2, |query| store.list_providers(query));
    check!(2, |query| store.list_rules(&provider.id, None, query));
    let one = store.list_rules(&provider.id, Some(&first.id), page(10));
    let one = one.await.unwrap().items;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].service_account_id, first.id);
}

/// A list leaves archived projects out, unless the caller asks for them.
pub async fn archived_projects_are_listed_on_request(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let ids = some(&engine, 3).await;
    let archived = engine
        .store
        .archive_project(&ids[1], draft("project.archived"));
    assert!(archived.await.unwrap().archived_at.is_some());
    assert_eq!(projects(&engine, page(10)).await.0, ids);
    let active = engine.store.list_projects(page(10), false).await.unwrap();
    let active: Vec<String> = active.items.into_iter().map(|project| project.id).collect();
    assert_eq!(active, [ids[0].clone(), ids[2].clone()]);
}
