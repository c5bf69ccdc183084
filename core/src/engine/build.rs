//! Building images with the engine's builders: the context goes as a tar while it is read.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use futures_util::{StreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Engine, Req,
    buildkit::{self, Contexts, Offer, Session, Trace},
    client::reader_stream,
    config::Config,
    ignore::Ignore,
    images::{Image, Images},
    progress::follow,
    system::text,
};
use crate::{
    call::{Call, options},
    error::{Error, ErrorKind, Result},
    host::{agent, is_agent},
    progress::Resource,
    secret::Secret,
    units::{Data, Size},
};

options! {
    /// Options of [`Images::build`].
    pub struct BuildOptions {
        /// Names for the image.
        pub tags: Vec<String>,
        /// The Dockerfile, relative to the context; default `Dockerfile`.
        pub dockerfile: Option<String>,
        /// The Dockerfile's text, in place of a file.
        pub dockerfile_inline: Option<String>,
        /// Build arguments.
        pub args: BTreeMap<String, String>,
        /// Labels of the image.
        pub labels: BTreeMap<String, String>,
        /// The stage to stop at.
        pub target: Option<String>,
        /// The platform, such as `linux/arm64`.
        pub platform: Option<String>,
        /// Does not use what earlier builds left.
        pub no_cache: bool,
        /// Pulls newer base images.
        pub pull: bool,
        /// Where cached steps are taken from: images, or `type=registry,ref=…` as `docker buildx build` spells it. Other types are
        /// `unsupported`.
        pub cache_from: Vec<String>,
        /// Where the build leaves its steps for others, as `docker buildx build` spells it. `type=inline` puts them into the image:
        /// push it, and name it in `cache_from`. `type=registry,ref=…,mode=max` pushes them by themselves, with the user's logins,
        /// and needs an engine with the containerd image store. Other types, and an engine that cannot, are `unsupported`.
        /// BuildKit only.
        pub cache_to: Vec<String>,
        /// Contexts beside the main one, by the names that `COPY --from=`, `RUN --mount=from=` and `FROM` use: a folder, whose
        /// `.dockerignore` is read, `docker-image://<image>`, or an address that the engine fetches: `git://…` and
        /// `https://….git` are repositories, `https://…` is one file, under its own name. A name that is an image's stands in
        /// for it. Needs Docker 23.0; an older engine, and `oci-layout://`, are `unsupported`. BuildKit only.
        pub additional_contexts: BTreeMap<String, String>,
        /// The network of `RUN` instructions, such as `host` or `none`.
        pub network: Option<String>,
        /// Lines of `/etc/hosts` for `RUN` instructions: name and address. `host-gateway` is the engine's host; between several
        /// addresses stand commas.
        pub extra_hosts: BTreeMap<String, String>,
        /// Size of `/dev/shm` for `RUN` instructions.
        pub shm_size: Option<Size>,
        /// The context as an uncompressed tar, in place of a folder.
        pub context_tar: Option<Data>,
        /// Which builder makes it; default: BuildKit where the engine recommends it or the build needs it.
        pub builder: Builder,
        /// Secrets by ID, for `RUN --mount=type=secret`. They are in no layer and no log. BuildKit only.
        pub secrets: BTreeMap<String, Secret>,
        /// Secrets that are files, by ID. BuildKit only.
        pub secret_files: BTreeMap<String, PathBuf>,
        /// SSH agents by ID, as their sockets, for `RUN --mount=type=ssh`; an empty path is `SSH_AUTH_SOCK`, and the usual
        /// ID is `default`. BuildKit only.
        pub ssh: BTreeMap<String, PathBuf>,
    }
}

/// The address of the engine's host, which the engine puts in.
pub(super) const HOST_GATEWAY: &str = "host-gateway";

/// Which of the engine's builders makes an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// BuildKit where the engine recommends it or the build needs it, else the classic one.
    #[default]
    Auto,
    /// The classic one.
    Classic,
    /// BuildKit.
    Buildkit,
}

impl BuildOptions {
    fn needs_buildkit(&self) -> bool {
        !(self.secrets.is_empty() && self.secret_files.is_empty() && self.ssh.is_empty() && self.additional_contexts.is_empty() && self.cache_to.is_empty())
    }

    /// What the build may ask for while it runs.
    fn offer(&self) -> Result<Offer> {
        let mut offer = Offer::default();
        offer.secrets.extend(self.secrets.iter().map(|(id, secret)| (id.clone(), secret.reveal().as_bytes().to_vec().into())));
        for (id, file) in &self.secret_files {
            let data = std::fs::read(file).map_err(|e| Error::file(file, e).hint("give the file of the secret").with("secret", &**id))?;
            offer.secrets.insert(id.clone(), data.into());
        }
        for (id, socket) in &self.ssh {
            let socket = match socket.as_os_str().is_empty() {
                false => socket.clone(),
                true => agent().ok_or_else(|| {
                    Error::invalid("there is no SSH agent: SSH_AUTH_SOCK is not set").hint("start one, or give its socket").with("ssh", &**id)
                })?,
            };
            let found = is_agent(&socket).map_err(|e| Error::file(&socket, e).hint("give the socket of an SSH agent that runs").with("ssh", &**id))?;
            if !found {
                return Err(Error::new(ErrorKind::Unsupported, format!("{} is no socket of an SSH agent", socket.display()))
                    .hint("add the key to an agent with ssh-add, and give the agent's socket")
                    .with("ssh", &**id));
            }
            offer.agents.insert(id.clone(), socket);
        }
        Ok(offer)
    }
}

impl Images {
    /// Builds an image from a folder with a Dockerfile; `.dockerignore` is read as docker reads it.
    ///
    /// # Errors
    /// `not_found` when the folder or the Dockerfile is not there, `command_failed` when a `RUN` instruction fails,
    /// `invalid_input` for a wrong Dockerfile, `unsupported` for what the engine's builder cannot do.
    ///
    /// # Cancel safety
    /// The build ends; steps that are done are reused by the next one.
    pub fn build(&self, context: impl Into<PathBuf>) -> Call<BuildOptions, Image> {
        let (engine, context) = (self.0.clone(), context.into());
        Call::new("images.build", move |o: BuildOptions, cx| async move {
            let name = o.tags.first().cloned().unwrap_or_else(|| context.display().to_string());
            let resource = Resource::new("image", name);
            cx.events.track("build", resource.clone(), build(&engine, context, o, &cx, &resource)).await
        })
    }
}

async fn build(engine: &Engine, context: PathBuf, o: BuildOptions, cx: &crate::call::Context, resource: &Resource) -> Result<Image> {
    let mut dockerfile = o.dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned());
    let inline = o.dockerfile_inline.clone();
    if let Some(text) = &inline {
        // A name that no file of the context has, and the same each time: steps that copy all of the context copy it, too.
        let digest: String = Sha256::digest(text).iter().take(8).map(|b| format!("{b:02x}")).collect();
        dockerfile = format!(".dockerfile.{digest}");
    }
    let buildkit = match o.builder {
        Builder::Buildkit => true,
        Builder::Classic if o.needs_buildkit() => {
            return Err(Error::invalid("the classic builder knows no secrets, SSH agents, additional contexts and cache exports")
                .hint("build with BuildKit, or leave them out"));
        }
        Builder::Classic => false,
        Builder::Auto => o.needs_buildkit() || engine.client.recommends_buildkit().await?,
    };
    let contexts = Contexts::read(&o.additional_contexts)?;
    let cache_from = buildkit::imports(&o.cache_from)?;
    let cache_to = buildkit::exports(&o.cache_to)?;
    if buildkit && let Some(other) = o.network.as_deref().filter(|mode| !["", "default", "host", "none"].contains(mode)) {
        return Err(Error::invalid(format!("BuildKit knows no network `{}`", crate::error::escape(other))).hint("use host, none or default"));
    }
    let hosts = hosts(&o.extra_hosts)?;
    // The engine's own way to BuildKit takes neither contexts nor exports, but for those that lie in the image.
    let direct = !contexts.is_empty() || cache_to.iter().any(|e| e.kind != "inline");
    if !contexts.is_empty() {
        buildkit::knows_contexts(engine).await?;
    }
    let mut offer = if buildkit { o.offer()? } else { Offer::default() };
    let body = match &o.context_tar {
        Some(_) if inline.is_some() => {
            return Err(Error::invalid("an inline Dockerfile cannot go with a context that is a tar").hint("put the Dockerfile into the tar"));
        }
        Some(data) => {
            let data = data.0.clone();
            futures_util::stream::once(async move { Ok(data) }).boxed()
        }
        None => folder(context, dockerfile.clone(), inline)?,
    };
    let config = Config::read()?;
    let mut args = config.proxies(engine.client.endpoint());
    args.extend(o.args.clone());
    let mut trace = Trace::new(&cx.events, &resource.name);
    if direct {
        offer.folders = contexts.folders();
        offer.context = Mutex::new(Some(body));
        let session = Session::open(engine, offer).await?;
        let order =
            buildkit::Order { options: &o, dockerfile: &dockerfile, args: &args, hosts: &hosts, contexts: &contexts, cache_from: &cache_from, cache_to };
        let result = buildkit::solve(engine, order, &session, &mut trace).await;
        drop(session);
        return engine.images().get(result.map_err(|e| failure(e, &trace.tail()))?).await;
    }
    if !cache_to.is_empty() {
        args.insert("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned());
    }
    // The engine calls back over it for as long as the build runs.
    let session = if buildkit { Some(Session::open(engine, offer).await?) } else { None };
    let mut req =
        Req::post(&["build"]).query("dockerfile", &dockerfile).flag("nocache", o.no_cache).flag("pull", o.pull).query("rm", "true").query("forcerm", "true");
    for tag in &o.tags {
        req = req.query("t", tag);
    }
    req = req.maybe("target", o.target).maybe("platform", o.platform).maybe("networkmode", o.network).maybe("shmsize", o.shm_size.map(|s| s.0.to_string()));
    for (host, address) in &hosts {
        req = req.query("extrahosts", format!("{host}:{address}"));
    }
    for (name, value) in [("buildargs", json_map(&args)), ("labels", json_map(&o.labels))] {
        req = req.maybe(name, value);
    }
    if !cache_from.is_empty() {
        req = req.maybe("cachefrom", serde_json::to_string(&cache_from).ok());
    }
    match &session {
        Some(session) => req = req.query("version", "2").query("session", &session.id),
        None => req = req.header("x-registry-config", &logins(&config)),
    }
    let mut id = None;
    let mut tail: VecDeque<String> = VecDeque::new();
    let request = req.stream("application/x-tar", body).patient();
    let wrong = |e: Error| if e.kind() == ErrorKind::InvalidInput { e.hint("check the tags and the other options of the build") } else { e };
    let bytes = engine.client.bytes(request).await.map_err(wrong)?;
    let result = follow(bytes, &cx.events, "build", resource, |message| {
        if let Some(found) = message.pointer("/aux/ID").and_then(Value::as_str) {
            id = Some(found.to_owned());
        }
        trace.see(message);
        let words = text(message, "stream");
        if !words.trim().is_empty() {
            tail.push_back(words.trim_end().to_owned());
            if tail.len() > 20 {
                tail.pop_front();
            }
        }
    })
    .await;
    drop(session);
    let output = if buildkit { trace.tail() } else { tail.into_iter().collect::<Vec<_>>().join("\n") };
    result.map_err(|e| failure(e, &output))?;
    let id = id.ok_or_else(|| Error::new(ErrorKind::Engine, "the engine did not name the image that it built"))?;
    engine.images().get(id).await
}

/// Each address of each name. Both ways to a builder write them in lists of their own, where no part may be taken for two.
fn hosts(given: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, addresses) in given {
        let wrong = |what: &str| {
            Error::invalid(format!("extra_hosts: `{}` is no {what}", crate::error::escape(if what == "name" { name } else { addresses })))
                .hint("give the name of a host, and its address or host-gateway")
                .with("host", &**name)
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || ",:=\"".contains(c)) {
            return Err(wrong("name"));
        }
        for address in addresses.split(',') {
            let address = address.trim().trim_start_matches('[').trim_end_matches(']');
            if address != HOST_GATEWAY && address.parse::<std::net::IpAddr>().is_err() {
                return Err(wrong("address"));
            }
            all.push((name.clone(), address.to_owned()));
        }
    }
    Ok(all)
}

/// What a builder says of a place on the network that it was to fetch from, by kind.
fn elsewhere(message: &str) -> Option<(ErrorKind, &'static str)> {
    let words = message.to_ascii_lowercase();
    let has = |all: &[&str]| all.iter().any(|w| words.contains(w));
    let unreachable = [
        "connection refused",
        "couldn't connect to server",
        "could not connect to server",
        "could not resolve host",
        "no such host",
        "network is unreachable",
        "no route to host",
        "i/o timeout",
        "unable to connect to",
    ];
    Some(if has(&["x509: ", "certificate verification failed", "certificate problem"]) {
        (ErrorKind::Untrusted, "the engine's host must trust the server's certificate")
    } else if has(&unreachable) {
        (ErrorKind::Unreachable, "the engine itself must reach what the build fetches")
    } else if has(&["invalid response status 404", "repository not found", "does not appear to be a git repository"]) {
        (ErrorKind::NotFound, "check the address")
    } else if has(&["invalid response status 401", "invalid response status 403", "could not read username", "authentication failed"]) {
        (ErrorKind::Unauthorized, "the engine fetches it without a login")
    } else {
        return None;
    })
}

/// What a builder's error means, with the end of the output. Each builder says it in its own words.
fn failure(e: Error, output: &str) -> Error {
    let message = e.message();
    // «did not complete successfully: exit code: 1», in older engines «executor failed running [...]: exit code: 1».
    let by_buildkit = message.rsplit_once("exit code: ").and_then(|(_, code)| code.trim().parse::<i64>().ok());
    let code = e.context().get("exit_code").cloned().or_else(|| by_buildkit.map(|c| c.to_string()));
    let usual = "the end of the build's output is in the context";
    let (kind, hint) = match e.kind() {
        // The connection, a deadline and the like are no fault of the Dockerfile.
        ErrorKind::Engine if code.is_some() => (ErrorKind::CommandFailed, usual),
        ErrorKind::Engine => elsewhere(message).unwrap_or((ErrorKind::InvalidInput, usual)),
        other => (other, usual),
    };
    let error = Error::new(kind, message).with("output", output).hint(hint);
    let error = match code {
        Some(code) => error.with("exit_code", code),
        None => error,
    };
    error.source(e)
}

/// The logins of the user's configuration, in the form of the classic builder's header.
fn logins(config: &Config) -> String {
    use base64::Engine as _;
    let all: serde_json::Map<String, Value> = config
        .all_logins()
        .into_iter()
        .map(|(name, auth)| (name, serde_json::json!({"username": auth.username, "password": auth.password.reveal()})))
        .collect();
    base64::engine::general_purpose::URL_SAFE.encode(Value::Object(all).to_string())
}

fn json_map(map: &BTreeMap<String, String>) -> Option<String> {
    if map.is_empty() { None } else { serde_json::to_string(map).ok() }
}

/// The folder as a tar that is made while it is sent.
fn folder(context: PathBuf, dockerfile: String, inline: Option<String>) -> Result<BoxStream<'static, std::io::Result<bytes::Bytes>>> {
    let meta = std::fs::metadata(&context).map_err(|e| Error::file(&context, e).hint("give the folder that holds the Dockerfile"))?;
    if !meta.is_dir() {
        return Err(Error::invalid(format!("{} is not a folder", context.display())).hint("give the folder that holds the Dockerfile"));
    }
    // A Dockerfile may lie outside the context: it is then sent as one more file.
    let path = context.join(&dockerfile);
    if inline.is_none() && !path.is_file() {
        return Err(Error::not_found(format!("no Dockerfile at {}", path.display()))
            .hint("set `dockerfile` to its path in the context")
            .with("path", path.display().to_string()));
    }
    let own = context.join(format!("{dockerfile}.dockerignore"));
    let rules = [own, context.join(".dockerignore")].into_iter().find(|p| p.is_file());
    let ignore = match rules {
        Some(file) => Ignore::parse(&std::fs::read_to_string(&file).map_err(|e| Error::file(&file, e))?)?,
        None => Ignore::default(),
    };
    Ok(tar_stream(move |writer| pack(&context, &dockerfile, inline.as_deref(), &ignore, writer)))
}

/// An archive that is made while it is sent. When it cannot be made, the request fails, and nothing that lacks a part is sent.
pub(crate) fn tar_stream(
    work: impl FnOnce(tokio_util::io::SyncIoBridge<tokio::io::DuplexStream>) -> Result<()> + Send + 'static,
) -> BoxStream<'static, std::io::Result<bytes::Bytes>> {
    let (reader, writer) = tokio::io::duplex(256 << 10);
    let bridge = tokio_util::io::SyncIoBridge::new(writer);
    let work = tokio::task::spawn_blocking(move || work(bridge));
    let end = futures_util::stream::once(async move {
        match work.await {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(Err(std::io::Error::other(e.to_string()))),
            Err(e) => Some(Err(std::io::Error::other(e.to_string()))),
        }
    })
    .filter_map(std::future::ready);
    reader_stream(reader).chain(end).boxed()
}

fn pack(context: &Path, dockerfile: &str, inline: Option<&str>, ignore: &Ignore, writer: impl Write) -> Result<()> {
    let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(128 << 10, writer));
    tar.follow_symlinks(false);
    add(&mut tar, context, Path::new(""), dockerfile, ignore)?;
    if let Some(text) = inline {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, dockerfile, text.as_bytes()).map_err(|e| Error::file(context, e))?;
    }
    tar.into_inner().and_then(|mut w| w.flush()).map_err(|e| Error::file(context, e))
}

fn add<W: Write>(tar: &mut tar::Builder<W>, root: &Path, folder: &Path, dockerfile: &str, ignore: &Ignore) -> Result<()> {
    let here = root.join(folder);
    let entries = std::fs::read_dir(&here).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(|e| Error::file(&here, e))?;
    let mut entries: Vec<_> = entries.into_iter().map(|e| e.file_name()).collect();
    entries.sort();
    for name in entries {
        let inner = folder.join(&name);
        let path = root.join(&inner);
        let meta = std::fs::symlink_metadata(&path).map_err(|e| Error::file(&path, e))?;
        let kept = !ignore.excludes(&inner) || inner == Path::new(dockerfile) || inner == Path::new(".dockerignore");
        if meta.is_dir() {
            if kept {
                tar.append_dir(&inner, &path).map_err(|e| Error::file(&path, e))?;
            }
            if kept || ignore.may_take_back() || Path::new(dockerfile).starts_with(&inner) {
                add(tar, root, &inner, dockerfile, ignore)?;
            }
        } else if kept && (meta.is_file() || meta.is_symlink()) {
            // Owners and times of this host stay out, so that the same files give the same layers.
            tar.append_path_with_name(&path, &inner).map_err(|e| Error::file(&path, e))?;
        }
    }
    Ok(())
}
