//! `waypost config check`: whether the server would start with this
//! configuration, and what is in effect.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use waypost_engine::embedded::{self, Found};

use super::EX_USAGE;
use crate::{
    config::{Config, print},
    http::server,
    identity::{self, try_out::Asked},
    upstream::{Upstreams, watch},
};

/// Prints what is in effect on standard output, and what is odd or wrong on
/// standard error.
pub(super) fn check(config: &Config, connect: bool) -> ExitCode {
    // A closed pipe is the reader's business.
    let _ = std::io::stdout().write_all(print::file(config).as_bytes());
    for warning in &config.origin.warnings {
        eprintln!("waypost: warning: {warning}");
    }
    let problems = problems(config);
    for problem in &problems {
        eprintln!("waypost: {problem}");
    }
    if !problems.is_empty() {
        return EX_USAGE.into();
    }
    if !connect {
        return ExitCode::SUCCESS;
    }
    match try_out(config) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("waypost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Looks at the store, asks the issuers that it names and the model servers;
/// whether all is well. Nothing is changed.
fn try_out(config: &Config) -> anyhow::Result<bool> {
    let mut report = Report { well: true };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    if look_at_store(config, &mut report) {
        runtime.block_on(ask_issuers(config, &mut report))?;
    }
    let upstreams = Upstreams::new(&config.upstreams, config.responses.upstream_idle_timeout)?;
    runtime.block_on(watch::first_look(&upstreams));
    for upstream in upstreams.all().iter() {
        let answers = upstream.health().reachable == Some(true);
        report.say(answers, upstream.describe());
    }
    Ok(report.well)
}

struct Report {
    well: bool,
}

impl Report {
    fn say(&mut self, good: bool, line: impl std::fmt::Display) {
        self.well &= good;
        eprintln!("waypost: {}: {line}", if good { "ok" } else { "failed" });
    }
}

/// Whether there is one that can be read.
fn look_at_store(config: &Config, report: &mut Report) -> bool {
    let dir = config.data_dir.display();
    match embedded::look(&config.data_dir) {
        Ok(Found::Nothing) => {
            report.say(
                true,
                format_args!("store: {dir} holds none yet; the first start makes it"),
            );
            report.say(
                true,
                "issuers: none to ask, identity providers are kept in the store",
            );
            return false;
        }
        Ok(Found::InUse) => report.say(
            true,
            format_args!("store: {dir}; a running server has it open"),
        ),
        Ok(Found::Store) => report.say(true, format_args!("store: {dir}")),
        Err(error) => {
            report.say(false, format_args!("store: {error}"));
            return false;
        }
    }
    true
}

/// A line for each issuer whose keys a server would fetch.
async fn ask_issuers(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let providers = match embedded::providers(&config.data_dir) {
        Ok(providers) => providers,
        Err(error) => {
            report.say(
                false,
                format_args!("issuers: the identity providers cannot be read: {error}"),
            );
            return Ok(());
        }
    };
    let rules = config.identity.url_rules()?;
    let asked = identity::try_out::ask(providers, rules, &config.identity).await;
    if asked.is_empty() {
        report.say(
            true,
            "issuers: none to ask, no enabled identity provider fetches keys",
        );
    }
    for Asked { provider, outcome } in asked {
        let who = format!("issuer {} (provider {})", provider.issuer, provider.name);
        match outcome {
            Ok(found) => {
                let others = found
                    .first_skipped
                    .map(|reason| format!("; of the others, the first: {reason}"))
                    .unwrap_or_default();
                report.say(
                    true,
                    format_args!(
                        "{who}: {} of {} keys usable, from {}{others}",
                        found.usable, found.entries, found.jwks_uri
                    ),
                );
            }
            Err(problem) => report.say(false, format_args!("{who}: {problem}")),
        }
    }
    Ok(())
}

/// What is wrong with what the configuration names.
fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(tls) = &config.tls
        && let Err(error) = server::tls_acceptor(tls)
    {
        problems.push(format!("[tls]: {error:#}"));
    }
    let idle = config.responses.upstream_idle_timeout;
    if let Err(error) = Upstreams::new(&config.upstreams, idle) {
        problems.push(format!("[[upstreams]]: {error:#}"));
    }
    problems
}
