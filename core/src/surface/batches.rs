//! Streams on their way into another language: items cross in batches, and the next batch is made while one is used.

use std::{fmt, time::Duration};

use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Reply, attach::encode};
use crate::{
    call::BoxFuture,
    error::{Error, Result},
    stream::{Items, Merge},
};

/// How long a batch is open from its first item on; while its reader is busy with the one before, it stays open.
const OPEN: Duration = Duration::from_millis(2);
/// How many items a batch may hold.
const ITEMS: usize = 256;
/// How many parts that would not become one a batch may hold.
const PARTS: usize = 32;

/// A stream whose items come in batches: what comes in a burst crosses together.
pub struct BatchStream {
    /// What makes the batches, until somebody asks for the first.
    pump: Option<BoxFuture<()>>,
    batches: mpsc::Receiver<Result<Reply>>,
}

impl fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchStream")
    }
}

impl BatchStream {
    pub(super) fn new<T: Serialize + Send + 'static>(stream: Items<T>, merge: Option<Merge<T>>) -> Self {
        // One batch waits while another is made: a reader that stops holds no more than these.
        let (sender, batches) = mpsc::channel(1);
        Self { pump: Some(Box::pin(pump(stream, merge, sender))), batches }
    }

    /// The next batch, a JSON list with attachments; none at the end. A batch is not lost when the wait for it is dropped.
    pub async fn next(&mut self) -> Option<Result<Reply>> {
        if let Some(pump) = self.pump.take() {
            tokio::spawn(pump);
        }
        self.batches.recv().await
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
                next = stream.next() => batch.take(next),
                () = &mut open, if !open.is_elapsed() => {}
                permit = sender.reserve(), if open.is_elapsed() => {
                    drop(permit);
                    break;
                }
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
}
