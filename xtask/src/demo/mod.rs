//! `cargo xtask demo`: the main job of Waypost, watched.
//!
//! A workload without an API key exchanges its own JWT, asks for a long answer in the background,
//! drops its connection, resumes at the exact event; Waypost is killed and started again in the
//! middle. The demo checks its own story: it ends with status 0 only if every step held.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

mod keep;
pub mod prepare;
pub mod stage;
mod story;
mod voice;
mod workload;

use self::prepare::{Prepared, model};
use self::stage::{Model, Service};
use self::story::Story;
use self::workload::{Ids, Said, Settings, Workload};
use crate::terminal::{green, span};

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
const MAX_OUTPUT_TOKENS: u32 = 400;
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
    stage.configure(&model, Some(&issuer.url))?;
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

fn set_up(prepared: &Prepared, settings: &Settings) -> anyhow::Result<Ids> {
    let since = Instant::now();
    let log = prepared.stage.log("admin");
    let ids = workload::set_up(&prepared.python, settings, &log)
        .context("the set-up over the admin API failed")?;
    voice::done(
        if prepared.has_sdk {
            "by OpenAI's SDK, with an admin key:"
        } else {
            "over plain HTTP (no SDK here), with an admin key:"
        },
        since,
    );
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

/// A key of 256 random bits for this run.
/// A new key of an administrator.
pub fn admin_key() -> anyhow::Result<String> {
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
