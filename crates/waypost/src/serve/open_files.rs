//! How many files this process may have open. Each connection is one, to a
//! client or to a model server.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Files beside connections: the store, the log, the runtime's own.
const OTHERS: u64 = 128;

/// Raises the limit as far as this process may. What holds then; `None`: no
/// limit.
pub(super) fn raise() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Not every system lets it be as high as it says (macOS): then what
        // was stays, and the banner tells.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current
}

/// Says what holds, and what does not fit.
pub(super) fn print(config: &Config, limit: Option<u64>) {
    let Some(limit) = limit else {
        tracing::info!("open files: no limit");
        return;
    };
    tracing::info!("open files: at most {limit}");
    let upstream: u64 = config
        .upstreams
        .iter()
        .map(|u| u64::from(u.max_concurrent))
        .sum();
    let wanted = config.http.max_connections as u64 + upstream + OTHERS;
    if limit < wanted {
        tracing::warn!(
            "http.max_connections is {}, which the limit of {limit} open files does not allow: with requests to model servers that takes {wanted}. Raise the limit (LimitNOFILE= of systemd, --ulimit nofile= of Docker, ulimit -Hn), or lower http.max_connections",
            config.http.max_connections
        );
    }
}
