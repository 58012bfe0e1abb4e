//! Turns against scripted model servers of every kind.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;

use super::*;
use crate::{
    app,
    config::{self, Buffer, Config, Dialect, StructuredOutput, ToolCalling, UpstreamApi},
    model::{CallKind, Finish},
    tools::mcp::McpAccess,
};

/// A model server of one kind, and an app that knows it.
struct Bench {
    server: ScriptedUpstream,
    upstream: config::Upstream,
    config: Config,
}

/// What came of a turn.
struct Outcome {
    /// In short: see [`shorten`].
    said: Vec<String>,
    result: Result<(), String>,
    /// What the server was asked, in order.
    asked: Vec<Value>,
    metrics: String,
}

async fn bench(dialect: Dialect) -> Bench {
    let server = ScriptedUpstream::start().await.expect("a model server");
    let mut upstream = config::Upstream::at("up".into(), server.base_url());
    upstream.dialect = Some(dialect);
    Bench {
        server,
        upstream,
        config: Config::default(),
    }
}

impl Bench {
    async fn run(mut self, script: &str, mut generation: Value) -> Outcome {
        generation["model"] = json!(format!("m?key=k&{script}"));
        if generation.get("items").is_none() {
            generation["items"] = json!([{"type": "message", "role": "user", "content": "go"}]);
        }
        let generation: Arc<Generation> =
            Arc::new(serde_json::from_value(generation).expect("a generation"));
        self.config.upstreams = vec![self.upstream];
        let (app, _dir) = app::tests::app_with(self.config).await;
        let upstream = app.upstreams.by_name("up").expect("the upstream");
        let mut deltas = Vec::new();
        let result = async {
            let context = Arc::new(RunContext {
                tools: Arc::clone(&app.responses.runs.tools),
                upstream,
                project_id: "proj_test".to_owned(),
                response_id: String::new(),
                approved: Vec::new(),
                access: McpAccess::default(),
            });
            let mut turn = Turn::open(&context, &generation, None).await?;
            loop {
                // Dropped and asked again: nothing may be lost.
                let step = match futures::future::poll_immediate(turn.next(&mut deltas)).await {
                    Some(step) => step?,
                    None => turn.next(&mut deltas).await?,
                };
                if step == Step::Done {
                    return Ok(());
                }
            }
        };
        let result: Result<(), UpstreamError> = result.await;
        Outcome {
            said: shorten(&deltas),
            result: result.map_err(|error| error.safe_sentence()),
            asked: self
                .server
                .requests_of("k")
                .iter()
                .map(waypost_testkit::upstream::RecordedRequest::json)
                .collect(),
            metrics: app.metrics.encode(),
        }
    }
}

impl Outcome {
    fn count(&self, outcome: &str) -> u64 {
        let line = format!("waypost_tool_outcomes_total{{upstream=\"up\",outcome=\"{outcome}\"}} ");
        let found = self.metrics.lines().find_map(|l| l.strip_prefix(&line));
        found.map_or(0, |n| n.parse().expect("a number"))
    }
}

/// Text and calls as they grow: `"text"`, `name(arguments)`, `ns.name[input]`.
fn shorten(deltas: &[Delta]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut calls: Vec<(u64, usize)> = Vec::new();
    let mut last_is_text = false;
    for delta in deltas {
        let is_text = matches!(delta, Delta::Text { .. });
        match delta {
            Delta::Text { text, .. } if last_is_text => {
                out.last_mut().expect("a text").push_str(text);
            }
            Delta::Text { text, .. } => out.push(text.clone()),
            Delta::ToolCall {
                key,
                kind,
                name,
                namespace,
                arguments,
                ..
            } => {
                let known = calls.iter().find(|(known, _)| known == key);
                let at = known.map_or_else(
                    || {
                        let space = namespace.as_ref().map(|n| format!("{n}."));
                        let name = name.as_deref().expect("the first piece names it");
                        let mark = if *kind == CallKind::Custom { '[' } else { '(' };
                        out.push(format!("{}{name}{mark}", space.unwrap_or_default()));
                        out.len() - 1
                    },
                    |(_, at)| *at,
                );
                if known.is_none() {
                    calls.push((*key, at));
                }
                out[at].push_str(arguments);
            }
            Delta::CallEnd { .. }
            | Delta::Usage(_)
            | Delta::Spent(_)
            | Delta::Finish(Finish::Stop) => {}
            other => out.push(format!("{other:?}")),
        }
        last_is_text = is_text;
    }
    out
}

fn weather(strict: bool) -> Value {
    json!({
        "type": "function", "name": "weather", "description": "Says the weather.", "strict": strict,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": false,
        },
    })
}

const GOOD: &str = r#"call=weather:{"city":"Paris","days":3}"#;
const BAD: &str = r#"call=weather:{"city":"Paris","days":"many","and":"more+and+more+and+more"}"#;

fn tools(tools: Value) -> Value {
    json!({ "tools": tools })
}

#[tokio::test]
async fn a_call_that_is_not_valid_is_asked_for_again() {
    let script = format!("say=I+look.&{BAD}&cut_bytes=2&then&say=Sorry&{GOOD}");
    let got = bench(Dialect::Generic)
        .await
        .run(&script, tools(json!([weather(true)])))
        .await;
    assert_eq!(got.result, Ok(()));
    assert_eq!(
        got.said,
        ["I look.", r#"weather({"city":"Paris","days":3}"#],
        "the apology is dropped"
    );
    assert_eq!((got.count("reasked"), got.count("valid")), (1, 1));
    let messages = got.asked[1]["messages"].as_array().expect("messages");
    assert_eq!(
        got.asked[0]["messages"].as_array().expect("messages")[..],
        messages[..1]
    );
    assert_eq!(messages[1]["role"], "assistant");
    let correction = messages[2]["content"].as_str().expect("words");
    assert!(
        correction.contains("weather") && correction.contains("/days"),
        "{correction}"
    );
    assert_eq!(
        got.asked[0].get("temperature"),
        got.asked[1].get("temperature")
    );
}

#[tokio::test]
async fn what_stays_wrong_fails_a_strict_tool_and_passes_for_any_other() {
    let strict = bench(Dialect::Generic)
        .await
        .run(BAD, tools(json!([weather(true)])))
        .await;
    let sentence = strict.result.expect_err("it fails");
    assert!(
        sentence.contains("'weather'") && sentence.contains("/days"),
        "{sentence}"
    );
    assert_eq!(strict.said, [""; 0]);
    assert_eq!(strict.asked.len(), 2);
    let loose = bench(Dialect::Generic)
        .await
        .run(BAD, tools(json!([weather(false)])))
        .await;
    assert_eq!(loose.result, Ok(()));
    assert!(loose.said[0].contains(r#""many""#), "{:?}", loose.said);
    assert_eq!(loose.count("passed_raw"), 1);
}

#[tokio::test]
async fn a_constrained_server_streams_and_what_it_breaks_fails() {
    let good = bench(Dialect::Vllm)
        .await
        .run(
            &format!("{GOOD}&cut_bytes=3"),
            tools(json!([weather(true)])),
        )
        .await;
    assert_eq!(good.said, [r#"weather({"city":"Paris","days":3}"#]);
    assert_eq!(good.asked[0]["tools"][0]["function"]["strict"], true);
    let bad = bench(Dialect::Vllm)
        .await
        .run(&format!("{BAD}&cut_bytes=3"), tools(json!([weather(true)])))
        .await;
    assert!(bad.result.is_err());
    assert_eq!(
        bad.asked.len(),
        1,
        "what was delivered cannot be taken back"
    );
    assert!(!bad.said[0].contains("many"), "{:?}", bad.said);
}

#[tokio::test]
async fn without_buffering_arguments_stream_from_any_server() {
    let mut bench = bench(Dialect::Generic).await;
    bench.config.tools.buffer = Buffer::None;
    let got = bench
        .run(&format!("{BAD}&cut_bytes=3"), tools(json!([weather(true)])))
        .await;
    assert!(got.result.is_err());
    assert_eq!(got.said.len(), 1);
}

#[tokio::test]
async fn what_was_not_offered_is_not_called() {
    let mut generation = tools(json!([weather(true), {"type": "function", "name": "other",
        "parameters": null, "strict": true}]));
    generation["tool_choice"] = json!({"type": "allowed_tools", "mode": "auto",
        "tools": [{"type": "function", "name": "weather"}]});
    let got = bench(Dialect::Generic)
        .await
        .run(&format!("call=other:{{}}&then&{GOOD}"), generation.clone())
        .await;
    assert_eq!(got.said, [r#"weather({"city":"Paris","days":3}"#]);
    let sent = got.asked[0]["tools"].as_array().expect("tools");
    assert_eq!(sent.len(), 1, "the others are not sent");
    let unknown = bench(Dialect::Generic)
        .await
        .run("call=nothing:{}", generation.clone())
        .await;
    assert!(unknown.result.expect_err("it fails").contains("'nothing'"));
    generation["tool_choice"] = json!("none");
    let none = bench(Dialect::Generic)
        .await
        .run(&format!("{GOOD}&then&say=Words."), generation)
        .await;
    assert_eq!(none.said, ["Words."]);
}

#[tokio::test]
async fn a_call_that_has_to_be_is_asked_for_until_it_is_there() {
    let mut generation = tools(json!([weather(true)]));
    generation["tool_choice"] = json!("required");
    let got = bench(Dialect::Ollama)
        .await
        .run(&format!("say=No+need.&then&{GOOD}"), generation.clone())
        .await;
    assert_eq!(got.said, [r#"weather({"city":"Paris","days":3}"#]);
    assert_eq!(got.asked.len(), 2);
    let before = bench(Dialect::Ollama)
        .await
        .run(&format!("say=I+look.&{GOOD}"), generation.clone())
        .await;
    assert_eq!(
        before.said,
        ["I look.", r#"weather({"city":"Paris","days":3}"#]
    );
    let never = bench(Dialect::Ollama)
        .await
        .run("say=No.", generation)
        .await;
    assert!(never.result.expect_err("it fails").contains("tool_choice"));
}

#[tokio::test]
async fn only_the_first_call_counts_where_one_is_allowed() {
    let mut generation = tools(json!([weather(true)]));
    generation["parallel_tool_calls"] = json!(false);
    for dialect in [Dialect::Generic, Dialect::Vllm] {
        let got = bench(dialect)
            .await
            .run(&format!("{GOOD}&call=weather:{{}}"), generation.clone())
            .await;
        assert_eq!(got.result, Ok(()));
        assert_eq!(got.said, [r#"weather({"city":"Paris","days":3}"#]);
        assert_eq!(got.count("cut"), 1);
    }
}

#[tokio::test]
async fn accepted_calls_stay_and_the_model_is_told() {
    let script =
        format!(r#"{GOOD}&call=weather:{{"city":1}}&then&call=weather:{{"city":"Rome","days":1}}"#);
    let got = bench(Dialect::Generic)
        .await
        .run(&script, tools(json!([weather(true)])))
        .await;
    assert_eq!(
        got.said,
        [
            r#"weather({"city":"Paris","days":3}"#,
            r#"weather({"city":"Rome","days":1}"#
        ]
    );
    let messages = got.asked[1]["messages"].as_array().expect("messages");
    let correction = messages.last().expect("a message")["content"]
        .as_str()
        .expect("words");
    assert!(correction.contains("Paris"), "{correction}");
}

/// The client has the first call: to give it a second one is to have it made twice.
#[tokio::test]
async fn accepted_calls_that_the_model_repeats_are_not_made_again() {
    let fixed = r#"call=weather:{"city":"Rome","days":1}"#;
    let again = r#"call=weather:{"days":3, "city":"Paris"}"#;
    let script = format!(r#"{GOOD}&call=weather:{{"city":1}}&then&{GOOD}&{fixed}"#);
    let got = bench(Dialect::Generic)
        .await
        .run(&script, tools(json!([weather(true)])))
        .await;
    let once = [
        r#"weather({"city":"Paris","days":3}"#,
        r#"weather({"city":"Rome","days":1}"#,
    ];
    assert_eq!(got.said, once);
    assert_eq!((got.count("reasked"), got.count("cut")), (1, 1));
    // Without a correction the model may mean it.
    let got = bench(Dialect::Generic)
        .await
        .run(&format!("{GOOD}&{GOOD}"), tools(json!([weather(false)])))
        .await;
    assert_eq!(got.said.len(), 2);
    let got = bench(Dialect::Generic)
        .await
        .run(
            &format!(r#"{GOOD}&call=weather:{{"city":1}}&then&{again}&{fixed}"#),
            tools(json!([weather(false)])),
        )
        .await;
    assert_eq!(
        got.said.len(),
        2,
        "the order of keys means nothing: {:?}",
        got.said
    );
}

#[tokio::test]
async fn namespaces_are_flattened_for_servers_that_know_none() {
    let generation = json!({
        "tools": [{"type": "namespace", "name": "crm", "description": "", "tools": [weather(true)]}],
        "tool_choice": {"type": "function", "name": "weather", "namespace": "crm"},
        "items": [
            {"type": "function_call", "call_id": "a", "name": "weather", "namespace": "crm", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
        ],
    });
    let script = format!("tool_rounds=2&{}", GOOD.replace("weather", "crm__weather"));
    let got = bench(Dialect::Generic)
        .await
        .run(&script, generation.clone())
        .await;
    assert_eq!(got.said, [r#"crm.weather({"city":"Paris","days":3}"#]);
    let asked = &got.asked[0];
    assert_eq!(asked["tools"][0]["function"]["name"], "crm__weather");
    assert_eq!(asked["tool_choice"]["function"]["name"], "crm__weather");
    assert_eq!(
        asked["messages"][0]["tool_calls"][0]["function"]["name"],
        "crm__weather"
    );
    // OpenAI's Responses API takes them as they are.
    let mut native = bench(Dialect::OpenAi).await;
    native.upstream.api = UpstreamApi::Responses;
    let got = native
        .run(
            &format!("tool_rounds=2&{}", GOOD.replace("weather", "crm/weather")),
            generation.clone(),
        )
        .await;
    assert_eq!(got.said, [r#"crm.weather({"city":"Paris","days":3}"#]);
    assert_eq!(got.asked[0]["tools"], generation["tools"]);
    assert_eq!(got.asked[0]["tool_choice"], generation["tool_choice"]);
}

#[tokio::test]
async fn custom_tools_work_everywhere() {
    let date = json!({"type": "custom", "name": "date", "description": "Takes a date.",
        "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]{4}-[0-9]{2}"}});
    let free =
        json!({"type": "custom", "name": "run", "description": null, "format": {"type": "text"}});
    let both = || tools(json!([date.clone(), free.clone()]));
    let got = bench(Dialect::Generic)
        .await
        .run(
            r#"call=date:{"input":"2026/11"}&cut_bytes=1&then&call=date:{"input":"2026-11"}"#,
            both(),
        )
        .await;
    assert_eq!(got.said, ["date[2026-11"]);
    let parameters = &got.asked[0]["tools"][0]["function"]["parameters"];
    assert_eq!(parameters["required"], json!(["input"]));
    // vLLM constrains the wrapping object: free text streams, unescaped.
    let got = bench(Dialect::Vllm)
        .await
        .run(r#"call=run:{"input":"a\n\u00e9"}&cut_bytes=2"#, both())
        .await;
    assert_eq!(got.said, ["run[a\né"]);
    let raw = bench(Dialect::Generic)
        .await
        .run("call=run:print(1)", both())
        .await;
    assert_eq!(raw.said, ["run[print(1)"]);
    assert_eq!(raw.count("repaired"), 1);
    // OpenAI knows them.
    let got = bench(Dialect::OpenAi)
        .await
        .run("custom=run:a+b&cut_bytes=1", both())
        .await;
    assert_eq!(got.said, ["run[a b"]);
    assert_eq!(got.asked[0]["tools"][1]["type"], "custom");
}

#[tokio::test]
async fn a_strict_format_is_held_to_its_schema() {
    let generation = |schema: Value| json!({"text": {"format": {"type": "json_schema", "name": "n", "strict": true, "schema": schema}}});
    let schema = weather(true)["parameters"].clone();
    let good = r#"say={"city":"Paris","days":3}&cut_bytes=2"#;
    let got = bench(Dialect::Generic)
        .await
        .run(
            &format!(r#"say={{"city":1}}&then&{good}"#),
            generation(schema.clone()),
        )
        .await;
    assert_eq!(got.said, [r#"{"city":"Paris","days":3}"#]);
    assert_eq!(got.asked.len(), 2);
    let failed = bench(Dialect::Generic)
        .await
        .run("say=Sure!", generation(schema.clone()))
        .await;
    assert!(failed.result.expect_err("it fails").contains("'n'"));
    let streamed = bench(Dialect::Vllm)
        .await
        .run(good, generation(schema.clone()))
        .await;
    assert_eq!(streamed.said, [r#"{"city":"Paris","days":3}"#]);
    // Where the server knows no structured output, the prompt says it.
    let mut none = bench(Dialect::Generic).await;
    none.upstream.structured_output = Some(StructuredOutput::None);
    let told = none.run(good, generation(schema)).await;
    assert!(told.asked[0].get("response_format").is_none());
    let system = told.asked[0]["messages"][0]["content"]
        .as_str()
        .expect("words");
    assert!(system.contains("JSON Schema"), "{system}");
}

#[tokio::test]
async fn tools_are_emulated_for_models_that_know_none() {
    let emulated = async || {
        let mut bench = bench(Dialect::LlamaCpp).await;
        bench.upstream.tools = Some(ToolCalling::Emulated);
        bench
    };
    let say = |reply: Value| format!("say={reply}&cut_bytes=3");
    let call = json!({"name": "weather", "arguments": {"city": "Paris", "days": 3}});
    let got = emulated()
        .await
        .run(&say(call), tools(json!([weather(true)])))
        .await;
    assert_eq!(got.said, [r#"weather({"city":"Paris","days":3}"#]);
    let asked = &got.asked[0];
    assert!(asked.get("tools").is_none());
    let schema = &asked["response_format"]["json_schema"]["schema"];
    assert_eq!(schema["anyOf"][0]["required"], json!(["answer"]));
    assert_eq!(
        schema["anyOf"][1]["properties"]["arguments"],
        weather(true)["parameters"]
    );
    let system = asked["messages"][0]["content"].as_str().expect("words");
    assert!(system.contains("weather: Says the weather."), "{system}");
    let words = emulated()
        .await
        .run(
            &say(json!({"answer": "a\n\"b\""})),
            tools(json!([weather(true)])),
        )
        .await;
    assert_eq!(words.said, ["a\n\"b\""]);
    let mut forced = tools(json!([weather(true)]));
    forced["tool_choice"] = json!("required");
    forced["parallel_tool_calls"] = json!(true);
    let several = json!({"calls": [
        {"name": "weather", "arguments": {"city": "A", "days": 1}},
        {"name": "weather", "arguments": {"city": "B", "days": 2}},
    ]});
    let got = emulated().await.run(&say(several), forced).await;
    assert_eq!(
        got.said,
        [
            r#"weather({"city":"A","days":1}"#,
            r#"weather({"city":"B","days":2}"#
        ]
    );
    let schema = &got.asked[0]["response_format"]["json_schema"]["schema"];
    assert_eq!(
        schema["required"],
        json!(["calls"]),
        "no other reply is allowed"
    );
}

#[tokio::test]
async fn what_the_engine_does_not_enforce_is_enforced_the_second_time() {
    let mut bench = bench(Dialect::LlamaCpp).await;
    bench.upstream.tools = Some(ToolCalling::Emulated);
    let level = json!({"type": "object", "additionalProperties": false, "required": ["level"],
        "properties": {"level": {"type": "number", "minimum": 0, "maximum": 1}}});
    let empty = json!({"type": "object", "additionalProperties": false, "required": [],
        "properties": {}});
    let generation = tools(json!([
        {"type": "function", "name": "set", "strict": true, "parameters": level},
        {"type": "function", "name": "stop", "strict": true, "parameters": empty},
    ]));
    let call = |level: f64| json!({"name": "set", "arguments": {"level": level}});
    let script = format!("say={}&then&say={}", call(7.0), call(0.5));
    let got = bench.run(&script, generation).await;
    assert_eq!(got.result, Ok(()));
    assert_eq!(got.said, [r#"set({"level":0.5}"#], "held until it is valid");
    assert_eq!(got.count("reasked"), 1);
    let arguments = |asked: usize, branch: usize| {
        let schema = &got.asked[asked]["response_format"]["json_schema"]["schema"];
        schema["anyOf"][branch]["properties"]["arguments"].clone()
    };
    assert_eq!(
        arguments(0, 1)["properties"]["level"],
        json!({"type": "number"})
    );
    let grid = &arguments(1, 1)["properties"]["level"]["enum"];
    assert_eq!(
        (&grid[0], &grid[50], &grid[100]),
        (&json!(0), &json!(0.5), &json!(1))
    );
    assert_eq!(arguments(0, 2), json!({"enum": [{}]}));
}

#[tokio::test]
async fn emulated_replies_without_constraint_are_corrected() {
    let mut bench = bench(Dialect::Generic).await;
    bench.upstream.tools = Some(ToolCalling::Emulated);
    bench.upstream.structured_output = Some(StructuredOutput::None);
    let good = json!({"name": "weather", "arguments": {"city": "P", "days": 3}});
    let script = format!(
        r#"say=<think>hm</think>{{"name": "weather", "arguments": {{"town": 1}}}}&then&say={good}"#
    );
    let got = bench.run(&script, tools(json!([weather(true)]))).await;
    assert_eq!(
        got.said,
        [r#"Reasoning("hm")"#, r#"weather({"city":"P","days":3}"#]
    );
    assert!(got.asked[0].get("response_format").is_none());
    let messages = got.asked[1]["messages"].as_array().expect("messages");
    let shown = messages[2]["content"].as_str().expect("words");
    assert!(shown.contains("town"), "{shown}");
}

#[tokio::test]
async fn a_good_beginning_is_kept_where_the_server_can_go_on() {
    let mut bench = bench(Dialect::Vllm).await;
    bench.upstream.tools = Some(ToolCalling::Emulated);
    bench.upstream.structured_output = Some(StructuredOutput::None);
    let script =
        r#"say={"name":+"weather",+"arguments":+{"city":+"Paris",+"when":+1}}&then&say=days":+3}}"#;
    let got = bench.run(script, tools(json!([weather(true)]))).await;
    assert_eq!(got.said, [r#"weather({"city": "Paris", "days": 3}"#]);
    let again = &got.asked[1];
    let messages = again["messages"].as_array().expect("messages");
    assert_eq!(
        messages.last().expect("a message")["content"],
        r#"{"name": "weather", "arguments": {"city": "Paris", ""#
    );
    assert_eq!(again["continue_final_message"], true);
}

#[tokio::test]
async fn a_search_for_tools_is_an_item_for_the_client() {
    let search = json!({"type": "tool_search", "execution": "client", "description": "Finds.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}});
    let later = json!({"type": "function", "name": "later", "defer_loading": true, "strict": false,
        "parameters": {"type": "object", "properties": {}}});
    let got = bench(Dialect::Generic)
        .await
        .run(
            r#"call=tool_search:{"q":"x"}"#,
            tools(json!([search, later])),
        )
        .await;
    assert_eq!(got.asked[0]["tools"].as_array().expect("tools").len(), 1);
    assert_eq!(got.said.len(), 2);
    assert!(
        got.said[1].contains(r#""q": String("x")"#),
        "{:?}",
        got.said
    );
    assert!(got.said[1].contains("tool_search_call"), "{:?}", got.said);
}

#[tokio::test]
async fn without_tools_nothing_changes() {
    let got = bench(Dialect::Generic)
        .await
        .run("say=Hi.", json!({}))
        .await;
    assert_eq!(got.said, ["Hi."]);
    assert!(got.asked[0].get("tools").is_none());
}

#[tokio::test]
async fn without_tools_there_is_nothing_to_call() {
    // Nothing was said yet: the model may think again.
    let got = bench(Dialect::Generic)
        .await
        .run("call=f:{}&then&say=Hi.", json!({}))
        .await;
    assert_eq!(got.result, Ok(()));
    assert_eq!(got.said, ["Hi."]);
    assert!(got.asked[1].to_string().contains("There is no such tool"));
    assert_eq!(got.count("reasked"), 1);

    let got = bench(Dialect::Generic)
        .await
        .run("call=f:{}", json!({}))
        .await;
    let error = "The model called 'f'. There is no such tool.";
    assert_eq!(got.result, Err(error.to_owned()));
    assert!(got.said.is_empty(), "{:?}", got.said);
    assert_eq!(got.asked.len(), 2);

    // What was said cannot be taken back.
    let got = bench(Dialect::Generic)
        .await
        .run("say=Well.&call=f:{}&then&say=Hi.", json!({}))
        .await;
    assert_eq!(got.result, Err(error.to_owned()));
    assert_eq!(got.said, ["Well."]);
    assert_eq!(got.asked.len(), 1);
}

#[tokio::test]
async fn a_search_for_tools_is_answered_here_where_the_client_does_not() {
    let generation = tools(json!([
        {"type": "tool_search", "execution": "server", "description": null, "parameters": null},
        {"type": "function", "name": "mail", "description": "Sends mail.", "strict": false,
            "defer_loading": true, "parameters": {"type": "object", "properties": {}}},
        {"type": "namespace", "name": "sky", "description": "Forecasts.", "tools": [{
            "type": "function", "name": "weather", "description": "Says the weather.",
            "strict": true, "defer_loading": true, "parameters": weather(true)["parameters"]}]},
    ]));
    let script = format!(
        r#"call=tool_search:{{"query":"the+weather"}}&then&{}"#,
        GOOD.replace("weather", "sky__weather")
    );
    let got = bench(Dialect::Generic).await.run(&script, generation).await;
    assert_eq!(got.result, Ok(()));
    assert_eq!(
        got.said.last().map(String::as_str),
        Some(r#"sky.weather({"city":"Paris","days":3}"#)
    );
    let items: Vec<&String> = got
        .said
        .iter()
        .filter(|s| s.starts_with("ItemDone"))
        .collect();
    assert_eq!(items.len(), 2);
    assert!(items[0].contains("tool_search_call") && items[0].contains("sky.weather"));
    assert!(items[1].contains("tool_search_output"));
    let names = |request: &Value| -> Vec<String> {
        let tools = request["tools"].as_array().expect("tools");
        let name = |tool: &Value| {
            tool["function"]["name"]
                .as_str()
                .expect("a name")
                .to_owned()
        };
        tools.iter().map(name).collect()
    };
    assert_eq!(names(&got.asked[0]), ["tool_search"]);
    assert_eq!(names(&got.asked[1]), ["tool_search", "sky__weather"]);
    let messages = got.asked[1]["messages"].as_array().expect("messages");
    assert_eq!(messages.last().expect("a message")["role"], "tool");
    // A model that only searches comes to an end.
    let endless = bench(Dialect::Generic)
        .await
        .run(
            r#"tool_rounds=100&call=tool_search:{"query":"x"}"#,
            tools(json!([{"type": "tool_search", "execution": "server"}])),
        )
        .await;
    let sentence = endless.result.expect_err("it fails");
    assert!(sentence.contains("'tool_search'"), "{sentence}");
    assert!(endless.asked.len() < 16, "{}", endless.asked.len());
}
