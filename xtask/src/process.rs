//! Child processes that never outlive xtask.
//!
//! Every child leads a process group of its own and stands in one registry. It is ended and reaped
//! when its handle is dropped (a panic drops it too) and when a signal ends xtask. Signals go to the
//! process id that was started here and to nothing else.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Between two looks at a child that is waited for.
const POLL: Duration = Duration::from_millis(10);
/// What a child gets to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(8);

static LIVE: Mutex<Registry> = Mutex::new(Registry {
    closed: false,
    next: 0,
    children: BTreeMap::new(),
    until_interrupted: None,
});

struct Registry {
    /// Set by a signal: nothing is started any more.
    closed: bool,
    next: u64,
    children: BTreeMap<u64, Arc<Mutex<Child>>>,
    /// Somebody waits for Ctrl-C and then ends everything in order.
    until_interrupted: Option<Sender<()>>,
}

/// A started child. Dropping it ends it.
pub struct Running {
    key: u64,
    name: String,
    pid: u32,
    child: Arc<Mutex<Child>>,
}

/// Starts `command` as the leader of its own process group, with nothing to read.
pub fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Running> {
    // Under the lock: a signal either finds the child in the registry or forbids it.
    let mut live = lock(&LIVE);
    if live.closed {
        bail!("stopping: {name} is not started");
    }
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let pid = child.id();
    let child = Arc::new(Mutex::new(child));
    let key = live.next;
    live.next += 1;
    live.children.insert(key, child.clone());
    Ok(Running {
        key,
        name: name.to_owned(),
        pid,
        child,
    })
}

/// Runs `command` to its end.
pub fn run(name: &str, command: &mut Command) -> anyhow::Result<ExitStatus> {
    spawn(name, command)?.wait()
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the child writes to its standard output, if that is a pipe; once.
    pub fn stdout(&self) -> anyhow::Result<std::process::ChildStdout> {
        let stdout = lock(&self.child).stdout.take();
        stdout.with_context(|| format!("the output of {} is not a pipe", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        let status = lock(&self.child).try_wait();
        status.with_context(|| format!("cannot look after {}", self.name))
    }

    pub fn wait(&self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
    }

    /// SIGKILL, as a crash would be. Returns once it is reaped.
    pub fn kill(&self) -> anyhow::Result<()> {
        let mut child = lock(&self.child);
        let killed = child.kill().and_then(|()| child.wait());
        killed.with_context(|| format!("cannot kill {}", self.name))?;
        Ok(())
    }

    /// SIGTERM; SIGKILL after a grace.
    pub fn terminate(&self) {
        end(std::slice::from_ref(&self.child));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.terminate();
        lock(&LIVE).children.remove(&self.key);
    }
}

/// Ends every child when SIGINT, SIGTERM or SIGHUP comes, then xtask itself.
pub fn watch_signals() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot watch signals")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let mut live = lock(&LIVE);
            if let Some(waiting) = live.until_interrupted.take()
                && waiting.send(()).is_ok()
            {
                continue;
            }
            live.closed = true;
            let children: Vec<_> = live.children.values().cloned().collect();
            drop(live);
            eprintln!("\nInterrupted: stopping {} processes.", children.len());
            end(&children);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Whether a signal is ending xtask. What fails now fails because of that.
pub fn is_stopping() -> bool {
    lock(&LIVE).closed
}

/// The next signal of [`watch_signals`] sends here instead of ending xtask.
pub fn until_interrupted() -> Receiver<()> {
    let (sender, receiver) = channel();
    lock(&LIVE).until_interrupted = Some(sender);
    receiver
}

fn end(children: &[Arc<Mutex<Child>>]) {
    for child in children {
        signal_group("TERM", &mut lock(child));
    }
    let deadline = Instant::now() + GRACE;
    for child in children {
        while is_running(&mut lock(child)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let mut child = lock(child);
        signal_group("KILL", &mut child);
        let _ = child.wait();
    }
}

/// To the child and to what it started. Only while the child is not reaped: until then its id, and
/// so its group's, is taken.
fn signal_group(signal: &str, child: &mut Child) {
    if is_running(child) {
        let group = format!("-{}", child.id());
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s \"$0\" -- \"$1\"", signal, &group]);
        let _ = kill.stdin(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// What these locks guard stays whole whatever happens under them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exists(pid: u32) -> bool {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -0 \"$0\" 2>/dev/null", &pid.to_string()]);
        kill.status().unwrap().success()
    }

    #[test]
    fn a_dropped_child_is_gone_and_reaped() {
        let child = spawn("sleep", Command::new("sleep").arg("60")).unwrap();
        let pid = child.pid();
        assert!(exists(pid));
        drop(child);
        assert!(!exists(pid));
    }

    #[test]
    fn a_panic_ends_children_too() {
        let (sender, receiver) = channel();
        let panicked = std::thread::spawn(move || {
            let child = spawn("sleep", Command::new("sleep").arg("60")).unwrap();
            sender.send(child.pid()).unwrap();
            panic!("on purpose");
        })
        .join();
        assert!(panicked.is_err());
        assert!(!exists(receiver.recv().unwrap()));
    }

    #[test]
    fn what_a_child_started_ends_with_it() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!; wait"]);
        let child = spawn("sh", shell.stdout(Stdio::piped())).unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        assert!(exists(grandchild));
        drop(child);
        // It is reaped by whoever inherits it, a moment later.
        let deadline = Instant::now() + Duration::from_secs(5);
        while exists(grandchild) {
            assert!(Instant::now() < deadline, "the grandchild is still there");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn a_status_is_reported() {
        let status = run("sh", Command::new("sh").args(["-c", "exit 3"])).unwrap();
        assert_eq!(status.code(), Some(3));
    }
}
