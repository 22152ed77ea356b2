//! A thread that owns a connection, and a handle that asks it to do things.
//!
//! SQLite's calls block; on their own thread they block nobody else, and a source is read while a target is
//! written. A job whose caller went away is still carried out: every job is a transaction of its own.

use tidewater_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The handle. Dropping it ends the thread and closes the connection.
pub(crate) struct Worker<S> {
    jobs: Option<mpsc::Sender<Job<S>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread with its state. The name is what debuggers and profilers show.
    pub(crate) fn start(name: &str, mut state: S) -> Result<Self> {
        // One job is asked for at a time; a second slot keeps a caller that was cancelled from blocking the next.
        let (jobs, mut inbox) = mpsc::channel::<Job<S>>(2);
        let work = move || {
            while let Some(job) = inbox.blocking_recv() {
                job(&mut state);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        let thread = thread.map_err(|e| Error::internal(format!("no thread for a SQLite connection: {e}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `job` on the thread and waits for its result.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = oneshot::channel();
        let job: Job<S> = Box::new(move |state| {
            let _ = answer.send(job(state));
        });
        let gone = || Error::internal("the thread of a SQLite connection ended");
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.jobs = None;
        // Joined, so that the file is closed and its lease free when the handle is gone.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
