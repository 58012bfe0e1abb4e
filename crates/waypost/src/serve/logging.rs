//! Where log lines go: standard error, as text or JSON.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::log_writer::{self, LogGuard};
use crate::config::{LogConfig, LogFormat};

/// Changes what is logged.
pub(super) struct Levels(Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>);

impl Levels {
    /// From now on these levels hold.
    pub(super) fn set(&self, config: &LogConfig) -> anyhow::Result<()> {
        (self.0)(filter(config)?)
    }
}

/// Starts logging, of panics too. `RUST_LOG` has no say: the configuration is
/// the one place. Dropping the guard writes the last lines.
pub(super) fn start(config: &LogConfig) -> anyhow::Result<(LogGuard, Levels)> {
    let filter = filter(config)?;
    let (writer, guard) = log_writer::start(std::io::stderr()).context("cannot start logging")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // Colours would be control characters, which no line may hold.
        .with_ansi(false);
    let levels: Levels = match config.format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Levels(Box::new(move |filter| Ok(handle.reload(filter)?)))
        }
        LogFormat::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Levels(Box::new(move |filter| Ok(handle.reload(filter)?)))
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, "panic: {message}");
    }));
    Ok((guard, levels))
}

fn filter(config: &LogConfig) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder()
        .parse(&config.level)
        .with_context(|| format!("[log] level `{}` is no log level", config.level))
}
