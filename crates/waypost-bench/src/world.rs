//! What is measured and what it needs: the scripted model server, a plain reverse proxy, and
//! Waypost on a data directory of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::client::{Conn, Request};
use crate::clock::ClockUpstream;
use crate::process::Process;

/// Accepted by every Waypost of a run; they listen on loopback and live for minutes.
const ADMIN_KEY: &str = "sk-admin-bench-0123456789abcdef0123456789abcdef";
/// Requests in flight at an upstream: more than the bench ever has, so no slot is waited for.
const MAX_CONCURRENT: u32 = 4096;
const QUIET: Duration = Duration::from_millis(20);

/// Everything that stays for the whole run.
pub struct World {
    /// Removed at the end.
    pub dir: PathBuf,
    waypost: PathBuf,
    /// The scripted model server.
    pub upstream: SocketAddr,
    /// The model server whose tokens are times.
    pub clock: ClockUpstream,
    /// The reverse proxy in front of the scripted model server, or why there is none.
    pub proxy: Result<Proxy, String>,
    _upstream: Process,
}

/// nginx in front of the two model servers.
pub struct Proxy {
    pub address: SocketAddr,
    pub process: Process,
    pub version: String,
}

/// A running Waypost with one project, one service account and its key.
pub struct Waypost {
    pub address: SocketAddr,
    pub process: Process,
    pub project_id: String,
    pub service_account_id: String,
    pub key: String,
    dir: PathBuf,
}

impl World {
    /// Starts what stays. `binaries` holds `waypost` and `waypost-testkit`.
    pub async fn start(dir: PathBuf, binaries: &Path) -> anyhow::Result<Self> {
        let clock = ClockUpstream::start()?;
        let ready = dir.join("upstream.url");
        let log = dir.join("upstream.log");
        let mut command = Command::new(binaries.join("waypost-testkit"));
        command
            .args(["upstream", "--record", "1", "--ready-file"])
            .arg(&ready)
            .args(["--parent-pid", &std::process::id().to_string()]);
        let mut process = Process::start("the scripted model server", &mut command, &log)?;
        let upstream = address(&process.ready(&ready, &log).await?)?;
        let proxy = Proxy::start(&dir, upstream, clock.address).await;
        Ok(Self {
            waypost: binaries.join("waypost"),
            dir,
            upstream,
            clock,
            proxy,
            _upstream: process,
        })
    }

    /// Starts a Waypost on a fresh data directory. `name` is unique in the run; `responses` is
    /// added to the section of that name.
    pub async fn waypost(&self, name: &str, responses: &str) -> anyhow::Result<Waypost> {
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        let upstream = |name: &str, models: &str, at: SocketAddr, max: u32| {
            format!(
                "[[upstreams]]\nname = \"{name}\"\nbase_url = \"http://{at}/v1\"\n\
                 models = [\"{models}\"]\nmax_concurrent = {max}\n"
            )
        };
        let config = format!(
            "data_dir = '{}'\n[responses]\nmax_queued = 10000000\n{responses}\n\
             [identity]\nexchanges_per_client = 0\nexchanges_per_provider = 0\n{}{}{}",
            dir.join("data").display(),
            upstream("parked", "parked*", self.upstream, 1),
            upstream("clock", "clock*", self.clock.address, MAX_CONCURRENT),
            upstream("scripted", "*", self.upstream, MAX_CONCURRENT),
        );
        fs::write(dir.join("waypost.toml"), config)?;
        let (process, address) = self.launch(&dir).await?;
        let mut waypost = Waypost {
            address,
            process,
            project_id: String::new(),
            service_account_id: String::new(),
            key: String::new(),
            dir,
        };
        waypost.set_up().await?;
        Ok(waypost)
    }

    /// Kills it and starts it again on the same data; when the new process was started.
    pub async fn crash(&self, waypost: &mut Waypost) -> anyhow::Result<Instant> {
        let dir = waypost.dir.clone();
        // The guard ends the old process before the new one takes the directory's lock.
        let placeholder = Process::start("true", &mut Command::new("true"), &dir.join("log"))?;
        std::mem::replace(&mut waypost.process, placeholder).kill();
        let started = Instant::now();
        (waypost.process, waypost.address) = self.launch(&dir).await?;
        Ok(started)
    }

    async fn launch(&self, dir: &Path) -> anyhow::Result<(Process, SocketAddr)> {
        let ready = dir.join("url");
        let log = dir.join("log");
        let _ = fs::remove_file(&ready);
        let mut command = Command::new(&self.waypost);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WAYPOST_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(dir.join("waypost.toml"))
            .arg("--ready-file")
            .arg(&ready)
            .env("WAYPOST_ADMIN_KEY", ADMIN_KEY);
        let mut process = Process::start("waypost", &mut command, &log)?;
        let url = process.ready(&ready, &log).await?;
        Ok((process, address(&url)?))
    }
}

impl Waypost {
    /// A request to the admin API that must succeed.
    pub async fn admin(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::post(&format!("/v1/organization/{path}"), Some(ADMIN_KEY), body);
        let reply = Conn::to(self.address).await?.json(&request).await;
        reply.with_context(|| format!("the admin API refuses {path}"))
    }

    /// One sample of `/metrics`.
    pub async fn metric(&self, name: &str) -> anyhow::Result<Option<f64>> {
        let request = Request::get("/metrics", None);
        let (_, text) = Conn::to(self.address).await?.text(&request).await?;
        let line = text.lines().find(|line| line.starts_with(name));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()))
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        let project = self.admin("projects", &json!({"name": "bench"})).await?;
        self.project_id = text(&project, "/id")?;
        let accounts = format!("projects/{}/service_accounts", self.project_id);
        let account = self.admin(&accounts, &json!({"name": "bench"})).await?;
        self.service_account_id = text(&account, "/id")?;
        self.key = text(&account, "/api_key/value")?;
        // The key is in force once the directory was read again.
        let deadline = Instant::now() + Duration::from_secs(5);
        let request = Request::get("/v1/models", Some(&self.key));
        while Conn::to(self.address).await?.call(&request).await? == 401 {
            if Instant::now() > deadline {
                bail!("the new key is not in force after 5 s");
            }
            tokio::time::sleep(QUIET).await;
        }
        Ok(())
    }
}

impl Proxy {
    async fn start(dir: &Path, upstream: SocketAddr, clock: SocketAddr) -> Result<Self, String> {
        let version = Command::new("nginx")
            .arg("-v")
            .output()
            .map_err(|_| "nginx is not installed".to_owned())?;
        let version = String::from_utf8_lossy(&version.stderr);
        let version = version.trim().rsplit('/').next().unwrap_or("?").to_owned();
        let dir = dir.join("nginx");
        let started = Self::launch(&dir, upstream, clock).await;
        let (process, address) = started.map_err(|error| format!("nginx: {error:#}"))?;
        Ok(Self {
            address,
            process,
            version,
        })
    }

    async fn launch(
        dir: &Path,
        upstream: SocketAddr,
        clock: SocketAddr,
    ) -> anyhow::Result<(Process, SocketAddr)> {
        fs::create_dir(dir)?;
        // nginx cannot say which port it got: ask for a free one and give it back.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let here = dir.display();
        let config = format!(
            r#"daemon off;
worker_processes auto;
pid {here}/pid;
error_log {here}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log {here}/access.log;
  client_body_temp_path {here}/body;
  proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/fastcgi;
  uwsgi_temp_path {here}/uwsgi;
  scgi_temp_path {here}/scgi;
  keepalive_requests 1000000000;
  upstream model {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  upstream clock {{ server {clock}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen {address} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    location / {{ proxy_pass http://model; }}
    location /clock/ {{ proxy_pass http://clock/; }}
  }}
}}
"#
        );
        fs::write(dir.join("nginx.conf"), config)?;
        let log = dir.join("log");
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(dir.join("nginx.conf"));
        command.arg("-e").arg(dir.join("error.log"));
        let mut process = Process::start("nginx", &mut command, &log)?;
        process.ready(&dir.join("pid"), &log).await?;
        let request = Request::get("/v1/models", None);
        for _ in 0..250 {
            if let Ok(mut conn) = Conn::to(address).await
                && conn.call(&request).await.is_ok_and(|status| status == 200)
            {
                return Ok((process, address));
            }
            tokio::time::sleep(QUIET).await;
        }
        let errors = fs::read_to_string(dir.join("error.log")).unwrap_or_default();
        bail!(
            "no answer; {}",
            errors.lines().last().unwrap_or("no error logged")
        )
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let host = url.strip_prefix("http://").unwrap_or(url);
    host.parse().with_context(|| format!("no address: {url}"))
}

pub fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    let text = text.with_context(|| format!("no {pointer} in {value}"))?;
    Ok(text.to_owned())
}
