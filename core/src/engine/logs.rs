//! Output of containers: the engine's frames taken apart, in blocks rather than lines.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};

use super::{Req, client::ByteStream};
use crate::{
    call::options,
    error::{Error, ErrorKind, Result},
    timestamp::When,
    units::Data,
};

/// A part of a container's output. Chunks are not lines: a line may be in two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogChunk {
    /// `stdout`, `stderr` or, for a terminal, `console`.
    pub stream: String,
    /// The bytes.
    pub data: Data,
}

/// What a command wrote and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CommandOutput {
    /// Its exit code.
    pub exit_code: i64,
    /// What it wrote to standard output; with a terminal, all of its output.
    pub stdout: Data,
    /// What it wrote to standard error.
    pub stderr: Data,
}

options! {
    /// Options of the calls that read logs.
    pub struct LogOptions {
        /// Goes on with new output as it comes.
        pub follow: bool,
        /// Only output after this moment: RFC 3339, Unix seconds, or how long ago, such as `10m`.
        pub since: Option<When>,
        /// Only output before this moment, in the same forms.
        pub until: Option<When>,
        /// Only so many lines from the end.
        pub tail: Option<u64>,
        /// Puts the time before each line.
        pub timestamps: bool,
        /// Puts before each line what the container's logging options name: labels and variables.
        pub details: bool,
        /// Leaves standard output out.
        pub no_stdout: bool,
        /// Leaves standard error out.
        pub no_stderr: bool,
    }
}

impl LogOptions {
    pub(crate) fn apply(&self, req: Req) -> Req {
        req.flag("stdout", !self.no_stdout)
            .flag("stderr", !self.no_stderr)
            .flag("follow", self.follow)
            .flag("timestamps", self.timestamps)
            .flag("details", self.details)
            .moment("since", self.since.as_ref())
            .moment("until", self.until.as_ref())
            .maybe("tail", self.tail.map(|t| t.to_string()))
            .patient()
    }
}

/// The largest frame that an engine may announce.
const LARGEST: usize = 64 << 20;

/// Takes the engine's frames apart: a byte for the stream, three of zero, four of length, and the data.
/// Frames of one stream that arrive together become one chunk.
pub(crate) struct Demultiplexer {
    buffer: BytesMut,
}

impl Demultiplexer {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new() }
    }

    /// Adds bytes and gives the chunks that are complete.
    pub(crate) fn push(&mut self, bytes: Bytes) -> Result<Vec<LogChunk>> {
        self.buffer.extend_from_slice(&bytes);
        let mut chunks: Vec<(u8, BytesMut)> = Vec::new();
        while let Some((head, _)) = self.buffer.split_first_chunk::<8>() {
            let [kind, 0, 0, 0, a, b, c, d] = *head else {
                return Err(Error::new(ErrorKind::Engine, "the output is not in the engine's frames").hint("the connection may have been changed on its way"));
            };
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > LARGEST || kind > 3 {
                return Err(
                    Error::new(ErrorKind::Engine, "the engine announced a frame that cannot be").hint("the connection may have been changed on its way")
                );
            }
            if self.buffer.len() < 8 + length {
                break;
            }
            self.buffer.advance(8);
            let data = self.buffer.split_to(length);
            match chunks.last_mut() {
                Some((last, held)) if *last == kind => held.extend_from_slice(&data),
                _ => chunks.push((kind, data)),
            }
        }
        Ok(chunks.into_iter().map(|(kind, data)| chunk(if kind == 2 { "stderr" } else { "stdout" }, data.freeze())).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Chunks of one stream, one after the other, are one chunk.
pub(crate) fn join(last: &mut LogChunk, next: LogChunk) -> Option<LogChunk> {
    if last.stream != next.stream {
        return Some(next);
    }
    let LogChunk { stream, data } = next;
    last.data.join(data).map(|data| LogChunk { stream, data })
}

fn chunk(stream: &str, data: Bytes) -> LogChunk {
    LogChunk { stream: stream.to_owned(), data: Data(data) }
}

/// A multiplexed answer as chunks.
pub(crate) fn demultiplex(bytes: ByteStream) -> impl Stream<Item = Result<LogChunk>> + Send {
    let state = (bytes, Demultiplexer::new(), std::collections::VecDeque::new(), false);
    futures_util::stream::unfold(state, |(mut bytes, mut demux, mut ready, over)| async move {
        loop {
            if let Some(chunk) = ready.pop_front() {
                return Some((Ok(chunk), (bytes, demux, ready, over)));
            }
            if over {
                return None;
            }
            match bytes.next().await {
                None if demux.is_empty() => return None,
                None => {
                    let lost = Error::new(ErrorKind::Unreachable, "the output ended in the middle of a frame").hint("read the logs again");
                    return Some((Err(lost), (bytes, Demultiplexer::new(), ready, true)));
                }
                Some(Err(e)) => return Some((Err(e), (bytes, demux, ready, true))),
                Some(Ok(part)) => match demux.push(part) {
                    Ok(chunks) => ready.extend(chunks),
                    Err(e) => return Some((Err(e), (bytes, demux, ready, true))),
                },
            }
        }
    })
}

/// A terminal's answer as chunks.
pub(crate) fn plain(bytes: ByteStream) -> impl Stream<Item = Result<LogChunk>> + Send {
    bytes.map(|b| b.map(|b| chunk("console", b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend((text.len() as u32).to_be_bytes());
        out.extend(text.as_bytes());
        out
    }

    #[test]
    fn frames_cut_anywhere_give_the_same_bytes() {
        let mut all = frame(1, "one\n");
        all.extend(frame(1, "two\n"));
        all.extend(frame(2, "err\n"));
        for cut in 0..all.len() {
            let mut demux = Demultiplexer::new();
            let (a, b) = all.split_at(cut);
            let mut out = demux.push(Bytes::copy_from_slice(a)).unwrap();
            out.extend(demux.push(Bytes::copy_from_slice(b)).unwrap());
            let join = |s: &str| out.iter().filter(|c| c.stream == s).flat_map(|c| c.data.to_vec()).collect::<Vec<_>>();
            assert_eq!(join("stdout"), b"one\ntwo\n");
            assert_eq!(join("stderr"), b"err\n");
            assert!(demux.is_empty());
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        assert!(Demultiplexer::new().push(Bytes::from_static(b"<html><body>")).is_err());
        assert!(Demultiplexer::new().push(Bytes::from_static(&[1, 0, 0, 0, 0xff, 0, 0, 0])).is_err());
    }
}
