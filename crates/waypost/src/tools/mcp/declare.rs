//! Reading an `mcp` tool of a request.

use mcp_client::Credentials;
use outbound::WebUrl;
use serde_json::{Map, Value, json};

use super::{Access, McpAccess, policy::Filter};
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, unsupported, wrong_type},
    },
    tools::Tools,
};

/// The longest label, as the API's names are.
const MAX_LABEL: usize = 64;
const MAX_DESCRIPTION: usize = 4096;
/// Servers of one request: each may list megabytes of tools.
const MAX_SERVERS: usize = 16;
/// Names in one filter.
const MAX_NAMES: usize = 1024;
const SOURCES: &[&str] = &["server_url", "connector_id", "tunnel_id"];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// The tool as the response echoes it. `type` has been read.
pub fn echo(fields: Fields<'_>) -> Result<Value> {
    read(fields).map(|(echo, _)| echo)
}

/// How to reach the servers of a request's `tools`, which are known to be in
/// order; each server is one that the operator allows.
pub fn access(tools: &Tools, body: &Value) -> Result<McpAccess> {
    let mut all = McpAccess::default();
    let given = body["tools"].as_array().into_iter().flatten();
    for (at, tool) in given.enumerate().filter(|(_, tool)| super::is_server(tool)) {
        let path = format!("tools[{at}]");
        let invalid = |field: &str, message: String| {
            ApiError::invalid(message)
                .param(format!("{path}.{field}"))
                .code("invalid_value")
        };
        if all.len() == MAX_SERVERS {
            return Err(ApiError::invalid(format!(
                "More than {MAX_SERVERS} MCP servers are given in 'tools'."
            ))
            .param("tools")
            .code("array_above_max_length"));
        }
        if !tools.config.mcp.enabled {
            return Err(unsupported(
                &format!("{path}.type"),
                "The operator of this server has switched MCP servers off (tools.mcp.enabled).",
            ));
        }
        let mut fields = Fields::new(tool, &path)?;
        fields.value("type");
        let (echo, access) = read(fields)?;
        tools
            .mcp
            .rules()
            .check(access.url())
            .map_err(|error| invalid("server_url", error.to_string()))?;
        let label = echo["server_label"].as_str().unwrap_or_default();
        if all.get(label).is_some() {
            let message = format!("The server label '{label}' is used twice in 'tools'.");
            return Err(invalid("server_label", message));
        }
        all.insert(label, access);
    }
    Ok(all)
}

fn read(mut fields: Fields<'_>) -> Result<(Value, Access)> {
    let label = label(&mut fields)?;
    let (url, origin) = source(&mut fields)?;
    let authorization = fields.string("authorization")?;
    let headers = fields.value("headers");
    let credentials = Credentials::read(authorization, headers).map_err(|error| {
        let field = if headers.is_some() {
            "headers"
        } else {
            "authorization"
        };
        ApiError::invalid(error.to_string())
            .param(fields.path(field))
            .code("invalid_value")
    })?;
    let description = fields.bounded_string("server_description", MAX_DESCRIPTION)?;
    let allowed = allowed_tools(&mut fields)?;
    let approval = require_approval(&mut fields)?;
    if fields.bool("defer_loading")? == Some(true) {
        return Err(unsupported(
            &fields.path("defer_loading"),
            "The tools of an MCP server are given to the model at once.",
        ));
    }
    if let Some(callers) = fields.array("allowed_callers")?
        && callers.iter().any(|caller| caller != "direct")
    {
        return Err(unsupported(
            &fields.path("allowed_callers"),
            "Programmatic tool calling is not supported.",
        ));
    }
    fields.end()?;
    let echo = json!({
        "type": "mcp",
        "allowed_tools": allowed,
        "headers": null,
        "require_approval": approval,
        "server_description": description,
        "server_label": label,
        // Some servers' paths are credentials.
        "server_url": format!("{origin}/<redacted>"),
    });
    Ok((echo, Access::new(url, credentials)))
}

fn label<'a>(fields: &mut Fields<'a>) -> Result<&'a str> {
    let path = fields.path("server_label");
    let label = fields.required_string("server_label")?;
    let fits = (1..=MAX_LABEL).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if fits {
        return Ok(label);
    }
    Err(ApiError::invalid(format!(
        "Invalid '{path}': string does not match pattern. Expected a string that matches the \
         pattern '^[a-zA-Z0-9_-]{{1,64}}$'."
    ))
    .param(path.clone())
    .code("invalid_value"))
}

/// The URL, and its origin for the echo.
fn source<'a>(fields: &mut Fields<'a>) -> Result<(&'a str, String)> {
    let given: Vec<&str> = SOURCES
        .iter()
        .filter(|name| fields.value(name).is_some())
        .copied()
        .collect();
    let path = fields.path("server_url");
    if given.len() != 1 {
        let what = if given.is_empty() { "One" } else { "Only one" };
        return Err(ApiError::invalid(format!(
            "{what} of 'server_url', 'connector_id' and 'tunnel_id' must be given."
        ))
        .param(path)
        .code(if given.is_empty() {
            "missing_required_parameter"
        } else {
            "mutually_exclusive_parameters"
        }));
    }
    fields.refuse(
        "connector_id",
        "Connectors belong to OpenAI's own platform; name the MCP server by 'server_url'.",
    )?;
    fields.refuse(
        "tunnel_id",
        "Tunnels are not supported; name the MCP server by 'server_url'.",
    )?;
    let url = fields.required_string("server_url")?;
    let parsed = WebUrl::parse(url).map_err(|error| {
        ApiError::invalid(format!("Invalid '{path}'. {error}"))
            .param(path.clone())
            .code("invalid_value")
    })?;
    Ok((url, parsed.origin().to_string()))
}

fn allowed_tools(fields: &mut Fields<'_>) -> Result<Value> {
    let path = fields.path("allowed_tools");
    match fields.value("allowed_tools") {
        None => Ok(Value::Null),
        Some(Value::Array(list)) => names(list, &path),
        Some(value @ Value::Object(_)) => filter(value, &path),
        Some(other) => Err(wrong_type(&path, "an array or an object", other)),
    }
}

fn require_approval(fields: &mut Fields<'_>) -> Result<Value> {
    const WORDS: &[&str] = &["always", "never"];
    let path = fields.path("require_approval");
    match fields.value("require_approval") {
        None => Ok("always".into()),
        Some(Value::String(word)) if WORDS.contains(&word.as_str()) => Ok(json!(word)),
        Some(Value::String(word)) => Err(bad_word(&path, word, WORDS)),
        Some(value @ Value::Object(_)) => {
            let mut filters = Fields::new(value, &path)?;
            let mut out = Map::new();
            for name in ["always", "never"] {
                let path = filters.path(name);
                if let Some(value) = filters.value(name) {
                    let value = filter(value, &path)?;
                    if Filter::read(&value).is_none_or(|filter| filter.is_open()) {
                        // It would mean every tool, which has a plain word.
                        return Err(missing(&format!("{path}.tool_names")));
                    }
                    out.insert(name.to_owned(), value);
                }
            }
            filters.end()?;
            Ok(Value::Object(out))
        }
        Some(other) => Err(wrong_type(&path, "a string or an object", other)),
    }
}

fn filter(value: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(value, path)?;
    let mut out = Map::new();
    let path = fields.path("tool_names");
    if let Some(list) = fields.array("tool_names")? {
        out.insert("tool_names".to_owned(), names(list, &path)?);
    }
    if let Some(read_only) = fields.bool("read_only")? {
        out.insert("read_only".to_owned(), read_only.into());
    }
    fields.end()?;
    Ok(Value::Object(out))
}

fn names(list: &[Value], path: &str) -> Result<Value> {
    if list.len() > MAX_NAMES {
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': array too long. Expected an array with maximum length {MAX_NAMES}, \
             but got an array with length {} instead.",
            list.len()
        ))
        .param(path.to_owned())
        .code("array_above_max_length"));
    }
    match list.iter().position(|name| !name.is_string()) {
        None => Ok(Value::Array(list.to_vec())),
        Some(at) => Err(wrong_type(&format!("{path}[{at}]"), "a string", &list[at])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo_of(tool: Value) -> Result<Value> {
        let mut fields = Fields::new(&tool, "tools[0]")?;
        fields.value("type");
        echo(fields)
    }

    #[test]
    fn the_echo_holds_no_secret() {
        let echo = echo_of(json!({"type": "mcp", "server_label": "docs",
            "server_url": "https://mcp.example.com/s3cret?key=s3cret",
            "authorization": "s3cret", "headers": {"x-key": "s3cret"},
            "require_approval": {"never": {"read_only": true}}}))
        .expect("an echo");
        assert_eq!(
            echo,
            json!({"type": "mcp", "allowed_tools": null, "headers": null,
                "require_approval": {"never": {"read_only": true}}, "server_description": null,
                "server_label": "docs", "server_url": "https://mcp.example.com/<redacted>"})
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |name: &str, value: Value| {
            let mut tool = json!({"type": "mcp", "server_label": "docs",
                "server_url": "https://mcp.example.com/s3cret"});
            tool[name] = value;
            tool
        };
        for (tool, param, word) in [
            (
                with("server_label", json!("a b")),
                "server_label",
                "pattern",
            ),
            (with("server_label", Value::Null), "server_label", "Missing"),
            (
                with("server_url", Value::Null),
                "server_url",
                "must be given",
            ),
            (
                with("server_url", json!("ftp://x/s3cret")),
                "server_url",
                "https://",
            ),
            (
                with("tunnel_id", json!("tunnel_1")),
                "server_url",
                "Only one",
            ),
            (
                with("authorization", json!("s3cret\nx")),
                "authorization",
                "token",
            ),
            (
                with("headers", json!({"host": "s3cret"})),
                "headers",
                "host",
            ),
            (
                with("require_approval", json!("maybe")),
                "require_approval",
                "never",
            ),
            (
                with("require_approval", json!({"never": {}})),
                "require_approval.never.tool_names",
                "Missing",
            ),
            (
                with("allowed_tools", json!([1])),
                "allowed_tools[0]",
                "a string",
            ),
            (
                with("allowed_tools", json!({"names": []})),
                "allowed_tools.names",
                "Unknown",
            ),
            (
                with("defer_loading", json!(true)),
                "defer_loading",
                "at once",
            ),
            (
                with("allowed_callers", json!(["programmatic"])),
                "allowed_callers",
                "Programmatic",
            ),
            (with("colour", json!(1)), "colour", "Unknown"),
        ] {
            let refused = echo_of(tool).expect_err(word);
            let text = String::from_utf8(refused.to_json()).expect("text");
            assert!(
                text.contains(&format!(r#""param":"tools[0].{param}""#)),
                "{text}"
            );
            assert!(text.contains(word), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        for name in ["connector_id", "tunnel_id"] {
            let mut tool = json!({"type": "mcp", "server_label": "docs"});
            tool[name] = json!("connector_gmail");
            let text = String::from_utf8(echo_of(tool).expect_err("refused").to_json());
            assert!(text.expect("text").contains(&format!("tools[0].{name}")));
        }
    }
}
