//! gRPC's frames over HTTP/2: messages in, answers out. Both sides of BuildKit's protocol use them.

use std::{convert::Infallible, pin::Pin};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use prost::Message;

/// States of gRPC: unknown, what is wrong in a message, not found, not implemented.
pub(super) const UNKNOWN: u32 = 2;
pub(super) const INVALID: u32 = 3;
pub(super) const NOT_FOUND: u32 = 5;
pub(super) const UNIMPLEMENTED: u32 = 12;
/// The largest message that is taken.
pub(super) const LARGEST: usize = 4 << 20;

pub(super) type Frames = Pin<Box<dyn Stream<Item = std::result::Result<Frame<Bytes>, Infallible>> + Send>>;
pub(super) type Answer = Response<StreamBody<Frames>>;

/// The messages that come in, one after another.
pub(super) struct Messages {
    body: Incoming,
    held: BytesMut,
    /// What the other side says at the end.
    pub(super) trailers: HeaderMap,
}

impl Messages {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, held: BytesMut::new(), trailers: HeaderMap::new() }
    }

    /// The next message; none at the end, an error when the stream breaks off or a message is too large.
    pub(super) async fn next(&mut self) -> std::result::Result<Option<Bytes>, Broken> {
        loop {
            if let Some(message) = next(&mut self.held) {
                return Ok(Some(message));
            }
            if self.held.len() > LARGEST {
                return Err(Broken);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.held.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().unwrap_or_default(),
                },
            }
        }
    }
}

/// A stream that broke off.
#[derive(Debug)]
pub(super) struct Broken;

/// The one message of a call.
pub(super) async fn one(body: Incoming) -> Option<Bytes> {
    Messages::new(body).next().await.ok().flatten()
}

/// Takes one message of gRPC's frames: a byte that says whether it is packed, four of length, the message.
fn next(held: &mut BytesMut) -> Option<Bytes> {
    let (head, _) = held.split_first_chunk::<5>()?;
    let [0, a, b, c, d] = *head else { return None };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if held.len() < 5 + length {
        return None;
    }
    let mut frame = held.split_to(5 + length);
    Some(frame.split_off(5).freeze())
}

pub(super) fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.encoded_len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).unwrap_or_default());
    message.encode(&mut out).unwrap_or_default();
    out.freeze()
}

pub(super) fn trailers(status: u32) -> Frame<Bytes> {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(status));
    Frame::trailers(map)
}

pub(super) fn of(frames: Frames) -> Answer {
    let mut response = Response::new(StreamBody::new(frames));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

pub(super) fn reply(message: &impl Message) -> Answer {
    of(futures_util::stream::iter([Ok(Frame::data(framed(message))), Ok(trailers(0))]).boxed())
}

/// A call that failed. Its state comes after an empty body: in the headers it counts only when they end the stream, and a body
/// that is sent as it comes does not let them.
pub(super) fn failed(status: u32, why: &'static str) -> Answer {
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from(status));
    end.insert("grpc-message", HeaderValue::from_static(why));
    of(futures_util::stream::iter([Ok(Frame::trailers(end))]).boxed())
}
