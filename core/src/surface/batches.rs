//! Streams on their way into another language: items cross in batches.

use std::{
    fmt,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Reply, attach::encode};
use crate::{
    call::fork_epoch,
    error::{Error, Result},
    stream::{Items, Merge},
};

/// What an error of a batch itself happened in.
const NEXT: &str = "stream.next";
/// How many items a batch may hold.
const ITEMS: usize = 256;
/// How long a batch of parts is open from its first on; while its reader is busy with the one before, it stays open.
const OPEN: Duration = Duration::from_millis(1);
/// How many parts that would not become one a batch may hold.
const PARTS: usize = 32;

/// A stream whose items come in batches: what comes in a burst crosses together.
#[derive(Debug)]
pub struct BatchStream(StreamCloser);

/// Ends a [`BatchStream`] from another thread, also while its next batch is waited for.
#[derive(Clone)]
pub struct StreamCloser(Arc<Shared>);

type Batches = Pin<Box<dyn Stream<Item = Result<Reply>> + Send>>;

struct Shared {
    /// None when it is closed.
    batches: Mutex<Option<Batches>>,
    closed: CancellationToken,
    /// The process that it is of.
    epoch: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Batches>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_elsewhere(&self) -> bool {
        self.epoch != fork_epoch()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            // The parent's runtime would forget its sockets.
            std::mem::forget(self.batches.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl fmt::Debug for StreamCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamCloser")
    }
}

impl StreamCloser {
    /// Ends the stream and the work behind it; a batch that is waited for is the end.
    pub fn close(&self) {
        // In a fork, the parent's locks may be held for ever.
        if self.0.is_elsewhere() {
            return;
        }
        self.0.closed.cancel();
        let batches = self.0.lock().take();
        drop(batches);
    }
}

impl BatchStream {
    pub(super) fn new<T: Serialize + Send + 'static>(stream: Items<T>, merge: Option<Merge<T>>) -> Self {
        let closed = CancellationToken::new();
        let batches: Batches = match merge {
            None => Box::pin(there(stream)),
            Some(merge) => Box::pin(ahead(stream, merge, closed.clone())),
        };
        Self(StreamCloser(Arc::new(Shared { batches: Mutex::new(Some(batches)), closed, epoch: fork_epoch() })))
    }

    /// What ends it.
    #[must_use]
    pub fn closer(&self) -> StreamCloser {
        self.0.clone()
    }

    /// The next batch, a JSON list with attachments; none at the end. A batch is not lost when the wait for it is dropped.
    pub async fn next(&mut self) -> Option<Result<Reply>> {
        let shared = &self.0.0;
        if shared.is_elsewhere() {
            let e = Error::invalid("this stream was begun by the process that this one is a fork of").op(NEXT);
            return Some(Err(e.hint("make the call again in this process")));
        }
        let next = poll_fn(|cx| match &mut *shared.lock() {
            Some(batches) => batches.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        });
        shared.closed.run_until_cancelled(next).await.flatten()
    }
}

/// Batches of the items that are there at once. Whoever waits for one reads the stream: while a batch is used, what comes
/// gathers where it comes from.
fn there<T: Serialize + Send + 'static>(stream: Items<T>) -> impl Stream<Item = Result<Reply>> {
    let whole = AssertUnwindSafe(stream).catch_unwind().map(|item| item.unwrap_or_else(|_| Err(panicked())));
    let batches = whole.ready_chunks(ITEMS).flat_map(|items| {
        let mut end = None;
        let items: Vec<T> = items.into_iter().map_while(|item| item.map_err(|e| end = Some(e)).ok()).collect();
        let batch = (!items.is_empty()).then(|| encode(&items));
        futures_util::stream::iter(batch.into_iter().chain(end.map(Err)))
    });
    // An error is the end.
    batches.scan(false, |over, batch| {
        let is_over = std::mem::replace(over, batch.is_err());
        std::future::ready((!is_over).then_some(batch))
    })
}

/// Batches of which the next is made while one is used.
fn ahead<T: Serialize + Send + 'static>(stream: Items<T>, merge: Merge<T>, closed: CancellationToken) -> impl Stream<Item = Result<Reply>> {
    let begun = async move {
        // One batch waits while another is made: a reader that stops holds no more than these.
        let (sender, mut batches) = mpsc::channel(1);
        let told = sender.clone();
        tokio::spawn(closed.run_until_cancelled_owned(async move {
            // A stream that panics must not look like one that has ended.
            if AssertUnwindSafe(pump(stream, merge, sender)).catch_unwind().await.is_err() {
                told.send(Err(panicked())).await.unwrap_or_default();
            }
        }));
        futures_util::stream::poll_fn(move |cx| batches.poll_recv(cx))
    };
    begun.flatten_stream()
}

fn panicked() -> Error {
    Error::internal("a stream panicked").op(NEXT)
}

/// Makes batches until the stream or its reader is gone.
async fn pump<T: Serialize + Send>(mut stream: Items<T>, merge: Merge<T>, sender: mpsc::Sender<Result<Reply>>) {
    loop {
        let mut batch = Batch { items: Vec::new(), merge, end: None };
        tokio::select! {
            biased;
            () = sender.closed() => return,
            first = stream.next() => batch.take(first),
        }
        let mut open = std::pin::pin!(tokio::time::sleep(OPEN));
        while batch.end.is_none() && batch.items.len() < PARTS {
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
    merge: Merge<T>,
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
        let rest = match self.items.last_mut() {
            Some(last) => (self.merge)(last, item),
            None => Some(item),
        };
        self.items.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items that are read by whoever waits for them, or parts that are read ahead.
    fn batches(stream: impl Stream<Item = Result<u32>> + Send + 'static, parts: bool) -> BatchStream {
        BatchStream::new(Box::pin(stream), parts.then_some(|_, item| Some(item)))
    }

    #[tokio::test]
    async fn a_burst_is_one_batch_and_an_error_comes_after_it() {
        for parts in [false, true] {
            let mut batches = batches(futures_util::stream::iter([Ok(1), Ok(2), Err(Error::invalid("no")), Ok(3)]), parts);
            assert_eq!(batches.next().await.unwrap().unwrap().json, "[1,2]");
            assert!(batches.next().await.unwrap().is_err());
            assert!(batches.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        for parts in [false, true] {
            let mut batches = batches(futures_util::stream::iter([1, 0]).map(|n| Ok(7 / n)), parts);
            let mut all = Vec::new();
            while let Some(batch) = batches.next().await {
                all.push(batch.map(|b| b.json).map_err(|e| e.kind()));
            }
            assert_eq!(all.last(), Some(&Err(crate::error::ErrorKind::Internal)), "{all:?}");
        }
    }

    #[tokio::test]
    async fn what_was_taken_stays_when_the_wait_is_dropped() {
        for parts in [false, true] {
            let (to, from) = mpsc::unbounded_channel::<u32>();
            let items = futures_util::stream::unfold(from, |mut from| async { from.recv().await.map(|item| (Ok(item), from)) });
            let mut batches = batches(items, parts);
            assert!(batches.next().now_or_never().is_none());
            to.send(7).unwrap();
            tokio::task::yield_now().await;
            assert_eq!(batches.next().await.unwrap().unwrap().json, "[7]");
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_ends_whoever_holds_it() {
        // What the stream holds is let go of before the first batch, and while one is waited for.
        for (begun, parts) in [(false, false), (true, false), (false, true), (true, true)] {
            let (mut held, gone) = tokio::sync::oneshot::channel::<()>();
            let endless = futures_util::stream::unfold(gone, |gone| async move {
                gone.await.ok();
                None
            });
            let mut batches = batches(endless, parts);
            let closer = batches.closer();
            let waiting = begun.then(|| tokio::spawn(async move { batches.next().await.is_none() }));
            tokio::task::yield_now().await;
            closer.close();
            tokio::time::timeout(Duration::from_secs(5), held.closed()).await.unwrap();
            if let Some(waiting) = waiting {
                assert!(waiting.await.unwrap());
            }
        }
    }
}
