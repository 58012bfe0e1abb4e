//! The search for tools that a model was not told of, answered by this server:
//! Okapi BM25 over names and descriptions.
//!
//! Flow: a model calls the search ([`Delta::ToolSearch`]), [`find`] ranks the
//! deferred tools, [`items`] are what the response shows of it. The output item
//! in the context makes the tools callable when the model is asked again, which
//! [`super::turn`] does.
//!
//! [`Delta::ToolSearch`]: crate::model::Delta::ToolSearch

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use waypost_engine::id;

use crate::model::Generation;

/// Tools that one search brings at most.
pub const MAX_FOUND: usize = 8;
/// Searches that are answered in one turn. After them the model has to do with
/// what it has.
pub const MAX_SEARCHES: usize = 8;
/// Longest query that is read, in bytes.
const MAX_QUERY: usize = 4096;
/// Words of one description that count.
const MAX_WORDS: usize = 512;
/// BM25's usual constants: how fast repetition stops to count, and how much
/// length does.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// A word in a tool's name says more than one in its description.
const NAME_WEIGHT: f64 = 3.0;

/// Words that say nothing of a tool.
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "by", "for", "in", "is", "it", "of", "on", "or", "the", "to", "with",
];

/// A deferred tool.
struct Deferred<'g> {
    namespace: Option<&'g Value>,
    tool: &'g Value,
    words: Vec<(String, f64)>,
}

/// The parameters of the search where the client gives none.
pub fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {"query": {
            "type": "string",
            "description": "What the tool is to do, in a few words.",
        }},
        "required": ["query"],
        "additionalProperties": false,
    })
}

/// Whether an item is what a search of a server brought.
pub fn is_found(item: &Value) -> bool {
    item["type"] == "tool_search_output" && item["execution"] == "server"
}

/// The generation after a search: with its items in the context. With `last`,
/// there is no further one.
pub fn after(generation: &Generation, found: &[Value], last: bool) -> Generation {
    let mut next = generation.clone();
    next.items.extend_from_slice(found);
    if last {
        next.tools.retain(|tool| tool["type"] != "tool_search");
    }
    next
}

/// The deferred tools that fit best, as `tools` of a `tool_search_output` item:
/// those of a namespace inside it. Empty where none shares a word with the
/// query.
pub fn find(generation: &Generation, arguments: &Value) -> Vec<Value> {
    let query = words(&text_of(arguments));
    let deferred = deferred(&generation.tools);
    let documents = deferred.len() as f64;
    let average = deferred.iter().map(|d| length(&d.words)).sum::<f64>() / documents.max(1.0);
    let mut holding: HashMap<&str, f64> = HashMap::new();
    for tool in &deferred {
        for (word, _) in &tool.words {
            *holding.entry(word).or_default() += 1.0;
        }
    }
    let score = |tool: &Deferred<'_>| -> f64 {
        let norm = K1 * (1.0 - B + B * length(&tool.words) / average.max(1.0));
        let of_word = |word: &String| {
            let (_, often) = tool.words.iter().find(|(known, _)| known == word)?;
            let having = holding.get(word.as_str())?;
            let rarity = (1.0 + (documents - having + 0.5) / (having + 0.5)).ln();
            Some(rarity * often * (K1 + 1.0) / (often + norm))
        };
        query.iter().filter_map(of_word).sum()
    };
    let mut ranked: Vec<(f64, &Deferred<'_>)> = deferred
        .iter()
        .map(|tool| (score(tool), tool))
        .filter(|(score, _)| *score > 0.0)
        .collect();
    // The sort is stable: equals stay in the request's order.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut out: Vec<Value> = Vec::new();
    for (_, found) in ranked.into_iter().take(MAX_FOUND) {
        let Some(namespace) = found.namespace else {
            out.push(found.tool.clone());
            continue;
        };
        let name = &namespace["name"];
        let place = out
            .iter()
            .position(|tool| tool["type"] == "namespace" && tool["name"] == *name);
        let at = place.unwrap_or_else(|| {
            out.push(json!({
                "type": "namespace",
                "name": name,
                "description": namespace["description"],
                "tools": [],
            }));
            out.len() - 1
        });
        if let Some(tools) = out[at]["tools"].as_array_mut() {
            tools.push(found.tool.clone());
        }
    }
    out
}

/// An item of a search as it is announced: without what it brings.
pub fn opening(item: &Value) -> Value {
    let mut item = item.clone();
    item["status"] = json!("in_progress");
    for (name, empty) in [("arguments", json!({})), ("tools", json!([]))] {
        if let Some(value) = item.get_mut(name) {
            *value = empty;
        }
    }
    item
}

/// The two items of a search that this server answered: the call and what it
/// brought.
pub fn items(arguments: &Value, tools: &[Value]) -> [Value; 2] {
    let paths: Vec<Value> = tools
        .iter()
        .flat_map(|tool| {
            let name = tool["name"].as_str().unwrap_or_default();
            match tool["tools"].as_array() {
                Some(inner) => inner
                    .iter()
                    .map(|tool| json!(format!("{name}.{}", tool["name"].as_str().unwrap_or(""))))
                    .collect(),
                None => vec![json!(name)],
            }
        })
        .collect();
    let mut said = arguments.as_object().cloned().unwrap_or_else(Map::new);
    said.insert("paths".into(), Value::Array(paths));
    [
        json!({
            "id": id::fresh("tsc_"),
            "type": "tool_search_call",
            "status": "completed",
            "execution": "server",
            "call_id": null,
            "arguments": said,
        }),
        json!({
            "id": id::fresh("tso_"),
            "type": "tool_search_output",
            "status": "completed",
            "execution": "server",
            "call_id": null,
            "tools": tools,
        }),
    ]
}

/// The tools that wait to be found.
fn deferred(tools: &[Value]) -> Vec<Deferred<'_>> {
    let mut out = Vec::new();
    for tool in tools {
        let is_namespace = tool["type"] == "namespace";
        let inner = tool["tools"].as_array().map(Vec::as_slice);
        let candidates = inner
            .filter(|_| is_namespace)
            .unwrap_or(std::slice::from_ref(tool));
        for candidate in candidates {
            if candidate["defer_loading"] == true {
                let namespace = is_namespace.then_some(tool);
                out.push(Deferred {
                    namespace,
                    tool: candidate,
                    words: weighed(namespace, candidate),
                });
            }
        }
    }
    out
}

/// The words of a tool, each with how often it counts.
fn weighed(namespace: Option<&Value>, tool: &Value) -> Vec<(String, f64)> {
    let mut out: Vec<(String, f64)> = Vec::new();
    let mut add = |text: &Value, weight: f64| {
        for word in words(text.as_str().unwrap_or_default()) {
            match out.iter_mut().find(|(known, _)| *known == word) {
                Some((_, often)) => *often += weight,
                None => out.push((word, weight)),
            }
        }
    };
    add(&tool["name"], NAME_WEIGHT);
    add(&tool["description"], 1.0);
    if let Some(namespace) = namespace {
        add(&namespace["name"], 1.0);
        add(&namespace["description"], 0.5);
    }
    out
}

fn length(words: &[(String, f64)]) -> f64 {
    words.iter().map(|(_, often)| often).sum()
}

/// All strings in the arguments: clients may have parameters of their own.
fn text_of(arguments: &Value) -> String {
    let mut out = String::new();
    let mut todo = vec![arguments];
    while let Some(value) = todo.pop() {
        match value {
            Value::String(text) if out.len() < MAX_QUERY => {
                let end = text.floor_char_boundary(MAX_QUERY);
                out.push_str(&text[..end]);
                out.push(' ');
            }
            Value::Array(values) => todo.extend(values),
            Value::Object(fields) => todo.extend(fields.values()),
            _ => {}
        }
    }
    out
}

/// Lower-case words, `camelCase` and `snake_case` taken apart, a plural's `s`
/// taken off.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut before_is_lower = false;
    for c in text.chars().chain([' ']) {
        let ends = !c.is_alphanumeric() || c.is_uppercase() && before_is_lower;
        if ends && !word.is_empty() {
            let mut done = std::mem::take(&mut word);
            if done.len() > 3 && done.ends_with('s') && !done.ends_with("ss") {
                done.pop();
            }
            if !STOP_WORDS.contains(&done.as_str()) {
                out.push(done);
            }
            if out.len() == MAX_WORDS {
                break;
            }
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before_is_lower = c.is_lowercase();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::callable::{Callable, callables};

    fn generation() -> Generation {
        let function = |name: &str, description: &str| {
            json!({"type": "function", "name": name, "description": description,
                "defer_loading": true, "parameters": {}})
        };
        serde_json::from_value(json!({"model": "m", "items": [], "tools": [
            {"type": "tool_search", "execution": "server"},
            {"type": "function", "name": "always", "description": "Sends invoices."},
            function("sendInvoice", "Sends an invoice to a customer."),
            function("weather", "Says the weather in a city."),
            {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [
                function("find_customer", "Looks a customer up by name."),
                function("delete_customer", "Removes one."),
                {"type": "function", "name": "loaded", "description": "Customer customer."},
            ]},
        ]}))
        .unwrap()
    }

    fn names(query: &str) -> Vec<String> {
        let found = find(&generation(), &json!({"query": query}));
        found
            .iter()
            .map(|tool| match tool["tools"].as_array() {
                Some(inner) => format!(
                    "{}:{}",
                    tool["name"].as_str().unwrap(),
                    inner
                        .iter()
                        .map(|tool| tool["name"].as_str().unwrap())
                        .collect::<Vec<_>>()
                        .join(",")
                ),
                None => tool["name"].as_str().unwrap().to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_best_deferred_tools_are_found_and_no_others() {
        assert_eq!(names("send invoices"), ["sendInvoice"]);
        assert_eq!(names("What's the WEATHER like?"), ["weather"]);
        assert_eq!(
            names("find a customer"),
            ["crm:find_customer,delete_customer", "sendInvoice"]
        );
        assert!(names("quantum").is_empty());
        assert!(names("").is_empty());
        assert!(find(&generation(), &Value::Null).is_empty());
    }

    #[test]
    fn the_items_say_what_was_found() {
        let tools = find(&generation(), &json!({"query": "customer"}));
        let [call, output] = items(&json!({"query": "customer"}), &tools);
        assert_eq!(call["execution"], "server");
        let paths = call["arguments"]["paths"].as_array().unwrap();
        assert!(paths.contains(&json!("crm.find_customer")), "{paths:?}");
        assert_eq!(output["tools"], json!(tools));
        let mut next = generation();
        next.items = vec![call, output];
        let callables = callables(&next);
        let labels: Vec<_> = callables.iter().map(Callable::label).collect();
        assert!(
            labels.contains(&"crm.find_customer".to_owned()),
            "{labels:?}"
        );
    }

    #[test]
    fn words_are_taken_apart() {
        assert_eq!(
            words("getUserProfiles by_id HTTP class"),
            ["get", "user", "profile", "id", "http", "class"]
        );
    }
}
