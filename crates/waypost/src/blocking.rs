//! Work that takes long, done away from the threads that serve.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinError};

/// Pieces of work that are done at once.
const AT_ONCE: usize = 2;

/// Does a few pieces of work at a time; the others wait their turn.
pub struct Blocking(Arc<Semaphore>);

impl Default for Blocking {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Blocking {
    /// Does the work on a thread that may block. A caller that stops waiting
    /// does not stop the work.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // Nobody closes the semaphore. The permit goes with the work, because
        // whoever waits for it may leave.
        let permit = Arc::clone(&self.0).acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One thread serves here: it must not be the one that works.
    #[tokio::test(flavor = "current_thread")]
    async fn work_keeps_nobody_waiting() {
        let blocking = Blocking::default();
        let (tell, told) = std::sync::mpsc::channel();
        let work = tokio::spawn(async move { blocking.run(move || told.recv()).await });
        tokio::task::yield_now().await;
        tell.send(5).expect("somebody works");
        let said = work.await.expect("a task").expect("an end");
        assert_eq!(said, Ok(5));
    }
}
