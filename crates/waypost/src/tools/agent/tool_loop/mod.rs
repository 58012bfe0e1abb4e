//! A response with tools that this server runs: lists, turns and calls, one
//! after the other.
//!
//! What is to be done stands in a queue; what is being done is a future that is
//! kept. So `next` can be dropped at any await and called again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use mcp_client::{CallError, Outcome, Session};
use serde_json::{Value, json};

use super::{Earlier, OpenItem, collector::TurnCollector};
use crate::{
    model::{Delta, Finish, Generation, Prefix, Usage},
    tools::{
        RunContext,
        mcp::{
            approval,
            calls::{self, Called, Listed},
            catalogue::Catalogue,
            is_server, items,
            policy::Policy,
        },
        turn::{Step, Turn},
    },
    upstream::error::UpstreamError,
};

mod calling;
mod plan;
mod turns;

use calling::Making;

/// Turns of one response. After them the model gets no tools of servers any
/// more, and has to come to an end.
const MAX_TURNS: usize = 128;
/// Keys of items that this run begins; those of an earlier attempt are below.
const FIRST_KEY: u64 = 1 << 32;

pub(super) struct ToolLoop {
    context: Arc<RunContext>,
    /// The request, without its items and tools.
    base: Generation,
    /// The client's own.
    tools: Vec<Value>,
    /// For the first turn.
    prefix: Option<Prefix>,
    policies: Vec<Policy>,
    catalogue: Catalogue,
    /// The context, with what this response has added to it.
    history: Vec<Value>,
    /// Connections, by server.
    sessions: HashMap<String, Session>,
    todo: VecDeque<Todo>,
    doing: Doing,
    /// Deltas of the turn that are not sorted yet.
    scratch: Vec<Delta>,
    collector: TurnCollector,
    turns: usize,
    /// The present turn has the tools of servers.
    offered: bool,
    /// Calls made, of the whole response.
    calls: u64,
    /// Of all turns of this run.
    usage: Usage,
    /// Tokens that earlier attempts wrote.
    spent_before: u64,
    finish: Finish,
    next_key: u64,
    failure: Option<UpstreamError>,
}

enum Todo {
    /// Asks the server of this policy what it has; with the key of an item
    /// that was announced before.
    List(usize, Option<(u64, Value)>),
    /// An item that a crash left open.
    Recover(OpenItem),
    /// A call that was allowed: announces it.
    Begin(approval::Approved),
    /// Makes a call whose intent is safe.
    Make(Making),
    /// Asks the model.
    Ask,
    End,
}

enum Doing {
    Nothing,
    Listing(usize, u64, Value, BoxFuture<'static, Listed>),
    Calling(Making, BoxFuture<'static, Called>),
    Asking(BoxFuture<'static, Result<Turn, UpstreamError>>),
    Reading(Box<Turn>),
}

impl ToolLoop {
    pub(super) fn new(
        context: &Arc<RunContext>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
        earlier: Earlier,
    ) -> Self {
        let tools: Vec<Value> = generation
            .tools
            .iter()
            .filter(|tool| !is_server(tool))
            .cloned()
            .collect();
        let names = tools
            .iter()
            .filter_map(|tool| tool["name"].as_str().map(str::to_owned));
        let waits = earlier
            .output
            .iter()
            .any(|item| items::is(item, "mcp_approval_request"));
        let calls = earlier
            .output
            .iter()
            .filter(|item| items::is(item, "mcp_call"))
            .count() as u64;
        let mut history = generation.items.clone();
        history.extend(earlier.output);
        let mut tool_loop = Self {
            context: Arc::clone(context),
            base: Generation {
                items: Vec::new(),
                tools: Vec::new(),
                ..generation.as_ref().clone()
            },
            prefix: prefix.cloned(),
            policies: generation.tools.iter().filter_map(Policy::of).collect(),
            catalogue: Catalogue::new(names),
            tools,
            history,
            sessions: HashMap::new(),
            todo: VecDeque::new(),
            doing: Doing::Nothing,
            scratch: Vec::new(),
            collector: TurnCollector::default(),
            // What the client forces was forced before the first call.
            turns: usize::from(calls > 0),
            offered: false,
            calls,
            usage: Usage::default(),
            spent_before: earlier.spent.output_tokens,
            finish: Finish::Stop,
            next_key: FIRST_KEY,
            failure: None,
        };
        tool_loop.plan(earlier.open, waits);
        tool_loop
    }

    /// Appends the next deltas to `out`. Cancel-safe.
    pub(super) async fn next(&mut self, out: &mut Vec<Delta>) -> Result<Step, UpstreamError> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            match &mut self.doing {
                Doing::Nothing if self.todo.is_empty() => return Ok(Step::Done),
                Doing::Nothing => {
                    if let Some(step) = self.begin(out) {
                        return Ok(step);
                    }
                }
                Doing::Listing(policy, key, item, listing) => {
                    let (session, listed) = listing.await;
                    let (policy, key, item) = (*policy, *key, item.take());
                    self.doing = Doing::Nothing;
                    self.listed(policy, key, item, session, listed, out);
                    return Ok(Step::More);
                }
                Doing::Calling(_, calling) => {
                    let (session, outcome) = calling.await;
                    if let Doing::Calling(making, _) =
                        std::mem::replace(&mut self.doing, Doing::Nothing)
                    {
                        self.called(making, session, outcome, out);
                    }
                    return Ok(Step::More);
                }
                Doing::Asking(asking) => {
                    let turn = asking.await;
                    self.doing = Doing::Nothing;
                    self.doing = Doing::Reading(Box::new(turn?));
                }
                Doing::Reading(turn) => {
                    let step = turn.next(&mut self.scratch).await;
                    self.sort(out);
                    match step? {
                        Step::Done => {
                            self.doing = Doing::Nothing;
                            if self.end_turn(out) {
                                return Ok(Step::Flush);
                            }
                            // The next turn may take its time.
                            return Ok(Step::More);
                        }
                        step if out.is_empty() && step == Step::More => {}
                        step => return Ok(step),
                    }
                }
            }
        }
    }

    /// Begins what is next; `None` to go on at once.
    fn begin(&mut self, out: &mut Vec<Delta>) -> Option<Step> {
        match self.todo.pop_front()? {
            Todo::List(at, announced) => {
                let label = self.policies[at].label.clone();
                let (key, item) = announced.unwrap_or_else(|| {
                    let (key, item) = (self.fresh_key(), items::list(&label));
                    out.push(Delta::ItemAdded {
                        key,
                        item: item.clone(),
                    });
                    out.push(items::event(key, "response.mcp_list_tools.in_progress"));
                    (key, item)
                });
                let access = self.context.access.get(&label).cloned();
                let servers = self.context.tools.mcp.clone();
                let listing = calls::list(servers, label, access).boxed();
                self.doing = Doing::Listing(at, key, item, listing);
                (!out.is_empty()).then_some(Step::More)
            }
            Todo::Recover(open) => self.recover(open, out),
            Todo::Begin(approved) => {
                let key = self.fresh_key();
                let id = Some(approved.request_id.as_str());
                let item = items::call(&approved.label, &approved.name, id);
                out.push(Delta::ItemAdded {
                    key,
                    item: item.clone(),
                });
                out.push(items::event(key, "response.mcp_call.in_progress"));
                if !approved.arguments.is_empty() {
                    out.push(items::arguments_delta(key, &approved.arguments));
                }
                out.push(items::arguments_done(key, &approved.arguments));
                let making = Making {
                    key,
                    item,
                    arguments: approved.arguments,
                };
                // What a client sends back as a request for approval may be
                // its own invention: it opens nothing that the request does
                // not allow.
                let listed = self.catalogue.by_tool(&approved.label, &approved.name);
                if listed.is_none() || self.calls_left() == 0 {
                    let message = if listed.is_none() {
                        "The tool is not among those that this request allows.".to_owned()
                    } else {
                        "'max_tool_calls' allows no further call.".to_owned()
                    };
                    // JSON-RPC: invalid params.
                    let code = -32602;
                    let refused = CallError::McpProtocolError { code, message };
                    self.called(making, None, Outcome::Failed(refused), out);
                    return Some(Step::More);
                }
                self.calls += 1;
                self.todo.push_front(Todo::Make(making));
                Some(Step::Flush)
            }
            Todo::Make(making) => {
                self.make(making);
                None
            }
            Todo::Ask => {
                self.ask();
                None
            }
            Todo::End => {
                out.push(Delta::Finish(self.finish));
                Some(Step::Done)
            }
        }
    }

    fn listed(
        &mut self,
        at: usize,
        key: u64,
        mut item: Value,
        session: Option<Session>,
        listed: Result<Vec<mcp_client::Tool>, String>,
        out: &mut Vec<Delta>,
    ) {
        let policy = &self.policies[at];
        let kind = match listed {
            Ok(mut tools) => {
                tools.retain(|tool| policy.allows(tool));
                item["tools"] = json!(tools);
                self.catalogue.add(policy, tools);
                "response.mcp_list_tools.completed"
            }
            Err(sentence) => {
                let message = format!(
                    "Error retrieving tool list from MCP server: '{}'. {sentence}",
                    policy.label
                );
                item["error"] = message.as_str().into();
                // Without its tools the answer would be another one.
                self.failure = Some(UpstreamError::Dependency { message });
                "response.mcp_list_tools.failed"
            }
        };
        if let Some(session) = session {
            self.sessions.insert(policy.label.clone(), session);
        }
        out.push(items::event(key, kind));
        out.push(Delta::ItemDone {
            key,
            item: item.clone(),
        });
        self.history.push(item);
    }

    /// Calls that `max_tool_calls` still allows.
    fn calls_left(&self) -> u64 {
        self.base
            .max_tool_calls
            .map_or(u64::MAX, |max| max.saturating_sub(self.calls))
    }

    fn fresh_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }
}
