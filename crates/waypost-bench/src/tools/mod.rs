//! Tools: what resolving schemas and checking arguments costs, against the crates that would
//! otherwise do it. All of it runs here, on one thread, without a server.

mod public;
mod samples;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use strict_schema::{
    ArgumentChecker, Automaton, Limits, Profile, Resolved, Validator, Where, parse, resolve,
};
use toktrie::ApproximateTokEnv;
use waypost::{Metrics, Place, Preparer, ToolsConfig};

use crate::Bench;
use crate::stats::{Rng, median};
use crate::table::{Cell, Row, Section, rate, time};

/// Schemas that a request's tools have.
const TOOLS: usize = 20;
/// How much of an argument text a model server sends at once.
const PIECE: usize = 4;
const PER_CORE: f64 = 100_000.0;
const LARGE_PER_CORE: f64 = 25_000.0;
const COLD_US: f64 = 250.0;
const WARM_US: f64 = 20.0;
const BYTE_NS: f64 = 50.0;
const STATE: usize = 4096;

pub fn measure(bench: &mut Bench, schemas: Option<&Path>) -> anyhow::Result<Section> {
    bench.say("tools");
    let mut rng = bench.rng();
    let rounds = if bench.quick { 3 } else { 9 };
    let profile = Profile::default();
    let tools = samples::tools(1000);
    let large = samples::large(200);
    let factory = bytewise()?;
    let mut rows = vec![resolving(&tools, &profile, &factory, rounds, &mut rng)?];
    let what = "a large public schema parsed and resolved, per second and core";
    let budget = format!("≥ {}", rate(LARGE_PER_CORE));
    rows.push(match schemas.map(public::large).transpose()? {
        Some(public) => {
            let what = format!("{what} ({:.1} kB)", mean(&public) as f64 / 1000.0);
            let (row, per_second) = parsing(what, &public, &profile, rounds, &mut rng)?;
            row.budget(budget, per_second >= LARGE_PER_CORE)
        }
        None => Row::new(what)
            .missing("The public schemas were not collected.")
            .budget_unknown(budget),
    });
    let what = format!("a made-up one ({:.1} kB)", mean(&large) as f64 / 1000.0);
    rows.push(parsing(what, &large, &profile, rounds, &mut rng)?.0);
    rows.extend(requests(rounds)?);
    rows.extend(checking(&factory, rounds, &mut rng)?);
    Ok(Section {
        failed: false,
        title: "Tools",
        method: format!(
            "In this process, one thread, no server, the server's allocator; medians of {rounds} rounds, what is compared in random order within each. Public schemas are those of 1.5 kB and more of the function documents of BFCL and of github-mcp-server. The others are made up: {} of the size of tools (mean {} B), {} large ones. A request's {TOOLS} tools go through the server's own cache; cold, every schema is new to it. Arguments come in pieces of {PIECE} bytes.",
            tools.len(),
            mean(&tools),
            large.len(),
        ),
        rows,
    })
}

/// Schemas in memory, resolved to strict.
fn resolving(
    tools: &[String],
    profile: &Profile,
    factory: &ParserFactory,
    rounds: usize,
    rng: &mut Rng,
) -> anyhow::Result<Row> {
    let values = values(tools)?;
    let strict: Vec<Value> = values
        .iter()
        .filter_map(|schema| match resolve(schema, profile) {
            Resolved::Strict { schema, .. } => Some(schema),
            Resolved::Fallback { .. } => None,
        })
        .collect();
    // The peers are slower by orders of magnitude: a few schemas are enough.
    let few = &strict[..strict.len().min(60)];
    let [ours, jsonschema, llguidance] = compare(
        rounds,
        rng,
        [
            &mut || each(&values, |schema| drop(black_box(resolve(schema, profile)))),
            &mut || each(few, |schema| drop(black_box(Validator::new(schema)))),
            &mut || each(few, |schema| drop(black_box(matcher(factory, schema)))),
        ],
    );
    Ok(Row::new("a tool's schema resolved, per second and core")
        .direct(format!("{} compiled by jsonschema", rate(1e6 / jsonschema)))
        .peer(Cell::Text(format!(
            "{} compiled by llguidance",
            rate(1e6 / llguidance)
        )))
        .ours(format!("{} ({})", rate(1e6 / ours), time(ours)))
        .difference(format!("{} of {} strict", strict.len(), values.len()))
        .budget(format!("≥ {}", rate(PER_CORE)), 1e6 / ours >= PER_CORE))
}

/// Schemas as text, parsed and resolved.
fn parsing(
    what: String,
    large: &[String],
    profile: &Profile,
    rounds: usize,
    rng: &mut Rng,
) -> anyhow::Result<(Row, f64)> {
    values(large)?;
    let limits = Limits::default();
    let [ours, alone] = compare(
        rounds,
        rng,
        [
            &mut || {
                each(large, |text| {
                    if let Ok(schema) = parse(text.as_bytes(), &limits) {
                        drop(black_box(resolve(&schema, profile)));
                    }
                })
            },
            &mut || {
                each(large, |text| {
                    drop(black_box(serde_json::from_str::<Value>(text)));
                })
            },
        ],
    );
    let row = Row::new(what)
        .direct(format!("{} parsed by serde_json", rate(1e6 / alone)))
        .ours(format!("{} ({})", rate(1e6 / ours), time(ours)))
        .difference(format!("+{}", time(ours - alone)));
    Ok((row, 1e6 / ours))
}

/// The tools of one request through the server's own cache.
fn requests(rounds: usize) -> anyhow::Result<[Row; 2]> {
    let metrics = Metrics::new();
    let preparer = Preparer::new(&ToolsConfig::default(), &metrics)?;
    let mut fresh = 0;
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    for _ in 0..rounds {
        fresh += 1;
        // Schemas that nobody has sent before.
        let request = values(&samples::tools_of(TOOLS, fresh))?;
        cold.push(prepare_all(&preparer, &request));
        for _ in 0..200 {
            warm.push(prepare_all(&preparer, &request));
        }
    }
    let (cold, warm) = (median(cold), median(warm));
    let row = |what: &str, taken: f64, budget: f64| {
        Row::new(format!("{TOOLS} tools of a request, {what}"))
            .ours(time(taken))
            .budget(time(budget), taken <= budget)
    };
    Ok([row("cold", cold, COLD_US), row("warm", warm, WARM_US)])
}

fn prepare_all(preparer: &Preparer, schemas: &[Value]) -> f64 {
    let start = Instant::now();
    for (index, schema) in schemas.iter().enumerate() {
        let place = Place {
            at: Where::ResponsesTool {
                index,
                name: "tool",
            },
            item: None,
        };
        drop(black_box(preparer.function(Some(schema), None, place)));
    }
    start.elapsed().as_secs_f64() * 1e6
}

/// Arguments as they come from a model server.
fn checking(factory: &ParserFactory, rounds: usize, rng: &mut Rng) -> anyhow::Result<[Row; 2]> {
    let (schema, arguments) = samples::call();
    let automaton = Arc::new(Automaton::compile(&schema)?);
    let validator = Validator::new(&schema)?;
    let text = arguments.to_string();
    let mut largest = 0;
    let check = |largest: &mut usize| {
        let mut checker = ArgumentChecker::new(automaton.clone());
        for piece in text.as_bytes().chunks(PIECE) {
            if checker.push(piece).is_err() {
                return false;
            }
            *largest = (*largest).max(checker.state_bytes());
        }
        checker.is_complete()
    };
    anyhow::ensure!(check(&mut largest), "the sample call is not valid");
    let compiled = matcher(factory, &schema);
    let follow = || {
        let mut matcher = compiled.deep_clone();
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        matcher.consume_tokens(&tokens).is_ok() && matcher.is_accepting().unwrap_or(false)
    };
    anyhow::ensure!(follow(), "llguidance refuses the sample call");
    let repeat = 200;
    let [ours, peer, end] = compare(
        rounds,
        rng,
        [
            &mut || {
                repeated(repeat, || {
                    let mut checker = ArgumentChecker::new(automaton.clone());
                    for piece in text.as_bytes().chunks(PIECE) {
                        drop(black_box(checker.push(piece)));
                    }
                    black_box(checker.is_complete());
                })
            },
            &mut || repeated(5, || _ = black_box(follow())),
            &mut || {
                repeated(repeat, || {
                    if let Ok(value) = serde_json::from_str(&text) {
                        black_box(validator.is_valid(&value));
                    }
                })
            },
        ],
    );
    let per_byte = |us: f64| us * 1000.0 / text.len() as f64;
    let ns = |us: f64| format!("{:.1} ns", per_byte(us));
    Ok([
        Row::new(format!(
            "arguments checked as they come, per byte ({} B)",
            text.len()
        ))
        .direct(format!(
            "{} (serde_json and jsonschema, at the end)",
            ns(end)
        ))
        .peer(Cell::Text(format!("{} llguidance", ns(peer))))
        .ours(ns(ours))
        .difference(format!("{:.0}× faster than llguidance", peer / ours))
        .budget(format!("≤ {BYTE_NS:.0} ns"), per_byte(ours) <= BYTE_NS),
        Row::new("state of one call that is checked, at most")
            .ours(format!("{largest} B"))
            .budget(format!("≤ {STATE} B"), largest <= STATE),
    ])
}

/// Microseconds of each contender: medians over rounds in random order.
fn compare<const N: usize>(
    rounds: usize,
    rng: &mut Rng,
    contenders: [&mut dyn FnMut() -> f64; N],
) -> [f64; N] {
    let mut samples: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        for at in rng.order(N) {
            let took = contenders[at]();
            if round > 0 {
                samples[at].push(took);
            }
        }
    }
    samples.map(median)
}

/// Microseconds that `f` takes for each of them, on average.
fn each<T>(items: &[T], mut f: impl FnMut(&T)) -> f64 {
    let start = Instant::now();
    for item in items {
        f(item);
    }
    start.elapsed().as_secs_f64() * 1e6 / items.len() as f64
}

fn repeated(times: usize, mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        f();
    }
    start.elapsed().as_secs_f64() * 1e6 / times as f64
}

fn values(texts: &[String]) -> serde_json::Result<Vec<Value>> {
    texts
        .iter()
        .map(|text| serde_json::from_str(text))
        .collect()
}

fn mean(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum::<usize>() / texts.len().max(1)
}

/// llguidance over single bytes, without a tokenizer.
fn bytewise() -> anyhow::Result<ParserFactory> {
    let env = ApproximateTokEnv::single_byte_env();
    let mut factory = ParserFactory::new(&env, toktrie::InferenceCapabilities::default(), &[])?;
    factory.quiet();
    Ok(factory)
}

fn matcher(factory: &ParserFactory, schema: &Value) -> Matcher {
    Matcher::new(factory.create_parser(TopLevelGrammar::from_json_schema(schema.clone())))
}
