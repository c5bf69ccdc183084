//! Archives that go to the engine while they are made, or while they come.

use std::io::Write;

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;

use super::tar::{BLOCK, begins_tar, read_error};
use crate::error::{Error, ErrorKind, Result};

/// What is said when nobody reads the archive any more.
pub(super) const UNWANTED: &str = "the engine reads no more of the archive";
/// How much is sent at once.
pub(super) const PART: usize = 128 << 10;
/// How many parts may wait to be sent.
const WAITING: usize = 4;

/// Where a thread writes what a request sends.
struct Sender(mpsc::Sender<std::io::Result<Bytes>>);

impl Write for Sender {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.blocking_send(Ok(Bytes::copy_from_slice(data))).map_err(|_| std::io::Error::other(Error::new(ErrorKind::Canceled, UNWANTED)))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What packs in the background, and the archive as it comes. The archive fails when the packing does, so that an engine never
/// takes a part of it for the whole; the error itself is the task's.
pub(super) fn packed(
    work: impl FnOnce(&mut dyn Write) -> Result<()> + Send + 'static,
) -> (tokio::task::JoinHandle<Result<()>>, BoxStream<'static, std::io::Result<Bytes>>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let task = tokio::task::spawn_blocking(move || {
        let mut sender = Sender(sender);
        let result = work(&mut sender);
        if let Err(e) = &result {
            sender.0.blocking_send(Err(std::io::Error::other(e.to_string()))).ok();
        }
        result
    });
    (task, parts(receiver))
}

fn parts<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, T> {
    futures_util::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|part| (part, receiver)) }).boxed()
}

/// Lets an archive through only when it is an uncompressed tar: engines unpack others with programs, of the container even.
pub(super) async fn uncompressed(mut archive: BoxStream<'static, std::io::Result<Bytes>>) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
    let (mut head, mut seen) = (Vec::with_capacity(BLOCK), Vec::new());
    while head.len() < BLOCK {
        match archive.next().await {
            Some(Ok(part)) => {
                head.extend_from_slice(part.get(..BLOCK - head.len()).unwrap_or(&part));
                seen.push(Ok(part));
            }
            Some(Err(e)) => return Err(read_error(e)),
            None => break,
        }
    }
    if !head.first_chunk::<BLOCK>().is_some_and(begins_tar) {
        let packed = COMPRESSED.iter().any(|magic| head.starts_with(magic));
        let what = if packed { "the archive is compressed" } else { "the archive is no tar" };
        return Err(Error::invalid(what).hint("give an uncompressed tar"));
    }
    Ok(futures_util::stream::iter(seen).chain(archive).boxed())
}

/// The beginnings of compressed files: gzip, bzip2, xz and zstd.
const COMPRESSED: [&[u8]; 4] = [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_in_the_middle_fails_what_is_sent() {
        let (task, parts) = packed(|out| {
            out.write_all(b"some").map_err(read_error)?;
            Err(Error::invalid("no more"))
        });
        let parts: Vec<_> = parts.collect().await;
        assert!(parts[0].is_ok() && parts[1].is_err() && parts.len() == 2);
        assert_eq!(task.await.unwrap().unwrap_err().message(), "no more");
        // And when nobody reads it, the thread ends.
        let (task, parts) = packed(|out| {
            loop {
                out.write_all(&[0; 1024]).map_err(read_error)?;
            }
        });
        drop(parts);
        assert_eq!(task.await.unwrap().unwrap_err().message(), UNWANTED);
    }
}
