//! `waypost-testkit`: the scripted model server, the OIDC issuer and the MCP server as processes.
//!
//! Each writes its base URL to the ready file once it serves, and ends on SIGTERM, on Ctrl-C, or
//! when the process named by `--parent-pid` is gone, so that a killed test run leaves nothing
//! behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use waypost_testkit::ScriptedMcp;
use waypost_testkit::issuer::{Alg, Issuer, IssuerOptions};
use waypost_testkit::upstream::{DEFAULT_RECORDED, ScriptedUpstream};

/// How often the parent is looked for.
const PARENT_POLL: Duration = Duration::from_millis(250);

#[derive(Parser)]
#[command(version, about = "The outside world of Waypost's tests, scripted")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// A model server that does what the script in the model's name says
    Upstream {
        #[command(flatten)]
        common: Common,
        /// Requests kept for /__stats
        #[arg(long, default_value_t = DEFAULT_RECORDED)]
        record: usize,
    },
    /// An MCP server with scripted tools
    Mcp {
        #[command(flatten)]
        common: Common,
    },
    /// An OIDC issuer with a key of its own
    Issuer {
        #[command(flatten)]
        common: Common,
        /// `iss` of its tokens [default: the address served at]
        #[arg(long)]
        issuer: Option<String>,
        /// Algorithm of the first key
        #[arg(long, value_enum, default_value_t = Alg::ES256)]
        alg: Alg,
    },
}

#[derive(Args)]
struct Common {
    /// Address to listen at; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File that gets the base URL once requests are served
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// End when this process is gone
    #[arg(long)]
    parent_pid: Option<u32>,
}

// One thread: the bench measures Waypost beside it, on few cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().role {
        Role::Upstream { common, record } => {
            let upstream = ScriptedUpstream::start_on(common.listen, record).await;
            let upstream =
                upstream.with_context(|| format!("cannot listen at {}", common.listen))?;
            until_ended(&common, &upstream.url()).await
        }
        Role::Mcp { common } => {
            let mcp = ScriptedMcp::start_on(common.listen).await;
            let mcp = mcp.with_context(|| format!("cannot listen at {}", common.listen))?;
            until_ended(&common, &mcp.origin()).await
        }
        Role::Issuer {
            common,
            issuer,
            alg,
        } => {
            let options = IssuerOptions {
                listen: common.listen,
                alg,
                issuer,
            };
            let issuer = Issuer::start_with(options).await;
            let issuer = issuer.with_context(|| format!("cannot listen at {}", common.listen))?;
            until_ended(&common, &issuer.url()).await
        }
    }
}

async fn until_ended(common: &Common, url: &str) -> anyhow::Result<()> {
    // Before the ready file: whoever has read it may send SIGTERM at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    println!("{url}");
    if let Some(file) = &common.ready_file {
        write_whole(file, url).with_context(|| format!("cannot write {}", file.display()))?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = parent_gone(common.parent_pid) => {}
    }
    Ok(())
}

/// Readers see the whole text or no file.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, file)
}

async fn parent_gone(parent: Option<u32>) {
    let Some(parent) = parent else {
        return std::future::pending().await;
    };
    while is_running(parent) {
        tokio::time::sleep(PARENT_POLL).await;
    }
}

/// A zombie has ended, though its entry is still there.
#[cfg(target_os = "linux")]
fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The command in parentheses may itself hold a parenthesis (proc_pid_stat(5)).
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X'))
}

/// Without /proc only the real parent can be watched: an orphan gets another one.
#[cfg(not(target_os = "linux"))]
fn is_running(pid: u32) -> bool {
    std::os::unix::process::parent_id() == pid
}
