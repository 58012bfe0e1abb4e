//! The tools that an MCP server lists now, as one more input.

use mcp_client::Credentials;
use outbound::WebUrl;
use tokio_util::task::TaskTracker;

use super::input::Input;
use crate::{
    config::{Config, McpConfig},
    tools::mcp::{Failure, Servers},
};

/// Where the server's access token is read from: an argument would be seen by
/// every process of the machine.
const AUTHORIZATION: &str = "WAYPOST_MCP_AUTHORIZATION";

/// Asks the server, which may be anywhere: whoever runs this chose it.
pub(super) fn read(url: &str) -> Input {
    Input {
        name: url.to_owned(),
        named: true,
        lines: false,
        text: list(url),
    }
}

fn list(url: &str) -> Result<String, String> {
    let parsed = WebUrl::parse(url).map_err(|error| error.to_string())?;
    let config = McpConfig {
        allow_private_servers: [parsed.origin().to_string()].into(),
        ..Config::default().tools.mcp
    };
    let token = std::env::var(AUTHORIZATION).ok();
    let credentials =
        Credentials::read(token.as_deref(), None).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let listed = runtime.block_on(async {
        let servers = Servers::new(&config, &TaskTracker::new());
        let mut session = match servers.connect(url, &credentials).await {
            Ok(session) => session,
            Err(Failure::Refused(sentence)) => return Err(sentence),
            Err(Failure::Mcp(error)) => return Err(error.to_string()),
        };
        session
            .list_tools()
            .await
            .map_err(|error| error.to_string())
    })?;
    for one in &listed.left_out {
        eprintln!("The server's tool '{}' is left out: {}.", one.name, one.why);
    }
    serde_json::to_string_pretty(&listed.tools).map_err(|error| error.to_string())
}
