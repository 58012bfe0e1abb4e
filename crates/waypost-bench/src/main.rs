//! `waypost-bench`: what `cargo xtask bench` runs, on binaries it has built.
//!
//! Flow: look at the machine -> start the model servers, nginx and, for each section, a Waypost on
//! fresh data -> measure -> print the table and write it as Markdown -> end every process.
//!
//! Easy to break: numbers are only comparable within a run. What is compared is measured in the
//! same rounds; nothing is read from an earlier run.

mod authentication;
mod background;
mod client;
mod clock;
mod exchange;
mod foreground;
mod lag;
mod load;
mod machine;
mod memory;
mod process;
mod recovery;
mod stats;
mod table;
mod tools;
mod world;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use load::Effort;
use machine::{Machine, Watch};
use stats::Rng;
use table::{Report, Row, Section};
use world::World;

/// The server's: what runs inside this process is measured as it runs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More of the processors than this in use by others, and a run is refused.
const QUIET_SHARE: f64 = 0.10;
/// How long a busy machine is given to calm down: a build has usually just ended.
const CALM_DOWN: Duration = Duration::from_secs(30);

/// Something hangs when a run takes longer.
const RUN_LIMIT: Duration = Duration::from_mins(20);

#[derive(Parser)]
#[command(about = "Measures Waypost on this machine", version)]
struct Cli {
    /// Where waypost and waypost-testkit lie
    #[arg(long)]
    binaries: PathBuf,
    /// Directory for data and logs of the run; emptied before, removed after
    #[arg(long)]
    work_dir: PathBuf,
    /// Directory with public schemas, as `cargo xtask corpora` collects them
    #[arg(long)]
    schemas: Option<PathBuf>,
    /// File for the table; printed only, if absent
    #[arg(long)]
    out: Option<PathBuf>,
    /// About a minute instead of about seven: a check that the bench works
    #[arg(long)]
    quick: bool,
    /// Measure although the machine is busy; the table says so
    #[arg(long)]
    force: bool,
    /// Order of the rounds [default: from the clock; printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Keep the work directory
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Foreground,
    Background,
    Lag,
    Exchange,
    Authentication,
    Tools,
    Memory,
    Recovery,
}

/// A run under way.
struct Bench {
    world: World,
    machine: Machine,
    effort: Effort,
    quick: bool,
    seed: u64,
    started: Instant,
}

impl Bench {
    fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }

    /// A line of progress; the table is on the other stream.
    fn say(&self, what: &str) {
        eprintln!("[{:5.1} s] {what}", self.started.elapsed().as_secs_f64());
    }

    fn concurrencies(&self) -> &'static [usize] {
        if self.quick {
            &[1, 16]
        } else {
            &[1, 8, 32, 64]
        }
    }

    /// Requests where each is a story of its own.
    fn singles(&self) -> usize {
        if self.quick { 50 } else { 500 }
    }

    fn lag_streams(&self) -> &'static [usize] {
        if self.quick { &[1, 20] } else { &[1, 50, 200] }
    }

    fn lag_tokens(&self) -> usize {
        if self.quick { 120 } else { 400 }
    }

    fn parked(&self) -> usize {
        if self.quick { 200 } else { 1000 }
    }
}

// One thread for the load: what it costs is the same for every target, and the rest of the
// machine is theirs.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let result = tokio::select! {
        result = tokio::time::timeout(RUN_LIMIT, run(&cli)) => {
            result.unwrap_or_else(|_| Err(anyhow::anyhow!("the run took longer than {} min", RUN_LIMIT.as_secs() / 60)))
        }
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    if !cli.keep {
        let _ = fs::remove_dir_all(&cli.work_dir);
    }
    result
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    let busy = quiet(cli).await?;
    let load = machine::load_average();
    let _ = fs::remove_dir_all(&cli.work_dir);
    fs::create_dir_all(&cli.work_dir)
        .with_context(|| format!("cannot make {}", cli.work_dir.display()))?;
    let dir = cli.work_dir.canonicalize()?;
    let machine = Machine::look(&dir)?;
    let seed = cli.seed.unwrap_or_else(seed_of_the_clock);
    let watch = Watch::start();
    let world = World::start(dir, &cli.binaries).await?;
    let proxy = match &world.proxy {
        Ok(proxy) => format!("nginx {}", proxy.version),
        Err(reason) => format!("no reverse proxy ({reason})"),
    };
    let mut bench = Bench {
        world,
        machine,
        effort: effort(cli.quick),
        quick: cli.quick,
        seed,
        started: Instant::now(),
    };
    let sections = sections(&mut bench, cli).await;
    let took = bench.started.elapsed();
    let Bench { world, machine, .. } = bench;
    // Children that have ended count as ours in the watch.
    drop(world);
    let foreign = watch.foreign_share();
    let mut lines = vec![
        format!(
            "Run: {:.0} s, seed {seed}{}, Waypost {}, {proxy} (keep-alive to the model server, no buffering, access log as Waypost's).",
            took.as_secs_f64(),
            if cli.quick {
                ", **quick: a check of the bench, no measurement**"
            } else {
                ""
            },
            env!("CARGO_PKG_VERSION"),
        ),
        format!(
            "Quiet: before the run other processes used {:.0} % of the processors (load average {load}), during it {:.0} %.",
            busy * 100.0,
            foreign * 100.0,
        ),
    ];
    if busy.max(foreign) > QUIET_SHARE {
        lines.push(
            "**The machine was busy: these numbers are not good for comparison.**".to_owned(),
        );
    }
    let report = Report {
        machine: &machine,
        sections: &sections,
        run: &lines,
    };
    let markdown = report.markdown();
    println!("{markdown}");
    if let Some(out) = &cli.out {
        if let Some(parent) = out.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(out, &markdown).with_context(|| format!("cannot write {}", out.display()))?;
        eprintln!("written to {}", out.display());
    }
    ensure!(
        !sections.iter().any(|section| section.failed),
        "not every part was measured"
    );
    Ok(())
}

/// The share of the processors that others use; an error when that is too much.
async fn quiet(cli: &Cli) -> anyhow::Result<f64> {
    let start = Instant::now();
    loop {
        let busy = machine::busy_share().await;
        if busy <= QUIET_SHARE || cli.force || cli.quick {
            return Ok(busy);
        }
        if start.elapsed() > CALM_DOWN {
            bail!(
                "other processes use {:.0} % of the processors; stop them, or measure anyway with --force",
                busy * 100.0
            );
        }
        eprintln!(
            "waiting: other processes use {:.0} % of the processors",
            busy * 100.0
        );
    }
}

/// Every part that is wanted. One that fails is told in its place and does not stop the others.
async fn sections(bench: &mut Bench, cli: &Cli) -> Vec<Section> {
    let wanted = |part: Part| cli.only.is_empty() || cli.only.contains(&part);
    let mut sections = Vec::new();
    for part in Part::value_variants() {
        if !wanted(*part) {
            continue;
        }
        let one = |section: Section| vec![section];
        let measured = match part {
            Part::Foreground => foreground::measure(bench).await,
            Part::Background => background::measure(bench).await.map(one),
            Part::Lag => lag::measure(bench).await.map(one),
            Part::Exchange => exchange::measure(bench).await.map(one),
            Part::Authentication => authentication::measure(bench).await.map(one),
            Part::Tools => tools::measure(bench, cli.schemas.as_deref()).map(one),
            Part::Memory => memory::measure(bench).await.map(one),
            Part::Recovery => recovery::measure(bench).await.map(one),
        };
        sections.extend(measured.unwrap_or_else(|error| vec![failed(*part, &error)]));
    }
    if cli.only.is_empty() {
        sections.push(authentication::not_built());
    }
    sections
}

fn failed(part: Part, error: &anyhow::Error) -> Section {
    let name = format!("{part:?}").to_lowercase();
    eprintln!("{name} failed: {error:#}");
    Section {
        title: "A part that failed",
        method: format!("The part `{name}` was not measured."),
        rows: vec![Row::new(name).missing(format!("It failed: {error:#}"))],
        failed: true,
    }
}

fn effort(quick: bool) -> Effort {
    if quick {
        return Effort {
            warm_up: 1,
            rounds: 3,
            pairs: 60,
            loop_time: Duration::from_millis(120),
        };
    }
    Effort {
        warm_up: 2,
        rounds: 9,
        pairs: 300,
        loop_time: Duration::from_millis(350),
    }
}

fn seed_of_the_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.as_secs())
}
