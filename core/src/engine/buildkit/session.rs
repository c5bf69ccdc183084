//! A session: the engine calls back over a connection that we opened, and gets what a build was offered, and nothing else.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use hyper::{
    Request,
    body::{Frame, Incoming},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{
    files,
    grpc::{Answer, INVALID, Messages, NOT_FOUND, UNIMPLEMENTED, UNKNOWN, failed, framed, of, one, reply, trailers},
    wire::{Credentials, Data, GetSecret, Health, Named},
};
use crate::{
    engine::{Engine, Req, config::Config},
    error::{Error, ErrorKind, Result},
};

/// The calls that are answered, as their paths.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const LOGIN: &str = "/moby.filesync.v1.Auth/Credentials";
const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";
/// The host that stands for the session in the address of a context.
const SESSION_HOST: &str = "http://buildkit-session";

/// What a build may ask for. It is never printed.
#[derive(Default)]
pub(in crate::engine) struct Offer {
    /// Secrets by ID.
    pub(in crate::engine) secrets: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// Sockets of SSH agents by ID.
    pub(in crate::engine) agents: BTreeMap<String, PathBuf>,
    /// Folders by the names under which the build knows them.
    pub(in crate::engine) folders: BTreeMap<String, PathBuf>,
    /// The context as a tar, which is asked for once.
    pub(in crate::engine) context: Mutex<Option<BoxStream<'static, std::io::Result<Bytes>>>>,
    /// Why something could not be read on this side, in words that the engine does not hand back.
    pub(super) trouble: Mutex<Option<Error>>,
}

impl Offer {
    /// Keeps the first reason for which something could not be given.
    pub(super) fn keep(&self, error: Error) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// An open session. It ends when it is dropped.
pub(in crate::engine) struct Session {
    pub(in crate::engine) id: String,
    offer: Arc<Offer>,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Session {
    /// Opens a session with an engine.
    pub(in crate::engine) async fn open(engine: &Engine, offer: Offer) -> Result<Self> {
        let id = format!("{:032x}", rand::random::<u128>());
        let mut req = Req::post(&["session"]).header("x-docker-expose-session-uuid", &id).header("x-docker-expose-session-name", "dockerkit");
        let held = offer.context.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let more = [(FILES, !offer.folders.is_empty()), (UPLOAD, held)].into_iter().filter(|(_, on)| *on).map(|(method, _)| method);
        for method in [HEALTH, SECRET, LOGIN, CHECK_AGENT, AGENT].into_iter().chain(more) {
            req = req.header("x-docker-expose-session-grpc-method", method);
        }
        let (io, _) = engine.client.upgrade(req, "h2c").await?;
        let offer = Arc::new(offer);
        let given = offer.clone();
        let service = hyper::service::service_fn(move |request| {
            let offer = given.clone();
            async move { Ok::<_, Infallible>(answer(request, &offer).await) }
        });
        let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service);
        // The engine closes it when the build is over.
        let work = tokio::spawn(async move { serve.await.unwrap_or_default() });
        Ok(Self { id, offer, work })
    }

    /// Where a build finds the context that is offered as a tar.
    pub(super) fn context(&self) -> String {
        format!("{SESSION_HOST}/{}", self.id)
    }

    /// Why something that was asked for could not be read on this side.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.offer.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn answer(request: Request<Incoming>, offer: &Arc<Offer>) -> Answer {
    let path = request.uri().path().to_owned();
    if path == AGENT {
        return forward(request, offer).await;
    }
    if path == FILES {
        return files::serve(request, offer.clone());
    }
    if path == UPLOAD {
        return upload(offer.clone());
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

/// The context, as it is made.
fn upload(offer: Arc<Offer>) -> Answer {
    let Some(context) = offer.context.lock().unwrap_or_else(PoisonError::into_inner).take() else { return failed(NOT_FOUND, "no such context") };
    let parts = futures_util::stream::unfold(Some(context), move |context| {
        let offer = offer.clone();
        async move {
            let mut context = context?;
            match context.next().await {
                Some(Ok(part)) => Some((Ok(Frame::data(framed(&Data { data: part.to_vec() }))), Some(context))),
                Some(Err(e)) => {
                    offer.keep(Error::new(ErrorKind::Io, format!("the context cannot be sent: {e}")).hint("check that its files can be read"));
                    Some((Ok(trailers(UNKNOWN)), None))
                }
                None => Some((Ok(trailers(0)), None)),
            }
        }
    });
    of(parts.boxed())
}

/// Moves bytes between the engine and the socket of an agent.
async fn forward(request: Request<Incoming>, offer: &Offer) -> Answer {
    let id = request.headers().get("buildkit.sshforward.id").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let Some(socket) = offer.agents.get(agent_name(&id)) else { return failed(NOT_FOUND, "no such agent") };
    let Ok(agent) = crate::host::connect_agent(socket).await else { return failed(NOT_FOUND, "the agent does not answer") };
    let (from_agent, mut to_agent) = tokio::io::split(agent);
    let mut messages = Messages::new(request.into_body());
    tokio::spawn(async move {
        loop {
            match messages.next().await {
                Ok(Some(message)) => {
                    let Ok(part) = Data::decode(message) else { return };
                    if to_agent.write_all(&part.data).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
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
