//! The runtime of this process: made when it is first needed, and made anew in a child after `fork()`.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use arc_swap::ArcSwapOption;
use dockerkit::{Error, Result};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

static CURRENT: ArcSwapOption<Runtime> = ArcSwapOption::const_empty();

/// The runtime of this process.
pub(crate) fn get() -> Result<Arc<Runtime>> {
    if let Some(there) = CURRENT.load_full() {
        return Ok(there);
    }
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    let made = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("dockerkit")
        .enable_all()
        .build()
        .map_err(|e| Error::new(dockerkit::ErrorKind::Io, format!("no threads could be started: {e}")).source(e))?;
    let made = Arc::new(made);
    let before = CURRENT.compare_and_swap(&None::<Arc<Runtime>>, Some(made.clone()));
    let Some(first) = before.as_ref().cloned() else { return Ok(made) };
    // Another thread was faster; this one has no work yet.
    if let Some(spare) = Arc::into_inner(made) {
        spare.shutdown_background();
    }
    Ok(first)
}

/// Forgets the parent's runtime, whose threads do not exist in this process. It must not be dropped: that would wait
/// for them.
pub(crate) fn after_fork() {
    std::mem::forget(CURRENT.swap(None));
    dockerkit::call::after_fork();
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
