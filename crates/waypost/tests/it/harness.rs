//! Runs the real binary on a free port with a directory of its own, and talks
//! to it.
//!
//! ```ignore
//! let server = TestServer::start().await;
//! let reply = server.admin().get("/v1/organization/projects").await;
//! assert_eq!(reply.status, 200, "{reply:?}");
//! ```
//!
//! A server is killed when its [`TestServer`] is dropped: its own child, by its
//! process id, and nothing else. On a panic the server's log goes to the test's
//! output.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shapes;

/// The admin key that every test server accepts.
pub const ADMIN_KEY: &str = "sk-admin-integration-tests-0123456789";
/// A server that is not ready, or does not stop, within this has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// How a test server is to be; see [`TestServer::builder`].
#[derive(Default)]
pub struct Builder {
    config: String,
    env: Vec<(String, String)>,
    data: Option<PathBuf>,
}

/// A running server.
pub struct TestServer {
    /// Where it is, without a trailing slash.
    pub base_url: String,
    dir: TempDir,
    env: Vec<(String, String)>,
    /// `None` while it is not running.
    child: Option<Child>,
}

/// Talks to a server with one credential, or none.
#[derive(Clone)]
pub struct Client {
    base_url: String,
    key: Option<String>,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub json: Value,
    pub text: String,
}

impl Builder {
    /// Adds lines to the configuration file.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Starts on a copy of this data directory.
    pub fn data(mut self, dir: &Path) -> Self {
        self.data = Some(dir.to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it serves.
    pub async fn start(self) -> TestServer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("waypost.toml"), &self.config).expect("a written configuration");
        if let Some(from) = &self.data {
            let data = dir.path().join("data");
            fs::create_dir(&data).expect("a data directory");
            for entry in fs::read_dir(from).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name");
                fs::copy(&path, data.join(name)).expect("a copy");
            }
        }
        let mut server = TestServer {
            base_url: String::new(),
            dir,
            env: self.env,
            child: None,
        };
        server.spawn("127.0.0.1:0").await;
        server
    }
}

impl TestServer {
    /// A server with defaults.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client with the admin key.
    pub fn admin(&self) -> Client {
        self.client(ADMIN_KEY)
    }

    /// A client with any bearer credential.
    pub fn client(&self, key: &str) -> Client {
        Client {
            key: Some(key.to_owned()),
            ..self.anonymous()
        }
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Client {
        Client {
            base_url: self.base_url.clone(),
            key: None,
            http: reqwest::Client::builder()
                .timeout(LIMIT)
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    /// A project, a service account in it and the account's key.
    pub async fn project(&self, name: &str) -> Tenant {
        let admin = self.admin();
        let project = admin
            .post("/v1/organization/projects", json!({ "name": name }))
            .await
            .ok();
        let project_id = project.text("id");
        let account = admin
            .post(
                &format!("/v1/organization/projects/{project_id}/service_accounts"),
                json!({ "name": "worker" }),
            )
            .await
            .ok();
        Tenant {
            project_id,
            service_account_id: account.text("id"),
            key: account.json["api_key"]["value"]
                .as_str()
                .expect("a key")
                .to_owned(),
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// The directory that is the server's own: configuration, data, log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has logged so far, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log holds the text; the lines that do.
    pub async fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = self.log();
            let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
            let lines = lines.join("\n");
            if !lines.is_empty() {
                return lines;
            }
            assert!(
                Instant::now() < deadline,
                "`{text}` never came into the log"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM, then waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait().await
    }

    /// SIGKILL: a crash.
    pub async fn kill9(&mut self) {
        self.signal("KILL");
        self.wait().await;
    }

    /// SIGSTOP: the process sleeps without knowing.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// SIGCONT
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// Ends it in good order, if it runs, and starts it again on the same port
    /// and data.
    pub async fn restart(&mut self) {
        if self.child.is_some() {
            let status = self.terminate().await;
            assert!(status.success(), "{status}");
        }
        let address = self.base_url.split_once("://").expect("a URL").1.to_owned();
        self.spawn(&address).await;
    }

    /// Sends a signal to the server's process.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: not every machine has the program.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -s {name} {}", self.pid()))
            .status()
            .expect("sh runs");
        assert!(status.success(), "cannot send {name}");
    }

    /// Waits until the process has ended.
    pub async fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server did not end\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    async fn spawn(&mut self, listen: &str) {
        assert!(self.child.is_none(), "the server runs already");
        let dir = self.dir.path();
        let ready = dir.join("ready");
        let _ = fs::remove_file(&ready);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let child = waypost()
            .args(["serve", "--listen", listen, "--config"])
            .arg(dir.join("waypost.toml"))
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .env("WAYPOST_ADMIN_KEY", ADMIN_KEY)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.child = Some(child);
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Ok(url) = fs::read_to_string(&ready) {
                url.trim().clone_into(&mut self.base_url);
                return;
            }
            let ended = self
                .child
                .as_mut()
                .expect("just started")
                .try_wait()
                .expect("a child of ours");
            assert!(
                ended.is_none(),
                "the server ended: {ended:?}\n{}",
                self.log()
            );
            assert!(
                Instant::now() < deadline,
                "not ready in time\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
    }
}

/// What [`TestServer::project`] made.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub project_id: String,
    pub service_account_id: String,
    pub key: String,
}

/// The binary, without any of the caller's own `WAYPOST_` variables.
pub fn waypost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAYPOST_") {
            command.env_remove(name);
        }
    }
    command
}

impl Client {
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A request to refine before [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base_url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a body");
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if json["object"] == "response"
            && let Err(fault) = shapes::judge_response(&json)
        {
            panic!("{fault}");
        }
        Reply {
            status,
            headers,
            json,
            text,
        }
    }
}

impl Reply {
    /// Itself, if it is a 200.
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }

    /// A string of the body's top level.
    pub fn text(&self, key: &str) -> String {
        self.json[key]
            .as_str()
            .unwrap_or_else(|| panic!("no string `{key}` in {}", self.text))
            .to_owned()
    }

    /// Checks the error envelope: the status, all four keys, `param` and
    /// `code`; the message.
    pub fn error(&self, status: u16, param: Option<&str>, code: Option<&str>) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let error = self.json["error"].as_object().expect(&self.text);
        let keys: Vec<_> = error.keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "type", "param", "code"], "{}", self.text);
        assert_eq!(error["param"].as_str(), param, "{}", self.text);
        assert_eq!(error["code"].as_str(), code, "{}", self.text);
        assert!(self.headers.contains_key("x-request-id"));
        error["message"].as_str().expect("a message").to_owned()
    }
}
