//! `tool_choice` where servers are concerned, in terms of functions for the
//! model.

use serde_json::{Value, json};

use super::catalogue::Catalogue;

/// The choice for one turn. What the client forces is forced once: a model that
/// must call a tool in every turn comes to no end.
pub fn for_turn(
    choice: Option<&Value>,
    catalogue: &Catalogue,
    is_first: bool,
) -> Result<Option<Value>, String> {
    let Some(choice) = choice else {
        return Ok(None);
    };
    Ok(Some(match choice["type"].as_str() {
        Some("mcp") if is_first => {
            let label = choice["server_label"].as_str().unwrap_or_default();
            let functions = functions(choice, catalogue);
            match functions.as_slice() {
                [] => {
                    return Err(match choice["name"].as_str() {
                        Some(name) => format!(
                            "Tool choice '{name}' is not among the tools that the MCP server '{label}' lists."
                        ),
                        None => format!(
                            "Tool choice: the MCP server '{label}' lists no tool that may be called."
                        ),
                    });
                }
                [one] => one.clone(),
                many => json!({"type": "allowed_tools", "mode": "required", "tools": many}),
            }
        }
        Some("allowed_tools") => {
            let mode = if is_first {
                choice["mode"].clone()
            } else {
                "auto".into()
            };
            let listed = choice["tools"].as_array().into_iter().flatten();
            let tools: Vec<Value> = listed
                .flat_map(|tool| {
                    if super::is_server(tool) {
                        functions(tool, catalogue)
                    } else {
                        vec![tool.clone()]
                    }
                })
                .collect();
            if tools.is_empty() {
                return Ok(Some("none".into()));
            }
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        }
        None if choice == "none" => choice.clone(),
        _ if is_first => choice.clone(),
        _ => "auto".into(),
    }))
}

fn functions(choice: &Value, catalogue: &Catalogue) -> Vec<Value> {
    let label = choice["server_label"].as_str().unwrap_or_default();
    let name = choice["name"].as_str();
    catalogue
        .of_server(label)
        .filter(|entry| name.is_none_or(|name| entry.tool.name == name))
        .map(|entry| json!({"type": "function", "name": entry.function}))
        .collect()
}

#[cfg(test)]
mod tests {
    use mcp_client::Tool;

    use super::*;
    use crate::tools::mcp::policy::Policy;

    #[test]
    fn a_choice_of_a_server_is_one_of_its_functions_once() {
        let tool = |name: &str| Tool {
            annotations: None,
            description: None,
            input_schema: json!({}),
            name: name.to_owned(),
        };
        let policy = Policy::of(&json!({"type": "mcp", "server_label": "s"})).expect("a policy");
        let mut catalogue = Catalogue::default();
        catalogue.add(&policy, vec![tool("a"), tool("b")]);
        let turn = |choice: Value, first| for_turn(Some(&choice), &catalogue, first);
        let function = |name: &str| json!({"type": "function", "name": name});
        let server = json!({"type": "mcp", "server_label": "s"});
        let named = json!({"type": "mcp", "server_label": "s", "name": "b"});
        let both = [function("s__a"), function("s__b")];

        assert_eq!(turn(named.clone(), true), Ok(Some(function("s__b"))));
        assert_eq!(
            turn(server.clone(), true),
            Ok(Some(
                json!({"type": "allowed_tools", "mode": "required", "tools": both})
            ))
        );
        for later in [named, server.clone(), json!("required"), function("s__a")] {
            assert_eq!(turn(later, false), Ok(Some(json!("auto"))));
        }
        assert_eq!(turn(json!("none"), false), Ok(Some(json!("none"))));
        let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [server, function("mine")]});
        let tools = [function("s__a"), function("s__b"), function("mine")];
        for (first, mode) in [(true, "required"), (false, "auto")] {
            assert_eq!(
                turn(allowed.clone(), first),
                Ok(Some(
                    json!({"type": "allowed_tools", "mode": mode, "tools": tools})
                ))
            );
        }
        let missing = json!({"type": "mcp", "server_label": "s", "name": "c"});
        assert!(turn(missing, true).is_err());
    }
}
