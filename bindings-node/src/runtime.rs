//! The threads that do the work; they are made when they are first needed.

use std::{any::Any, panic::AssertUnwindSafe, sync::OnceLock};

use dockerkit::{Error, ErrorKind, Result};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

/// The runtime of this process, which all of Node's threads share.
pub(crate) fn get() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::result::Result<Runtime, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
        Builder::new_multi_thread().worker_threads(workers).thread_name("dockerkit").enable_all().build().map_err(|e| e.to_string())
    });
    made.as_ref().map_err(|e| Error::new(ErrorKind::Io, format!("no threads could be started: {e}")))
}

/// Runs `work` in such a way that a panic is an `internal` error.
pub(crate) async fn guarded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// The error for a panic.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("panic: {}", text.unwrap_or("no message")))
}
