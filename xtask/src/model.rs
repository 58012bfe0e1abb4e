//! A small real model, whose template knows no tools, behind llama.cpp's real server, and a Waypost
//! in front that is told only the server's dialect: what `tests/model` asks a hundred calls of.
//!
//! Model and server are the demo's, installed where the demo has them.

use std::process::Command;

use anyhow::Context;

use crate::demo::{
    self,
    prepare::{self, MODEL_NAME},
    stage::{Model, Service, Stage},
};
use crate::tools::{Binaries, Venv, root, target};

/// What judges the calls, with the formats that need a package of their own.
const JUDGE: [&str; 2] = ["jsonschema==4.26.0", "rfc3339-validator==0.1.4"];

/// Installs what is needed, unless it is there.
pub fn prepare() -> anyhow::Result<Venv> {
    std::fs::create_dir_all(target().join("demo"))?;
    let venv = prepare::venv()?;
    for packages in [
        &prepare::SDK[..],
        &prepare::MODEL_SERVER,
        &prepare::MODEL,
        &JUDGE,
    ] {
        let names = || format!("{} cannot be installed", packages.join(" "));
        venv.install(packages).with_context(names)?;
    }
    Ok(venv)
}

/// Everything that runs. Dropping it ends it.
pub struct Scene {
    stage: Stage,
    admin_key: String,
    waypost: Service,
    _server: Service,
}

impl Scene {
    pub fn start(venv: &Venv, binaries: Binaries) -> anyhow::Result<Self> {
        let stage = Stage::new(target().join("test").join("model"), binaries)?;
        let server = stage.model(venv)?;
        let model = Model {
            base_url: format!("{}/v1", server.url),
            name: MODEL_NAME.to_owned(),
            dialect: "llama.cpp",
            continues: true,
            is_own: false,
        };
        stage.configure(&model, None)?;
        let admin_key = demo::admin_key()?;
        let waypost = stage.waypost("127.0.0.1:0", &admin_key)?;
        Ok(Self {
            stage,
            admin_key,
            waypost,
            _server: server,
        })
    }

    /// What asks and judges. Every response is written to `responses.jsonl` beside the logs.
    pub fn client(&self, venv: &Venv) -> Command {
        let mut client = Command::new(venv.python());
        client
            .arg("-u")
            .arg(root().join("tests/model/strict_calls.py"))
            .arg(&self.waypost.url)
            .arg(self.stage.folder.join("responses.jsonl"));
        client
    }

    /// Lets the client make itself a key.
    pub fn trust<'c>(&self, client: &'c mut Command) -> &'c mut Command {
        client.env("WAYPOST_ADMIN_KEY", &self.admin_key)
    }
}
