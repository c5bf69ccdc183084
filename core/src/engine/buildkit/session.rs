//! A session: the engine calls back over a connection that we opened, and gets what a build was offered, and nothing else.

use std::{collections::BTreeMap, convert::Infallible, path::PathBuf, pin::Pin, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::wire::{Credentials, Data, GetSecret, Health, Named};
use crate::{
    engine::{Engine, Req, config::Config},
    error::Result,
};

/// The calls that are answered, as their paths.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const LOGIN: &str = "/moby.filesync.v1.Auth/Credentials";
const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
/// States of gRPC: not found, not implemented, and what is wrong in a message.
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;
const INVALID: u32 = 3;
/// The largest message that is taken.
const LARGEST: usize = 4 << 20;

/// What a build may ask for. It is never printed.
#[derive(Default)]
pub(in crate::engine) struct Offer {
    /// Secrets by ID.
    pub(in crate::engine) secrets: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// Sockets of SSH agents by ID.
    pub(in crate::engine) agents: BTreeMap<String, PathBuf>,
}

/// An open session. It ends when it is dropped.
pub(in crate::engine) struct Session {
    pub(in crate::engine) id: String,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.work.abort();
    }
}

type Frames = Pin<Box<dyn Stream<Item = std::result::Result<Frame<Bytes>, Infallible>> + Send>>;
type Answer = Response<StreamBody<Frames>>;

impl Session {
    /// Opens a session with an engine.
    pub(in crate::engine) async fn open(engine: &Engine, offer: Offer) -> Result<Self> {
        let id = format!("{:032x}", rand::random::<u128>());
        let mut req = Req::post(&["session"]).header("x-docker-expose-session-uuid", &id).header("x-docker-expose-session-name", "dockerkit");
        for method in [HEALTH, SECRET, LOGIN, CHECK_AGENT, AGENT] {
            req = req.header("x-docker-expose-session-grpc-method", method);
        }
        let (io, _) = engine.client.upgrade(req, "h2c").await?;
        let offer = Arc::new(offer);
        let service = hyper::service::service_fn(move |request| {
            let offer = offer.clone();
            async move { Ok::<_, Infallible>(answer(request, &offer).await) }
        });
        let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service);
        // The engine closes it when the build is over.
        let work = tokio::spawn(async move { serve.await.unwrap_or_default() });
        Ok(Self { id, work })
    }
}

async fn answer(request: Request<Incoming>, offer: &Offer) -> Answer {
    let path = request.uri().path().to_owned();
    if path == AGENT {
        return forward(request, offer).await;
    }
    let message = match one(request.into_body()).await {
        Some(message) => message,
        None => return failed(INVALID, "no message"),
    };
    match path.as_str() {
        HEALTH => reply(&Health { status: 1 }),
        SECRET => match GetSecret::decode(message).ok().and_then(|m| offer.secrets.get(&m.id)) {
            Some(secret) => reply(&Data { data: secret.to_vec() }),
            None => failed(NOT_FOUND, "no such secret"),
        },
        LOGIN => {
            let host = Named::decode(message).unwrap_or_default().name;
            reply(&login(&host).await.unwrap_or_default())
        }
        CHECK_AGENT => match Named::decode(message).ok().filter(|m| offer.agents.contains_key(agent_name(&m.name))) {
            Some(_) => reply(&Data::default()),
            None => failed(NOT_FOUND, "no such agent"),
        },
        _ => failed(UNIMPLEMENTED, "not known"),
    }
}

/// An agent without a name is the default one.
fn agent_name(id: &str) -> &str {
    if id.is_empty() { "default" } else { id }
}

/// The login of the user's configuration for a registry.
async fn login(host: &str) -> Option<Credentials> {
    // The host of Docker Hub's registry is not the name under which its login is kept.
    let image = if host == "registry-1.docker.io" { "x".to_owned() } else { format!("{host}/x") };
    let auth = Config::read().ok()?.login_for(&image).await.ok()??;
    Some(match &auth.identity_token {
        Some(token) => Credentials { username: String::new(), secret: token.reveal().to_owned() },
        None => Credentials { username: auth.username.clone(), secret: auth.password.reveal().to_owned() },
    })
}

/// Moves bytes between the engine and the socket of an agent.
async fn forward(request: Request<Incoming>, offer: &Offer) -> Answer {
    let id = request.headers().get("buildkit.sshforward.id").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let Some(socket) = offer.agents.get(agent_name(&id)) else { return failed(NOT_FOUND, "no such agent") };
    let Ok(agent) = crate::host::connect_agent(socket).await else { return failed(NOT_FOUND, "the agent does not answer") };
    let (from_agent, mut to_agent) = tokio::io::split(agent);
    let mut body = request.into_body();
    tokio::spawn(async move {
        let mut held = BytesMut::new();
        while let Some(Ok(frame)) = body.frame().await {
            held.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(message) = next(&mut held) {
                let Ok(part) = Data::decode(message) else { return };
                if to_agent.write_all(&part.data).await.is_err() {
                    return;
                }
            }
            if held.len() > LARGEST {
                return;
            }
        }
        to_agent.shutdown().await.ok();
    });
    let parts = futures_util::stream::unfold(Some(from_agent), |agent| async move {
        let mut agent = agent?;
        let mut space = vec![0; 32 << 10];
        match agent.read(&mut space).await {
            Ok(n @ 1..) => {
                space.truncate(n);
                Some((Ok(Frame::data(framed(&Data { data: space }))), Some(agent)))
            }
            _ => Some((Ok(trailers(0)), None)),
        }
    });
    of(parts.boxed())
}

/// The one message of a call.
async fn one(mut body: Incoming) -> Option<Bytes> {
    let mut held = BytesMut::new();
    while let Some(frame) = body.frame().await {
        held.extend_from_slice(&frame.ok()?.into_data().unwrap_or_default());
        if held.len() > LARGEST {
            return None;
        }
    }
    next(&mut held)
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

fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.encoded_len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).unwrap_or_default());
    message.encode(&mut out).unwrap_or_default();
    out.freeze()
}

fn trailers(status: u32) -> Frame<Bytes> {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(status));
    Frame::trailers(map)
}

fn of(frames: Frames) -> Answer {
    let mut response = Response::new(StreamBody::new(frames));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn reply(message: &impl Message) -> Answer {
    of(futures_util::stream::iter([Ok(Frame::data(framed(message))), Ok(trailers(0))]).boxed())
}

/// A call that failed: its state stands in the headers, and there is no body.
fn failed(status: u32, why: &'static str) -> Answer {
    let mut response = of(futures_util::stream::empty().boxed());
    response.headers_mut().insert("grpc-status", HeaderValue::from(status));
    response.headers_mut().insert("grpc-message", HeaderValue::from_static(why));
    response
}
