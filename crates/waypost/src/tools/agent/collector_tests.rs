use mcp_client::Tool;

use super::*;
use crate::tools::mcp::policy::Policy;

fn piece(key: u64, name: Option<&str>, arguments: &str) -> Delta {
    Delta::ToolCall {
        key,
        kind: CallKind::Function,
        call_id: name.map(|_| format!("call_{key}")),
        name: name.map(str::to_owned),
        namespace: None,
        arguments: arguments.to_owned(),
    }
}

fn take(calls_left: u64, deltas: Vec<Delta>) -> (TurnCollector, Vec<Delta>) {
    let policy = Policy::of(
        &json!({"type": "mcp", "server_label": "s", "require_approval":
        {"never": {"tool_names": ["t"]}}}),
    )
    .expect("a policy");
    let tool = |name: &str| Tool {
        annotations: None,
        description: None,
        input_schema: json!({}),
        name: name.to_owned(),
    };
    let mut catalogue = Catalogue::default();
    catalogue.add(&policy, vec![tool("t"), tool("asks")]);
    let (mut collector, mut out, mut next_key) = (TurnCollector::default(), Vec::new(), 100);
    for delta in deltas {
        let mut sorting = Sorting {
            catalogue: &catalogue,
            spent: Usage::default(),
            calls_left,
            next_key: &mut next_key,
        };
        collector.take(delta, &mut sorting, &mut out);
    }
    (collector, out)
}

#[test]
fn a_call_is_sorted_by_its_name_whenever_it_comes() {
    let (mut collector, mut out) = take(
        9,
        vec![
            piece(1, None, "{\"a\""),
            piece(2, Some("mine"), "{}"),
            piece(1, Some("s__t"), ":"),
            piece(3, None, "?"),
            piece(1, None, "1}"),
        ],
    );
    let client: Vec<_> = out
        .iter()
        .filter_map(|delta| match delta {
            Delta::ToolCall { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(client, [2]);
    assert!(collector.calls_client);
    let wanted = collector.wanted(&mut out);
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0].arguments, r#"{"a":1}"#);
    // What never got a name is shown as it came.
    assert_eq!(
        out.last(),
        Some(&Delta::ToolCall {
            key: 3,
            kind: CallKind::Function,
            call_id: None,
            name: None,
            namespace: None,
            arguments: "?".to_owned(),
        })
    );
}

#[test]
fn beyond_what_is_allowed_calls_leave_no_trace() {
    let (mut collector, mut out) = take(
        1,
        vec![
            piece(1, Some("s__t"), "{}"),
            piece(2, Some("s__t"), "{}"),
            piece(3, Some("s__asks"), "{}"),
            piece(2, None, " "),
        ],
    );
    let added = out
        .iter()
        .filter(|delta| matches!(delta, Delta::ItemAdded { .. }))
        .count();
    assert_eq!((added, collector.ignored), (1, 1));
    let wanted = collector.wanted(&mut out);
    let keys: Vec<_> = wanted.iter().map(|wanted| wanted.key).collect();
    // A question costs no call.
    assert_eq!(keys, [Some(100), None]);
}

#[test]
fn what_a_turn_finds_is_kept_and_has_a_key_of_its_own() {
    let item = json!({"type": "tool_search_output", "id": "tso_1", "tools": []});
    let (collector, out) = take(
        1,
        vec![
            Delta::ItemAdded {
                key: 0,
                item: item.clone(),
            },
            Delta::ItemDone {
                key: 0,
                item: item.clone(),
            },
        ],
    );
    assert_eq!(collector.into_record(), [item]);
    for delta in out {
        match delta {
            Delta::ItemAdded { key, .. } | Delta::ItemDone { key, .. } => {
                assert_eq!(key, OF_THE_TURN);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_next_turn_is_told_what_was_said() {
    let text = |text: &str| Delta::Text {
        text: text.to_owned(),
        logprobs: Vec::new(),
    };
    let (collector, out) = take(
        9,
        vec![
            Delta::Reasoning("hm".to_owned()),
            Delta::ReasoningEncrypted("sealed".to_owned()),
            text("a"),
            text("b"),
            Delta::Message { phase: None },
            text("c"),
        ],
    );
    assert_eq!(out.len(), 6);
    let record = collector.into_record();
    assert_eq!(record.len(), 3);
    assert_eq!(record[0]["encrypted_content"], "sealed");
    assert_eq!(record[0]["content"][0]["text"], "hm");
    assert_eq!(record[1]["content"][0]["text"], "ab");
    assert_eq!(record[2]["content"][0]["text"], "c");
}
