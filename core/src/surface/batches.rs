//! Streams on their way into another language: items cross in batches, and the next batch is made while one is used.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Reply, attach::encode};
use crate::{
    call::BoxFuture,
    error::{Error, Result},
    stream::{Items, Merge},
};

/// How long a batch is open from its first item on; while its reader is busy with the one before, it stays open.
const OPEN: Duration = Duration::from_millis(1);
/// How many items a batch may hold.
const ITEMS: usize = 256;
/// How many parts that would not become one a batch may hold.
const PARTS: usize = 32;

/// A stream whose items come in batches: what comes in a burst crosses together.
pub struct BatchStream {
    closer: StreamCloser,
    batches: mpsc::Receiver<Result<Reply>>,
}

impl fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchStream")
    }
}

/// Ends a [`BatchStream`] from another thread, also while its next batch is waited for.
#[derive(Clone)]
pub struct StreamCloser(Arc<Shared>);

struct Shared {
    /// What makes the batches, until somebody asks for the first.
    pump: Mutex<Option<BoxFuture<()>>>,
    closed: CancellationToken,
}

impl fmt::Debug for StreamCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamCloser")
    }
}

impl StreamCloser {
    fn take(&self) -> Option<BoxFuture<()>> {
        self.0.pump.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the stream and the work behind it; a batch that is waited for is the end.
    pub fn close(&self) {
        self.0.closed.cancel();
        drop(self.take());
    }
}

impl BatchStream {
    pub(super) fn new<T: Serialize + Send + 'static>(stream: Items<T>, merge: Option<Merge<T>>) -> Self {
        // One batch waits while another is made: a reader that stops holds no more than these.
        let (sender, batches) = mpsc::channel(1);
        let closed = CancellationToken::new();
        let told = sender.clone();
        let work = async move {
            // A stream that panics must not look like one that has ended.
            if AssertUnwindSafe(pump(stream, merge, sender)).catch_unwind().await.is_err() {
                told.send(Err(Error::internal("a stream panicked"))).await.unwrap_or_default();
            }
        };
        let work = closed.clone().run_until_cancelled_owned(work);
        let pump: BoxFuture<()> = Box::pin(async move { work.await.unwrap_or_default() });
        Self { closer: StreamCloser(Arc::new(Shared { pump: Mutex::new(Some(pump)), closed })), batches }
    }

    /// What ends it.
    #[must_use]
    pub fn closer(&self) -> StreamCloser {
        self.closer.clone()
    }

    /// The next batch, a JSON list with attachments; none at the end. A batch is not lost when the wait for it is dropped.
    pub async fn next(&mut self) -> Option<Result<Reply>> {
        if let Some(pump) = self.closer.take() {
            tokio::spawn(pump);
        }
        let closed = self.closer.0.closed.clone();
        closed.run_until_cancelled(self.batches.recv()).await.flatten()
    }
}

/// Makes batches until the stream or its reader is gone.
async fn pump<T: Serialize + Send>(mut stream: Items<T>, merge: Option<Merge<T>>, sender: mpsc::Sender<Result<Reply>>) {
    let most = if merge.is_some() { PARTS } else { ITEMS };
    loop {
        let mut batch = Batch { items: Vec::new(), merge, end: None };
        tokio::select! {
            biased;
            () = sender.closed() => return,
            first = stream.next() => batch.take(first),
        }
        let mut open = std::pin::pin!(tokio::time::sleep(OPEN));
        while batch.end.is_none() && batch.items.len() < most {
            tokio::select! {
                biased;
                permit = sender.reserve(), if open.is_elapsed() => {
                    drop(permit);
                    break;
                }
                () = &mut open, if !open.is_elapsed() => {}
                next = stream.next() => batch.take(next),
            }
        }
        if !batch.items.is_empty() && sender.send(encode(&batch.items)).await.is_err() {
            return;
        }
        match batch.end {
            None => {}
            Some(None) => return,
            Some(Some(e)) => return sender.send(Err(e)).await.unwrap_or_default(),
        }
    }
}

struct Batch<T> {
    items: Vec<T>,
    merge: Option<Merge<T>>,
    /// The end of the stream, by an error or without one.
    end: Option<Option<Error>>,
}

impl<T> Batch<T> {
    /// Takes in what the stream gave.
    fn take(&mut self, next: Option<Result<T>>) {
        let item = match next {
            Some(Ok(item)) => item,
            Some(Err(e)) => return self.end = Some(Some(e)),
            None => return self.end = Some(None),
        };
        let rest = match (self.merge, self.items.last_mut()) {
            (Some(merge), Some(last)) => merge(last, item),
            _ => Some(item),
        };
        self.items.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::Stream;

    use super::*;

    fn batches(stream: impl Stream<Item = Result<u32>> + Send + 'static) -> BatchStream {
        BatchStream::new(Box::pin(stream), None)
    }

    #[tokio::test]
    async fn a_burst_is_one_batch_and_an_error_comes_after_it() {
        let items = futures_util::stream::iter([Ok(1), Ok(2), Err(Error::invalid("no")), Ok(3)]);
        let mut batches = batches(items);
        assert_eq!(batches.next().await.unwrap().unwrap().json, "[1,2]");
        assert!(batches.next().await.unwrap().is_err());
        assert!(batches.next().await.is_none());
    }

    #[tokio::test]
    async fn what_was_taken_stays_when_the_wait_is_dropped() {
        let (to, from) = tokio::sync::mpsc::unbounded_channel::<u32>();
        let items = futures_util::stream::unfold(from, |mut from| async { from.recv().await.map(|item| (Ok(item), from)) });
        let mut batches = batches(items);
        to.send(7).unwrap();
        assert!(futures_util::FutureExt::now_or_never(batches.next()).is_none());
        assert_eq!(batches.next().await.unwrap().unwrap().json, "[7]");
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_ends_whoever_holds_it() {
        // What the stream holds is let go of before the first batch, and while one is waited for.
        for begun in [false, true] {
            let (held, gone) = tokio::sync::oneshot::channel::<()>();
            let endless = futures_util::stream::unfold(gone, |gone| async move {
                gone.await.ok();
                None::<(Result<u32>, _)>
            });
            let mut batches = batches(endless);
            let closer = batches.closer();
            let waiting = begun.then(|| tokio::spawn(async move { batches.next().await.is_none() }));
            tokio::task::yield_now().await;
            closer.close();
            let mut held = held;
            tokio::time::timeout(Duration::from_secs(5), held.closed()).await.unwrap();
            if let Some(waiting) = waiting {
                assert!(waiting.await.unwrap());
            }
        }
    }
}
