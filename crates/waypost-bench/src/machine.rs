//! The machine: what it is, and whether it is quiet enough to measure on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::stats::Spread;

/// How long the processors are watched before a run.
const WATCH: Duration = Duration::from_millis(1500);
/// Writes of the disk's measurement, and bytes of each.
const SYNCS: usize = 200;
const SYNC_BYTES: usize = 4096;

/// What the results are good for.
#[derive(Debug)]
pub struct Machine {
    pub cores: usize,
    pub model: String,
    pub memory_gib: f64,
    pub kernel: String,
    /// Milliseconds of a 4 KiB append with fdatasync, where the data directories lie.
    pub sync_ms: Spread,
}

impl Machine {
    pub fn look(dir: &Path) -> anyhow::Result<Self> {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let memory = memory
            .split(' ')
            .next()
            .and_then(|kib| kib.parse::<f64>().ok());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            model: field("/proc/cpuinfo", "model name"),
            memory_gib: memory.unwrap_or(0.0) / 1024.0 / 1024.0,
            kernel: release.trim().to_owned(),
            sync_ms: sync_latency(&dir.join("sync-test"))?,
        })
    }
}

/// The processors' load from outside of the bench.
#[derive(Debug)]
pub struct Watch {
    busy: f64,
    total: f64,
    own: f64,
}

impl Watch {
    pub fn start() -> Self {
        let (busy, total) = ticks();
        let own = own_ticks();
        Self { busy, total, own }
    }

    /// The share of all processor time that others used since the start. Children count as ours
    /// once they have ended.
    pub fn foreign_share(&self) -> f64 {
        let (busy, total) = ticks();
        let others = (busy - self.busy) - (own_ticks() - self.own);
        (others / (total - self.total)).clamp(0.0, 1.0)
    }
}

/// The share of the processors in use before anything was started.
pub async fn busy_share() -> f64 {
    let watch = Watch::start();
    tokio::time::sleep(WATCH).await;
    watch.foreign_share()
}

pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn sync_latency(file: &Path) -> anyhow::Result<Spread> {
    let mut out = File::create(file)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        out.write_all(&[0x5a; SYNC_BYTES])?;
        out.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    drop(out);
    fs::remove_file(file)?;
    Ok(Spread::of(times))
}

/// Busy and total ticks of all processors since boot.
fn ticks() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal (proc_stat(5)); guests are in user already.
    let fields: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total: f64 = fields.iter().sum();
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    (total - idle, total)
}

/// Ticks of this process and of its children that have ended.
fn own_ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields = after.split(' ').skip(11).take(4);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}
