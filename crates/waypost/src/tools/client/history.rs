//! Calls and outputs of earlier turns, as those of a function.

use crate::model::ClientTool;

use serde_json::{Value, json};

impl ClientTool {
    /// The arguments of a call, as the model wrote them.
    pub fn arguments(self, item: &Value) -> String {
        let action = &item["action"];
        match self {
            Self::LocalShell => {
                let variables = action["env"].as_object().into_iter().flatten();
                let env: Vec<Value> = variables
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect();
                json!({
                    "command": action["command"],
                    "working_directory": action["working_directory"],
                    "timeout_ms": action["timeout_ms"],
                    "user": action["user"],
                    "env": env,
                })
            }
            Self::Shell => json!({
                "commands": action["commands"],
                "timeout_ms": action["timeout_ms"],
                "max_output_length": action["max_output_length"],
            }),
            Self::ApplyPatch => json!({"operation": item["operation"]}),
            Self::Computer => match &item["actions"] {
                Value::Array(actions) if !actions.is_empty() => json!({"actions": actions}),
                _ => json!({"actions": [action]}),
            },
        }
        .to_string()
    }

    /// What came of a call: text, or a list of parts.
    pub fn output(self, item: &Value) -> Value {
        let output = &item["output"];
        match self {
            Self::LocalShell => output.clone(),
            Self::Shell => json!(output.to_string()),
            Self::ApplyPatch => {
                let mut said = json!({"status": item["status"]});
                if let Some(output) = output.as_str() {
                    said["output"] = json!(output);
                }
                json!(said.to_string())
            }
            Self::Computer => {
                let text = |key: &str| output[key].as_str().filter(|text| !text.is_empty());
                let Some(url) = text("image_url") else {
                    return json!("No screenshot was taken.");
                };
                let detail = text("detail").unwrap_or("auto");
                json!([{"type": "input_image", "detail": detail, "image_url": url}])
            }
        }
    }
}
