//! Log lines go to standard error by way of a thread: when whoever reads them
//! is slow, lines are dropped and counted, and no request waits.
//!
//! A line that comes after silence is written at once; those that follow it
//! within [`GATHER`] are written together. While the thread gathers, sending a
//! line wakes nobody: under load that saves two system calls a request.
//!
//! One event is one line: text from outside (a model server's error message)
//! may hold line breaks and terminal sequences, with which it could write lines
//! of its own or move the cursor over others.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines waiting at most.
const QUEUE: usize = 8192;
/// How long lines are gathered after a write.
const GATHER: Duration = Duration::from_millis(2);
/// Bytes of lines written at once, about.
const BATCH: usize = 64 * 1024;
/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where the subscriber writes.
pub(super) struct LogWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Writes out what is queued when it is dropped.
pub struct LogGuard {
    lines: SyncSender<Message>,
    done: Receiver<()>,
}

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// One event being written; the subscriber writes it in one piece.
pub(super) struct Line<'a>(&'a LogWriter);

/// Starts the thread, writing to `out`.
pub(super) fn start(mut out: impl Write + Send + 'static) -> io::Result<(LogWriter, LogGuard)> {
    let (lines, queue) = mpsc::sync_channel(QUEUE);
    let (finished, done) = mpsc::channel();
    let dropped = Arc::new(AtomicU64::new(0));
    let dropped_too = Arc::clone(&dropped);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let mut batch = Vec::new();
            let mut stopping = false;
            while !stopping && let Ok(mut message) = queue.recv() {
                batch.clear();
                loop {
                    match message {
                        Message::Line(line) if batch.is_empty() => batch = line,
                        Message::Line(line) => batch.extend_from_slice(&line),
                        Message::Stop => stopping = true,
                    }
                    if stopping || batch.len() >= BATCH {
                        break;
                    }
                    match queue.try_recv() {
                        Ok(next) => message = next,
                        Err(_) => break,
                    }
                }
                // Nobody is left to be told when the log itself fails.
                let _ = out.write_all(&batch);
                let lost = dropped_too.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "{lost} log lines were dropped: the log's reader is slow"
                    );
                }
                if !stopping {
                    thread::sleep(GATHER);
                }
            }
            let _ = out.flush();
            let _ = finished.send(());
        })?;
    let guard = LogGuard {
        lines: lines.clone(),
        done,
    };
    Ok((LogWriter { lines, dropped }, guard))
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self
            .0
            .lines
            .try_send(Message::Line(one_line(line)))
            .is_err()
        {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event with its control characters escaped, but for the line break at
/// its end.
fn one_line(event: &[u8]) -> Vec<u8> {
    let end = event.len() - usize::from(event.ends_with(b"\n"));
    let mut line = Vec::with_capacity(event.len());
    for byte in &event[..end] {
        if byte.is_ascii_control() && *byte != b'\t' {
            line.extend(byte.escape_ascii());
        } else {
            line.push(*byte);
        }
    }
    line.extend_from_slice(&event[end..]);
    line
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_LINES;
        // A full queue empties, unless the log's reader is stuck.
        while let Err(TrySendError::Full(_)) = self.lines.try_send(Message::Stop) {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(GATHER);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = self.done.recv_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Says that it was called, and blocks until the gate opens.
    struct Gated(Arc<Mutex<Vec<u8>>>, Receiver<()>, mpsc::Sender<()>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.2.send(());
            // Open for good once the other end is gone.
            let _ = self.1.recv();
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let event = "a\tb\nc\r\u{1b}[31mé\n".as_bytes();
        let line = "a\tb\\nc\\r\\x1b[31mé\n".as_bytes();
        assert_eq!(one_line(event), line);
        assert_eq!(one_line(b"a\n\n"), b"a\\n\n");
        assert_eq!(one_line(b""), b"");
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_holds_nobody() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (gate, gated) = mpsc::channel();
        let (enter, entered) = mpsc::channel();
        let out = Gated(Arc::clone(&written), gated, enter);
        let (writer, guard) = start(out).expect("a thread");
        let log = |n: usize| {
            let mut line = writer.make_writer();
            line.write_all(format!("{n}\n").as_bytes())
                .expect("never fails");
        };
        log(0);
        entered.recv().expect("the thread writes");
        (1..=QUEUE + 100).for_each(log);
        assert_eq!(writer.dropped.load(Ordering::Relaxed), 100);
        drop(gate);
        drop(guard);
        let text = String::from_utf8(written.lock().expect("not poisoned").clone()).expect("UTF-8");
        assert!(text.starts_with("0\n1\n2\n"));
        assert!(text.contains(&format!("\n{QUEUE}\n")));
    }
}
