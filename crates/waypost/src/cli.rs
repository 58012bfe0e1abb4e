//! The command line.
//!
//! Exit codes: 0 done, 1 failed, 64 the configuration or the command is wrong
//! (EX_USAGE of sysexits.h).

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Config, ConfigError, Overrides},
    serve,
};

mod admin_key;
mod schema;
mod signing_key;

/// Exit code of a wrong configuration or command.
pub const EX_USAGE: u8 = 64;

#[derive(Parser)]
#[command(
    name = "waypost",
    version,
    about = "A self-hosted platform around your models: identity, durable responses, tools, tunnels"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Serve),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make organization admin keys
    AdminKey {
        #[command(subcommand)]
        command: AdminKeyCommand,
    },
    /// Look after the keys that sign access tokens
    SigningKey {
        #[command(subcommand)]
        command: SigningKeyCommand,
    },
    /// Look at tools and their schemas
    Schema {
        #[command(subcommand)]
        command: SchemaCommand,
    },
}

#[derive(Args)]
struct Serve {
    /// Configuration file [env: WAYPOST_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free one [env: WAYPOST_LISTEN]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Directory of the embedded engine [env: WAYPOST_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Write the base URL here once requests are served
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check it and print what is in effect, with secrets masked
    Check {
        /// Configuration file [env: WAYPOST_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum AdminKeyCommand {
    /// Make one and print it, once, on standard output
    Create {
        /// What lists show
        #[arg(long)]
        name: String,
        /// Directory of the embedded engine [env: WAYPOST_DATA_DIR]
        #[arg(long, value_name = "DIR", conflicts_with = "config")]
        data_dir: Option<PathBuf>,
        /// Configuration file [env: WAYPOST_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum SigningKeyCommand {
    /// Make the next one; a running server rotates by itself
    Rotate {
        /// Delete every other key at once: all tokens issued so far are refused
        #[arg(long)]
        replace_all: bool,
        /// Directory of the embedded engine [env: WAYPOST_DATA_DIR]
        #[arg(long, value_name = "DIR", conflicts_with = "config")]
        data_dir: Option<PathBuf>,
        /// Configuration file [env: WAYPOST_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum SchemaCommand {
    /// Say what strict mode makes of each tool, and why
    #[command(after_help = schema::AFTER_HELP)]
    Lint(schema::Lint),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, and none to the user.
            let code = if error.use_stderr() { EX_USAGE } else { 0 };
            let _ = error.print();
            return code.into();
        }
    };
    match cli.command {
        Command::Serve(serve) => {
            let flags = Overrides {
                config: serve.config,
                listen: serve.listen,
                data_dir: serve.data_dir,
            };
            match load(flags) {
                Ok(config) => finish(serve::run(config, serve.ready_file)),
                Err(error) => usage(&error),
            }
        }
        Command::Config {
            command: ConfigCommand::Check { config },
        } => check(config),
        Command::AdminKey {
            command:
                AdminKeyCommand::Create {
                    name,
                    data_dir,
                    config,
                },
        } => {
            let flags = Overrides {
                config,
                listen: None,
                data_dir,
            };
            match load(flags) {
                Ok(config) => finish(admin_key::create(&config, &name)),
                Err(error) => usage(&error),
            }
        }
        Command::Schema {
            command: SchemaCommand::Lint(options),
        } => schema::lint(&options),
        Command::SigningKey {
            command:
                SigningKeyCommand::Rotate {
                    replace_all,
                    data_dir,
                    config,
                },
        } => {
            let flags = Overrides {
                config,
                listen: None,
                data_dir,
            };
            match load(flags) {
                Ok(config) => finish(signing_key::rotate(&config, replace_all)),
                Err(error) => usage(&error),
            }
        }
    }
}

fn load(flags: Overrides) -> Result<Config, ConfigError> {
    config::load::load(flags, &|name| std::env::var(name).ok())
}

fn check(config: Option<PathBuf>) -> ExitCode {
    let flags = Overrides {
        config,
        ..Overrides::default()
    };
    match load(flags) {
        Ok(config) => {
            let text = toml::to_string_pretty(&config).expect("plain data always prints");
            // A closed pipe is the reader's business.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => usage(&error),
    }
}

fn usage(error: &ConfigError) -> ExitCode {
    eprintln!("waypost: {error}");
    EX_USAGE.into()
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waypost: {error:#}");
            ExitCode::FAILURE
        }
    }
}
