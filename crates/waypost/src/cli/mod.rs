//! The command line.
//!
//! Exit codes: 0 done, 1 failed, 64 the configuration or the command is wrong
//! (EX_USAGE of sysexits.h).

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Config, ConfigError, Environment, Overrides},
    serve,
};

mod admin_key;
mod config_check;
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
    /// Check it and what it names, and print what is in effect as a file
    Check {
        /// Configuration file [env: WAYPOST_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Also look at the store, and ask issuers and model servers
        #[arg(long)]
        connect: bool,
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
            match load(flags.clone()) {
                Ok(config) => {
                    let again = Box::new(move || load(flags.clone()));
                    finish(serve::run(config, serve.ready_file, again))
                }
                Err(error) => usage(&error),
            }
        }
        Command::Config {
            command: ConfigCommand::Check { config, connect },
        } => check(config, connect),
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
            match config::load::data_dir(flags, &Environment::of_process()) {
                Ok(data_dir) => finish(admin_key::create(&data_dir, &name)),
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
    config::load::load(flags, &Environment::of_process())
}

fn check(config: Option<PathBuf>, connect: bool) -> ExitCode {
    let flags = Overrides {
        config,
        ..Overrides::default()
    };
    match load(flags) {
        Ok(config) => config_check::check(&config, connect),
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
