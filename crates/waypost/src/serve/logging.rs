//! Where log lines go: standard error, as text or JSON.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::log_writer::{self, LogGuard};
use crate::config::{LogConfig, LogFormat};

/// Starts logging, of panics too. `RUST_LOG` has no say: the configuration is
/// the one place. Dropping the guard writes the last lines.
pub(super) fn start(config: &LogConfig) -> anyhow::Result<LogGuard> {
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .with_context(|| format!("[log] level `{}` is no log level", config.level))?;
    let (writer, guard) = log_writer::start(std::io::stderr()).context("cannot start logging")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // Colours would be control characters, which no line may hold.
        .with_ansi(false);
    match config.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, "panic: {message}");
    }));
    Ok(guard)
}
