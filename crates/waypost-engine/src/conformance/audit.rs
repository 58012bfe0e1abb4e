//! The methods of the audit log.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Factory, kit::*};
use crate::{
    audit::{AuditDraft, AuditFilter},
    page::PageQuery,
};

/// An appended event comes back whole, with an id and a time.
pub async fn events_come_back_whole(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let full = AuditDraft {
        event_type: "login.succeeded".into(),
        actor: json!({"type": "session", "session": {"user": {"email": "a@example.com"}}}),
        actor_id: Some("user_1".into()),
        actor_email: Some("a@example.com".into()),
        project: Some(("proj_1".into(), Some("Name ü".into()))),
        resource_id: Some("key_1".into()),
        ip_address: Some("2001:db8::1".into()),
        user_agent: Some("agent".into()),
        request_id: Some("req_9".into()),
        payload: Map::from_iter([("z".into(), json!(1)), ("a".into(), json!([null, "x"]))]),
    };
    let empty = AuditDraft {
        actor: Value::Null,
        actor_id: None,
        ip_address: None,
        user_agent: None,
        request_id: None,
        ..draft("login.failed")
    };
    let events = vec![full.clone(), empty.clone()];
    engine.store.append_audit(events).await.unwrap();
    let log = audit_log(&engine).await;
    assert_eq!(log.len(), 2);
    for (entry, expected) in log.iter().zip([full, empty]) {
        assert!(entry.id.starts_with("audit_log-"));
        assert!(entry.effective_at > 1_600_000_000_000);
        assert_eq!(format!("{:?}", entry.event), format!("{expected:?}"));
    }
}

/// A descending page lists the newest events first.
pub async fn a_descending_page_has_the_newest_first(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for name in ["one", "two", "three"] {
        engine.store.append_audit(vec![draft(name)]).await.unwrap();
    }
    let query = PageQuery {
        descending: true,
        ..page(2)
    };
    let page = engine.store.list_audit(AuditFilter::default(), query);
    let page = page.await.unwrap();
    let types: Vec<_> = (page.items.iter())
        .map(|entry| entry.event.event_type.as_str())
        .collect();
    assert_eq!(types, ["three", "two"]);
    assert!(page.has_more);
}

/// An event must match all filters, and any value of each. Times are milliseconds.
pub async fn filters_select(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let events = (0..4).map(|n| AuditDraft {
        actor_id: Some(format!("key_{}", n % 2)),
        actor_email: (n == 3).then(|| "a@example.com".into()),
        project: Some((format!("proj_{}", n / 2), None)),
        resource_id: Some(format!("res_{n}")),
        ..draft(&format!("type_{n}"))
    });
    for event in events {
        engine.store.append_audit(vec![event]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let log = audit_log(&engine).await;
    let at: Vec<_> = log.iter().map(|entry| entry.effective_at).collect();
    let none = AuditFilter::default;
    let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let cases: Vec<(AuditFilter, &[usize])> = vec![
        (none(), &[0, 1, 2, 3]),
        (
            AuditFilter {
                gt: Some(at[1]),
                ..none()
            },
            &[2, 3],
        ),
        (
            AuditFilter {
                gte: Some(at[1]),
                ..none()
            },
            &[1, 2, 3],
        ),
        (
            AuditFilter {
                lt: Some(at[1]),
                ..none()
            },
            &[0],
        ),
        (
            AuditFilter {
                lte: Some(at[1]),
                ..none()
            },
            &[0, 1],
        ),
        (
            AuditFilter {
                gt: Some(at[0]),
                lt: Some(at[3]),
                ..none()
            },
            &[1, 2],
        ),
        (
            AuditFilter {
                project_ids: strings(&["proj_1"]),
                ..none()
            },
            &[2, 3],
        ),
        (
            AuditFilter {
                project_ids: strings(&["proj_1", "proj_0"]),
                ..none()
            },
            &[0, 1, 2, 3],
        ),
        (
            AuditFilter {
                event_types: strings(&["type_0", "type_3", "other"]),
                ..none()
            },
            &[0, 3],
        ),
        (
            AuditFilter {
                actor_ids: strings(&["key_1"]),
                ..none()
            },
            &[1, 3],
        ),
        (
            AuditFilter {
                actor_emails: strings(&["a@example.com"]),
                ..none()
            },
            &[3],
        ),
        (
            AuditFilter {
                resource_ids: strings(&["res_2"]),
                ..none()
            },
            &[2],
        ),
        (
            AuditFilter {
                actor_ids: strings(&["key_1"]),
                project_ids: strings(&["proj_0"]),
                ..none()
            },
            &[1],
        ),
        (
            AuditFilter {
                resource_ids: strings(&["' OR 1=1 --"]),
                ..none()
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        let found = engine.store.list_audit(filter.clone(), page(100)).await;
        let found: Vec<String> = (found.unwrap().items.into_iter())
            .map(|entry| entry.id)
            .collect();
        let expected: Vec<String> = expected.iter().map(|n| log[*n].id.clone()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let query = PageQuery {
        after: Some(log[0].id.clone()),
        ..page(1)
    };
    let filter = AuditFilter {
        actor_ids: strings(&["key_0"]),
        ..none()
    };
    let filtered = engine.store.list_audit(filter, query).await.unwrap();
    assert_eq!(filtered.items[0].id, log[2].id);
    assert!(!filtered.has_more);
}

/// Events of one call are all there, in order; the directory is not changed.
pub async fn appended_events_are_all_there(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let version = engine.store.directory_version().await.unwrap();
    let events = (0..250).map(|n| draft(&format!("type_{n}"))).collect();
    engine.store.append_audit(events).await.unwrap();
    engine.store.append_audit(vec![]).await.unwrap();
    let log = audit_log(&engine).await;
    for (n, entry) in log.iter().enumerate() {
        assert_eq!(entry.event.event_type, format!("type_{n}"));
    }
    assert_eq!(log.len(), 250);
    assert_eq!(engine.store.directory_version().await.unwrap(), version);
}

/// Ids ascend in commit order: whoever reads on from the last id that they saw,
/// while others append, misses nothing and sees nothing twice.
pub async fn reading_on_misses_no_event(factory: &dyn Factory) {
    const EVENTS: usize = 320;
    let engine = factory.fresh().await;
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for n in 0..EVENTS / 8 {
                    if n % 2 == 0 {
                        // The event belongs to a change.
                        project(&engine).await;
                    } else {
                        let events = vec![draft("token.issued")];
                        engine.store.append_audit(events).await.unwrap();
                    }
                }
            })
        })
        .collect();
    let started = Instant::now();
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < EVENTS {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{}",
            seen.len()
        );
        let query = PageQuery {
            after: seen.last().cloned(),
            ..page(5)
        };
        let events = engine.store.list_audit(AuditFilter::default(), query);
        let events = events.await.unwrap().items;
        seen.extend(events.into_iter().map(|entry| entry.id));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(seen.is_sorted_by(|one, next| one < next));
    assert_eq!(seen.len(), EVENTS);
}
