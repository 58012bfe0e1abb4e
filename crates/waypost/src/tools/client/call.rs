//! A function's call as the item that clients know, with its events.

use serde_json::{Map, Value, json};
use waypost_engine::id;

use crate::model::{ClientTool, Delta};

impl ClientTool {
    /// The item of a call with these arguments, as it is announced, as it grows
    /// and as it is done. Nothing for arguments that were cut off: no item has
    /// a form for half a call.
    pub fn call(self, key: u64, call_id: &str, arguments: &str) -> Vec<Delta> {
        let arguments = serde_json::from_str(arguments).unwrap_or(Value::Null);
        let Some((field, value)) = self.called(&arguments) else {
            return Vec::new();
        };
        let mut item = json!({
            "id": id::fresh(self.call_prefix()),
            "type": self.call_type(),
            "status": "completed",
            "call_id": call_id,
            field: value,
        });
        match self {
            Self::Shell => item["environment"] = json!({"type": "local"}),
            Self::Computer => item["pending_safety_checks"] = json!([]),
            Self::LocalShell | Self::ApplyPatch => {}
        }
        let mut opening = item.clone();
        opening["status"] = json!("in_progress");
        let mut deltas = Vec::new();
        match self {
            Self::Shell => {
                opening["action"]["commands"] = json!([]);
                commands(key, &item["action"]["commands"], &mut deltas);
            }
            Self::ApplyPatch => {
                if let Some(diff) = item["operation"]["diff"].as_str() {
                    opening["operation"]["diff"] = json!("");
                    diffs(key, diff, &mut deltas);
                }
            }
            Self::LocalShell | Self::Computer => {}
        }
        deltas.insert(0, Delta::ItemAdded { key, item: opening });
        deltas.push(Delta::ItemDone { key, item });
        deltas
    }

    /// The field that says what is to be done, and what that is.
    fn called(self, arguments: &Value) -> Option<(&'static str, Value)> {
        match self {
            Self::LocalShell => {
                let mut action = json!({
                    "type": "exec",
                    "command": arguments["command"].as_array()?,
                    "env": {},
                });
                for variable in arguments["env"].as_array().into_iter().flatten() {
                    action["env"][variable["name"].as_str()?] = variable["value"].clone();
                }
                // The AI SDK takes no null here.
                for name in ["timeout_ms", "user", "working_directory"] {
                    if !arguments[name].is_null() {
                        action[name] = arguments[name].clone();
                    }
                }
                Some(("action", action))
            }
            Self::Shell => Some((
                "action",
                json!({
                    "commands": arguments["commands"].as_array()?,
                    "timeout_ms": arguments["timeout_ms"],
                    "max_output_length": arguments["max_output_length"],
                }),
            )),
            Self::ApplyPatch => {
                let asked = &arguments["operation"];
                let mut operation = Map::new();
                for name in ["type", "path", "diff"] {
                    if name == "diff" && asked["type"] == "delete_file" {
                        continue;
                    }
                    operation.insert(name.to_owned(), json!(asked[name].as_str()?));
                }
                Some(("operation", Value::Object(operation)))
            }
            Self::Computer => {
                let mut actions = arguments["actions"].as_array()?.clone();
                for fields in actions.iter_mut().filter_map(Value::as_object_mut) {
                    fields.retain(|_, value| !value.is_null());
                }
                Some(("actions", json!(actions)))
            }
        }
    }
}

fn commands(key: u64, commands: &Value, out: &mut Vec<Delta>) {
    for (at, command) in commands.as_array().into_iter().flatten().enumerate() {
        let mut event = |kind, field: &str, value: &Value| {
            let mut fields = Map::new();
            fields.insert("command_index".to_owned(), json!(at));
            fields.insert(field.to_owned(), value.clone());
            out.push(Delta::ItemEvent { key, kind, fields });
        };
        event("response.shell_call_command.added", "command", &json!(""));
        event("response.shell_call_command.delta", "delta", command);
        event("response.shell_call_command.done", "command", command);
    }
}

fn diffs(key: u64, diff: &str, out: &mut Vec<Delta>) {
    for (kind, field) in [
        ("response.apply_patch_call_operation_diff.delta", "delta"),
        ("response.apply_patch_call_operation_diff.done", "diff"),
    ] {
        let mut fields = Map::new();
        fields.insert(field.to_owned(), json!(diff));
        out.push(Delta::ItemEvent { key, kind, fields });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(tool: ClientTool, arguments: &Value) -> Option<Value> {
        match tool.call(0, "call_1", &arguments.to_string()).pop()? {
            Delta::ItemDone { item, .. } => Some(item),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_says_what_its_arguments_say_and_back() {
        for (tool, arguments, field, value) in [
            (
                ClientTool::LocalShell,
                json!({"command": ["ls", "-l"], "env": [{"name": "A", "value": "b"}],
                    "timeout_ms": 5, "user": null, "working_directory": null}),
                "action",
                json!({"type": "exec", "command": ["ls", "-l"], "env": {"A": "b"}, "timeout_ms": 5}),
            ),
            (
                ClientTool::Shell,
                json!({"commands": ["ls"], "timeout_ms": null, "max_output_length": 10}),
                "action",
                json!({"commands": ["ls"], "timeout_ms": null, "max_output_length": 10}),
            ),
            (
                ClientTool::ApplyPatch,
                json!({"operation": {"type": "delete_file", "path": "a"}}),
                "operation",
                json!({"type": "delete_file", "path": "a"}),
            ),
            (
                ClientTool::Computer,
                json!({"actions": [{"type": "keypress", "keys": ["A"]}]}),
                "actions",
                json!([{"type": "keypress", "keys": ["A"]}]),
            ),
        ] {
            let item = done(tool, &arguments).expect("a call");
            assert_eq!(item[field], value);
            let back: Value = serde_json::from_str(&tool.arguments(&item)).expect("JSON");
            assert_eq!(back, arguments);
        }
    }

    #[test]
    fn half_a_call_is_no_item() {
        for tool in ClientTool::ALL {
            assert_eq!(done(tool, &json!({})), None);
            assert!(tool.call(0, "c", "{\"comm").is_empty());
        }
        let half = json!({"operation": {"type": "update_file", "path": "a"}});
        assert_eq!(done(ClientTool::ApplyPatch, &half), None);
    }
}
