//! Properties of a whole run, for any deltas a model server may send: the
//! stream is well formed, and a log that broke off anywhere goes on without a
//! lost, repeated or altered character.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use waypost_engine::{
    events::{EventBatch, EventBatchBuilder},
    responses::Status,
};
use waypost_testkit::sse::{check_stream, parse_strict};

use super::{
    assemble::Assembler,
    events::{Event, encode, frame},
    object, pump,
    recover::{Checkpoint, Folded, Plan, Seam},
};
use crate::{
    config,
    model::{CallKind, Delta, Finish, Generation, Usage},
    upstream::{Upstream, Upstreams},
};

fn deltas() -> impl Strategy<Value = Vec<Delta>> {
    let text = "[a-z\\n é🚀]{1,8}";
    let delta = prop_oneof![
        6 => text.prop_map(|text| Delta::Text { text, logprobs: vec![] }),
        2 => text.prop_map(Delta::Reasoning),
        1 => (0..3_usize, text).prop_map(|(index, text)| Delta::ReasoningSummary { index, text }),
        1 => text.prop_map(Delta::Refusal),
        1 => Just(Delta::ReasoningBreak),
        1 => prop_oneof![Just(None), Just(Some("commentary".to_owned()))]
            .prop_map(|phase| Delta::Message { phase }),
        1 => Just(Delta::Annotation(json!({"type": "url_citation"}))),
        1 => Just(Delta::ReasoningEncrypted("sealed".into())),
        2 => (0..3_u64, any::<bool>(), "[a-z]{0,4}").prop_map(|(key, named, arguments)| {
            Delta::ToolCall {
                key,
                kind: CallKind::Function,
                namespace: None,
                call_id: named.then(|| format!("call_{key}")),
                name: named.then(|| "f".to_owned()),
                arguments,
            }
        }),
        1 => Just(Delta::Usage(Usage { input_tokens: 5, output_tokens: 9, reported: true, ..Usage::default() })),
    ];
    proptest::collection::vec(delta, 0..40)
}

fn base() -> Value {
    object::new("resp_1", 1, Status::InProgress, Map::new())
}

/// The first events of a log.
fn opening() -> EventBatch {
    let response = base();
    EventBatch::of([
        encode(&Event::Created {
            response: &response,
        }),
        encode(&Event::InProgress {
            response: &response,
        }),
    ])
}

/// What a client reads of such a log.
fn as_seen(log: &[EventBatch]) -> Vec<Value> {
    let mut wire = BytesMut::new();
    for (number, event) in (0..).zip(
        log.iter()
            .flat_map(|batch| batch.iter().collect::<Vec<Bytes>>()),
    ) {
        frame(&mut wire, number, &event);
    }
    parse_strict(&wire)
        .unwrap()
        .iter()
        .map(|event| event.json().unwrap())
        .collect()
}

/// What the store leaves of a log that is taken back.
fn cut(log: &[EventBatch], to: u64) -> Vec<EventBatch> {
    let events = log
        .iter()
        .flat_map(|batch| batch.iter().collect::<Vec<_>>());
    vec![EventBatch::of(events.take(to as usize))]
}

fn fold(log: &[EventBatch], read_to: u64, checkpoint: u64) -> Folded {
    let checkpoint = Checkpoint {
        events: checkpoint,
        ..Checkpoint::default()
    };
    let mut folded = Folded::new(Some(checkpoint));
    for batch in log {
        folded.read(batch, u64::MAX);
    }
    folded.read_to = read_to;
    folded
}

/// A plan that takes nothing back in vain, as a claim makes it.
fn plan(log: &[EventBatch], read_to: u64, checkpoint: u64) -> Plan {
    let upstream = &CONTINUING.all()[0];
    let plan = fold(log, read_to, checkpoint).plan(upstream, &generation());
    let Plan::TakeBack { to, assembler, why } = plan else {
        return plan;
    };
    match fold(&cut(log, to), read_to, checkpoint).plan(upstream, &generation()) {
        Plan::Run { .. } => Plan::TakeBack { to, assembler, why },
        _ => Plan::GiveUp { assembler, why },
    }
}

fn finish() -> impl Strategy<Value = Finish> {
    prop_oneof![
        Just(Finish::Stop),
        Just(Finish::Length),
        Just(Finish::ContentFilter)
    ]
}

/// Built once: a client reads the system's certificates.
static CONTINUING: LazyLock<Upstreams> = LazyLock::new(|| {
    let mut config = config::Upstream::at("up".into(), "http://127.0.0.1:1/v1".into());
    config.dialect = Some(config::Dialect::LlamaCpp);
    Upstreams::new(&[config], std::time::Duration::from_secs(1)).unwrap()
});

fn generation() -> Generation {
    serde_json::from_value(json!({"model": "m", "items": []})).unwrap()
}

/// Runs the deltas on an assembler; one batch for each.
fn batches(assembler: &mut Assembler, deltas: &[Delta]) -> Vec<EventBatch> {
    let mut out = EventBatchBuilder::default();
    deltas
        .iter()
        .map(|delta| {
            assembler.apply(delta.clone(), &mut out);
            out.take()
        })
        .collect()
}

fn text_of(deltas: &[Delta]) -> String {
    deltas
        .iter()
        .filter_map(|d| match d {
            Delta::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

proptest! {
    // A case walks a whole stream; 256 of them are slow without optimization.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn any_deltas_make_a_well_formed_stream(deltas in deltas(), finish in finish(), hold in any::<bool>()) {
        let mut assembler = Assembler::default();
        assembler.hold_blank_text = hold;
        let mut log = vec![opening()];
        log.extend(batches(&mut assembler, &deltas));
        let end = pump::end(&base(), &mut assembler, finish, EventBatchBuilder::default());
        log.push(end.events());
        let events = as_seen(&log);
        match check_stream(&events) {
            Ok(checked) if !hold => prop_assert_eq!(checked.output_text(), text_of(&deltas)),
            Ok(_) => {}
            // Calls in an order that no model writes, all cut off at once.
            Err(fault) => prop_assert!(
                finish != Finish::Stop && fault.to_string().contains("an incomplete item is not the last one"),
                "{}", fault
            ),
        }
    }

    #[test]
    fn a_log_cut_anywhere_goes_on_exactly_or_not_at_all(
        text in "[a-z \\n]{0,60}",
        reasoning in "[a-z]{0,5}",
        pieces in 1..9_usize,
        cut in 0..100_usize,
        trims in any::<bool>(),
    ) {
        let chars: Vec<char> = text.chars().collect();
        let mut deltas: Vec<Delta> = Vec::new();
        if !reasoning.is_empty() {
            deltas.push(Delta::Reasoning(reasoning.clone()));
        }
        deltas.extend(
            chars.chunks(pieces).map(|c| Delta::Text { text: c.iter().collect(), logprobs: vec![] }),
        );
        let mut first = Assembler::default();
        let mut log = vec![opening()];
        log.extend(batches(&mut first, &deltas));
        log.truncate(1 + cut % log.len());

        // The crash. What is left is the log.
        let folded = fold(&log, u64::MAX, 0);
        prop_assert!(folded.announced);
        let upstream: &Upstream = &CONTINUING.all()[0];
        match folded.plan(upstream, &generation()) {
            Plan::Run { mut assembler, prefix, .. } => {
                let delivered = prefix.as_ref().map_or(0, |p| p.text.len());
                prop_assert_eq!(prefix.as_ref().map_or("", |p| &p.text), &text[..delivered]);
                let (sent, mut seam) = match prefix {
                    Some(prefix) => {
                        let (sent, seam) = Seam::new(prefix);
                        (sent.text, seam)
                    }
                    None => (String::new(), Seam::default()),
                };
                // The model goes on after what it was sent; some templates
                // trim, so that the white space comes again.
                let from = if trims { sent.len() } else { delivered };
                let rest: Vec<Delta> = text[from..]
                    .chars()
                    .map(|c| seam.pass(&c.to_string()).to_owned())
                    .filter(|t| !t.is_empty())
                    .map(|text| Delta::Text { text, logprobs: vec![] })
                    .collect();
                log.extend(batches(&mut assembler, &rest));
                let end = pump::end(&base(), &mut assembler, Finish::Stop, EventBatchBuilder::default());
                log.push(end.events());
                let events = as_seen(&log);
                let checked = check_stream(&events).map_err(|e| TestCaseError::fail(e.to_string()))?;
                if trims || !text[delivered..].starts_with(char::is_whitespace) || delivered == sent.len() {
                    prop_assert_eq!(checked.output_text(), text);
                }
            }
            Plan::GiveUp { mut assembler, .. } => {
                let failure = object::Failure { code: "server_error", message: "x".into() };
                let end = pump::failure(&base(), &mut assembler, &failure, EventBatchBuilder::default());
                log.push(end.events());
                let events = as_seen(&log);
                check_stream(&events).map_err(|e| TestCaseError::fail(e.to_string()))?;
            }
            Plan::TakeBack { to, .. } => prop_assert!(false, "{to} was read"),
        }
    }

    #[test]
    fn any_log_folds_to_a_plan(
        deltas in deltas(),
        crash in 0..100_usize,
        read in 0..100_u64,
        checkpoint in 0..60_u64,
        text in "[a-z]{1,9}",
    ) {
        let mut assembler = Assembler::default();
        let mut log = vec![opening()];
        log.extend(batches(&mut assembler, &deltas));
        log.truncate(1 + crash % log.len());
        let events: u64 = log.iter().map(EventBatch::count).sum();
        let read_to = 2 + read % (events - 1);
        let before = as_seen(&log);
        // The checkpoint is of a turn that ended, or of one that was taken back.
        let mut plan = plan(&log, read_to, checkpoint);
        if let Plan::TakeBack { to, .. } = plan {
            prop_assert!(read_to <= to && to < events, "{read_to} {to} {events}");
            log = cut(&log, to);
            plan = self::plan(&log, read_to, checkpoint.min(to));
            let Plan::Run { assembler, prefix: None, .. } = &mut plan else {
                panic!("what was taken back is not asked for again: {plan:?}");
            };
            let again = [Delta::Reasoning(text.clone()), Delta::Text { text: text.clone(), logprobs: vec![] }];
            log.extend(batches(assembler, &again));
        }
        let (mut assembler, failed) = match plan {
            Plan::Run { assembler, .. } => (assembler, false),
            Plan::GiveUp { assembler, .. } => (assembler, true),
            Plan::TakeBack { .. } => unreachable!(),
        };
        let end = if failed {
            let failure = object::Failure { code: "server_error", message: "x".into() };
            pump::failure(&base(), &mut assembler, &failure, EventBatchBuilder::default())
        } else {
            pump::end(&base(), &mut assembler, Finish::Stop, EventBatchBuilder::default())
        };
        log.push(end.events());
        let events = as_seen(&log);
        let given = read_to as usize;
        prop_assert_eq!(&events[..given], &before[..given], "what was given stays");
        if let Err(fault) = check_stream(&events) {
            // Calls in an order that no model writes, all cut off at once.
            prop_assert!(fault.to_string().contains("an incomplete item is not the last one"), "{fault}");
        }
    }
}
