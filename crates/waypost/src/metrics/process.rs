//! What the kernel says of this process, under the names that Prometheus' own
//! clients give it. On systems without `/proc` there is nothing of it.

use std::fs;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Ticks of a second in `/proc`: `USER_HZ`, which is part of Linux' interface
/// to programs.
const TICKS: f64 = 100.0;

/// Read at each scrape.
#[derive(Debug)]
pub struct Process {
    /// Unix seconds.
    pub started: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge(
            "process_start_time_seconds",
            "When the process started, Unix time",
            Some(self.started),
        )?;
        gauge(
            "process_resident_memory_bytes",
            "Memory that the process holds",
            resident_bytes(),
        )?;
        gauge(
            "process_open_fds",
            "Open file descriptors",
            open_descriptors(),
        )?;
        gauge(
            "process_max_fds",
            "File descriptors that the process may open",
            max_descriptors(),
        )?;
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        gauge("process_threads", "Threads", threads(&stat))?;
        if let Some(seconds) = cpu_seconds(&stat) {
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "Processor time that the process has used",
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// Field `n` of `/proc/self/stat` as proc(5) counts them, from 3 on: the second
/// is the program's name, which may hold anything.
fn field(stat: &str, n: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(n - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn threads(stat: &str) -> Option<f64> {
    field(stat, 20)
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_descriptors() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn max_descriptors() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_may_hold_anything() {
        let stat = "42 (a) R (b 1 2) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(threads(stat), Some(7.0));
        assert_eq!(cpu_seconds(""), None);
    }
}
