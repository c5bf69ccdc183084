//! The images of an engine.

use std::{collections::BTreeMap, path::PathBuf};

use base64::Engine as _;
use futures_util::{StreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Engine, Req,
    client::{ApiVersion, ByteStream, reader_stream},
    containers::{Filters, PruneOptions, PruneReport},
    manifests::{ImageManifest, platform},
    progress::follow,
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    progress::Resource,
    secret::Secret,
    stream::Streaming,
    timestamp::Timestamp,
    units::{Data, Size},
};

/// The images of an [`Engine`].
#[derive(Debug, Clone)]
pub struct Images(pub(crate) Engine);

/// An image as lists show it.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Image {
    /// Its ID.
    pub id: String,
    /// Its names with tags.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// When it was made, where it says.
    pub created: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Bytes that it shares with other images; only in a list that asks for them.
    pub shared_size: Option<u64>,
    /// What it is made of, one for each platform; only where that is asked for, and the engine keeps images with containerd.
    pub manifests: Vec<ImageManifest>,
    /// The engine's own answer.
    pub raw: Value,
}

/// One step of how an image was made.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HistoryEntry {
    /// The image's ID after the step, or `<missing>`.
    pub id: String,
    /// The instruction.
    pub created_by: String,
    /// When the step was made.
    pub created: Timestamp,
    /// The size that it added, in bytes.
    pub size: u64,
    /// The names of the image after the step.
    pub tags: Vec<String>,
}

/// What was loaded from an archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LoadReport {
    /// Names, or IDs where an image has no name, that the engine loaded.
    pub images: Vec<String>,
}

options! {
    /// A login for a registry.
    pub struct RegistryAuth {
        /// User name.
        pub username: String,
        /// Password or token.
        pub password: Secret,
        /// The registry's host, such as `registry.example:5000`; default: the one in the image's name.
        pub server: Option<String>,
        /// Identity token in place of a password.
        pub identity_token: Option<Secret>,
    }
}

impl RegistryAuth {
    /// The header's value. The engine wants the URL-safe alphabet, and drops anything else without a word.
    pub(crate) fn header(&self) -> String {
        let auth = json!({
            "username": self.username,
            "password": self.password.reveal(),
            "serveraddress": self.server.clone().unwrap_or_default(),
            "identitytoken": self.identity_token.as_ref().map(Secret::reveal).unwrap_or_default(),
        });
        base64::engine::general_purpose::URL_SAFE.encode(auth.to_string())
    }
}

options! {
    /// Options of [`Images::list`].
    pub struct ListImages {
        /// Intermediate images too.
        pub all: bool,
        /// Measures what each shares with others, which takes the engine a while. Needs API 1.42.
        pub shared_size: bool,
        /// Tells what each is made of, one for each platform. Needs API 1.47.
        pub manifests: bool,
        /// The engine's filters, such as `{"reference": ["app:*"]}`, and `before` and `since` an image.
        pub filters: Filters,
    }
}

options! {
    /// Options of [`Images::get`].
    pub struct InspectImage {
        /// The platform, such as `linux/arm64`, of an image that is there for many; default: the engine's own. Needs API 1.49.
        pub platform: Option<String>,
        /// Tells what it is made of, one for each platform. Needs API 1.48; excludes `platform`.
        pub manifests: bool,
    }
}

options! {
    /// Options of [`Images::history`].
    pub struct HistoryOptions {
        /// The platform, such as `linux/arm64`, of an image that is there for many; default: the engine's own. Needs API 1.48.
        pub platform: Option<String>,
    }
}

options! {
    /// Options of [`Images::save`].
    pub struct SaveImages {
        /// Only this platform, such as `linux/arm64`; default: all that are there. Needs API 1.48.
        pub platform: Option<String>,
    }
}

options! {
    /// Options of [`Images::prune_build_cache`].
    pub struct PruneBuildCache {
        /// All that no build uses now; default: only what is of no use any more.
        pub all: bool,
        /// Keeps so much of it, the newest.
        pub keep: Option<Size>,
        /// Prunes only what is over so much. Needs API 1.48.
        pub max_used: Option<Size>,
        /// Prunes until so much of the disk is free. Needs API 1.48.
        pub min_free: Option<Size>,
        /// The engine's filters, such as `{"until": ["24h"]}`.
        pub filters: Filters,
    }
}

options! {
    /// Options of [`Images::pull`].
    pub struct PullOptions {
        /// The platform, such as `linux/arm64`.
        pub platform: Option<String>,
        /// Login for the registry.
        pub auth: Option<RegistryAuth>,
    }
}

options! {
    /// Options of [`Images::search`].
    pub struct SearchImages {
        /// At most so many; default: the engine's, 25.
        pub limit: Option<u32>,
        /// The engine's filters, such as `{"is-official": ["true"]}`.
        pub filters: Filters,
    }
}

/// An image that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FoundImage {
    /// Its name.
    pub name: String,
    /// What its maker says of it.
    pub description: String,
    /// How many users marked it.
    pub stars: u64,
    /// Whether it is one of Docker's own selection.
    pub official: bool,
}

/// What a registry has under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RegistryInfo {
    /// The digest that the name means now, `sha256:…`.
    pub digest: String,
    /// The type of what it names: an image, or a list of them.
    pub media_type: String,
    /// The size of that description in bytes.
    pub size: u64,
    /// Platforms, such as `linux/amd64`.
    pub platforms: Vec<String>,
}

/// The login that was given, else the one of the user's configuration.
pub(super) async fn login(given: Option<RegistryAuth>, reference: &str) -> Result<Option<RegistryAuth>> {
    match given {
        Some(auth) => Ok(Some(auth)),
        None => super::config::Config::read()?.login_for(reference).await,
    }
}

options! {
    /// Options of [`Images::push`].
    pub struct PushOptions {
        /// Login for the registry.
        pub auth: Option<RegistryAuth>,
        /// Only this platform, such as `linux/arm64`, of an image that is there for many. Needs API 1.46.
        pub platform: Option<String>,
    }
}

options! {
    /// Options of [`Images::registry_info`].
    pub struct RegistryInfoOptions {
        /// Login for the registry.
        pub auth: Option<RegistryAuth>,
    }
}

options! {
    /// Options of [`Images::remove`].
    pub struct RemoveImage {
        /// Also when stopped containers use it, and all of its names.
        pub force: bool,
        /// Keeps parents that have no name.
        pub no_prune: bool,
        /// Only these platforms, such as `linux/arm64`, of an image that is there for many. Needs API 1.50.
        pub platforms: Vec<String>,
    }
}

options! {
    /// Options of [`Images::load`]: one source is given.
    pub struct LoadImages {
        /// The archive, as bytes.
        pub data: Option<Data>,
        /// The archive, as a file; it may be compressed.
        pub path: Option<PathBuf>,
        /// Only this platform, such as `linux/arm64`; default: all that are in it. Needs API 1.48.
        pub platform: Option<String>,
    }
}

options! {
    /// Options of [`Images::import`]: one source is given.
    pub struct ImportImage {
        /// A tar of the file system, as bytes.
        pub data: Option<Data>,
        /// A tar of the file system, as a file.
        pub path: Option<PathBuf>,
        /// Dockerfile instructions to apply, such as `CMD ["sh"]`.
        pub changes: Vec<String>,
        /// A comment.
        pub message: Option<String>,
        /// The platform, such as `linux/amd64`.
        pub platform: Option<String>,
    }
}

/// Splits `name:tag`, leaving a registry's port alone.
pub(crate) fn split_tag(reference: &str) -> (String, Option<String>) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.contains('@') => (name.to_owned(), Some(tag.to_owned())),
        _ => (reference.to_owned(), None),
    }
}

fn missing(e: Error, reference: &str) -> Error {
    if e.kind() == ErrorKind::NotFound { e.hint("load, build or pull it first, or list the images").with("image", reference) } else { e }
}

impl Image {
    fn read(raw: Value) -> Self {
        let strings = |n: &str| -> Vec<String> {
            let list = raw.get(n).and_then(Value::as_array);
            list.map(|l| l.iter().filter_map(Value::as_str).filter(|t| !t.starts_with("<none>")).map(str::to_owned).collect()).unwrap_or_default()
        };
        // Lists have seconds, an inspection a text.
        let created = match raw.get("Created") {
            Some(Value::String(text)) => Timestamp::read(text),
            other => other.and_then(Value::as_i64).map(Timestamp::from_unix_seconds),
        };
        let labels = raw.get("Labels").or_else(|| raw.pointer("/Config/Labels"));
        Self {
            id: text(&raw, "Id"),
            tags: strings("RepoTags"),
            digests: strings("RepoDigests"),
            size: raw.get("Size").and_then(Value::as_u64).unwrap_or_default(),
            created,
            labels: super::container::string_map(labels),
            // The engine writes -1 for what it did not measure.
            shared_size: raw.get("SharedSize").and_then(Value::as_u64),
            manifests: raw.get("Manifests").and_then(Value::as_array).map(|l| l.iter().map(ImageManifest::read).collect()).unwrap_or_default(),
            raw,
        }
    }
}

impl Engine {
    /// The images of this engine.
    #[must_use]
    pub fn images(&self) -> Images {
        Images(self.clone())
    }
}

impl Images {
    /// Lists images.
    ///
    /// # Errors
    /// `invalid_input` for a filter that the engine does not know, `unsupported` for an option that it is too old for.
    pub fn list(&self) -> Call<ListImages, Vec<Image>> {
        let engine = self.0.clone();
        Call::new("images.list", move |o: ListImages, _| async move {
            for (wanted, name, api) in [(o.shared_size, "shared_size", ApiVersion(1, 42)), (o.manifests, "manifests", ApiVersion(1, 47))] {
                if wanted {
                    engine.needs(name, api).await?;
                }
            }
            let req = Req::get(&["images", "json"]).flag("all", o.all).flag("shared-size", o.shared_size).flag("manifests", o.manifests).filters(&o.filters);
            let rows: Vec<Value> = engine.client.fetch(if o.shared_size { req.patient() } else { req }).await?;
            Ok(rows.into_iter().map(Image::read).collect())
        })
    }

    /// The image with this name or ID.
    ///
    /// # Errors
    /// `not_found`, also when the platform is not there; `unsupported` for an option that the engine is too old for.
    pub fn get(&self, reference: impl Into<String>) -> Call<InspectImage, Image> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("images.get", move |o: InspectImage, _| async move {
            if o.manifests {
                engine.needs("manifests", ApiVersion(1, 48)).await?;
            }
            let platform = platform(&engine, o.platform.as_deref(), ApiVersion(1, 49)).await?;
            let req = Req::get(&["images", &reference, "json"]).maybe("platform", platform).flag("manifests", o.manifests);
            let raw = engine.client.fetch(req).await;
            raw.map(Image::read).map_err(|e| missing(e, &reference))
        })
    }

    /// Pulls an image; the call ends when it is there. Without a tag, `latest` is meant.
    ///
    /// # Errors
    /// `not_found`, `unauthorized`, `unreachable` when the engine cannot reach the registry.
    ///
    /// # Cancel safety
    /// Layers that are there stay; the same call goes on with the rest.
    pub fn pull(&self, reference: impl Into<String>) -> Call<PullOptions, Image> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("images.pull", move |o: PullOptions, cx| async move {
            let (name, tag) = if reference.contains('@') { (reference.clone(), None) } else { split_tag(&reference) };
            let tag = if reference.contains('@') { tag } else { tag.or_else(|| Some("latest".to_owned())) };
            let mut req = Req::post(&["images", "create"]).query("fromImage", &name).maybe("tag", tag).maybe("platform", o.platform).patient();
            if let Some(auth) = login(o.auth, &reference).await? {
                req = req.header("x-registry-auth", &auth.header());
            }
            let resource = Resource::new("image", &reference);
            cx.events
                .track("pull", resource.clone(), async { follow(engine.client.bytes(req).await?, &cx.events, "pull", &resource, |_| ()).await })
                .await
                .map_err(|e| registry(e, &reference))?;
            engine.images().get(&reference).await
        })
    }

    /// Pushes an image; the call ends when the registry has it.
    ///
    /// # Errors
    /// `not_found`, `unauthorized`, `forbidden`, `unreachable` when the engine cannot reach the registry.
    ///
    /// # Cancel safety
    /// Layers that the registry has stay; the same call goes on with the rest.
    pub fn push(&self, reference: impl Into<String>) -> Call<PushOptions, ()> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("images.push", move |o: PushOptions, cx| async move {
            let (name, tag) = split_tag(&reference);
            let platform = platform(&engine, o.platform.as_deref(), ApiVersion(1, 46)).await?;
            let auth = login(o.auth, &reference).await?.unwrap_or_default().header();
            let req = Req::post(&["images", &name, "push"]).maybe("tag", tag).maybe("platform", platform).header("x-registry-auth", &auth).patient();
            let resource = Resource::new("image", &reference);
            let work = async { follow(engine.client.bytes(req).await?, &cx.events, "push", &resource, |_| ()).await };
            cx.events.track("push", resource.clone(), work).await.map_err(|e| registry(missing(e, &reference), &reference))
        })
    }

    /// What a registry has under a name: the digest that the name means now, and the platforms. Nothing is pulled.
    ///
    /// # Errors
    /// `not_found`, `unauthorized`, `unreachable` when the engine cannot reach the registry.
    pub fn registry_info(&self, reference: impl Into<String>) -> Call<RegistryInfoOptions, RegistryInfo> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("images.registry_info", move |o: RegistryInfoOptions, _| async move {
            let auth = login(o.auth, &reference).await?.unwrap_or_default().header();
            let req = Req::get(&["distribution", &reference, "json"]).header("x-registry-auth", &auth).patient();
            let raw: Value = engine.client.fetch(req).await.map_err(|e| registry(e, &reference))?;
            let platform = |p: &Value| -> String {
                let parts = ["os", "architecture", "variant"].map(|n| text(p, n));
                parts.iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>().join("/")
            };
            let descriptor = raw.get("Descriptor").cloned().unwrap_or_default();
            Ok(RegistryInfo {
                digest: text(&descriptor, "digest"),
                media_type: text(&descriptor, "mediaType"),
                size: descriptor.get("size").and_then(Value::as_u64).unwrap_or_default(),
                platforms: raw.get("Platforms").and_then(Value::as_array).map(|l| l.iter().map(platform).collect()).unwrap_or_default(),
            })
        })
    }

    /// Searches Docker Hub, through the engine, for images whose names or descriptions hold a term.
    ///
    /// # Errors
    /// `unreachable` when the engine cannot reach Docker Hub.
    pub fn search(&self, term: impl Into<String>) -> Call<SearchImages, Vec<FoundImage>> {
        let (engine, term) = (self.0.clone(), term.into());
        Call::new("images.search", move |o: SearchImages, _| async move {
            let req = Req::get(&["images", "search"]).query("term", &term).maybe("limit", o.limit.map(|l| l.to_string())).filters(&o.filters).patient();
            let rows: Vec<Value> = engine.client.fetch(req).await.map_err(|e| registry(e, &term))?;
            let flag = |r: &Value, n: &str| r.get(n).and_then(Value::as_bool).unwrap_or_default();
            let read = |r: &Value| FoundImage {
                name: text(r, "name"),
                description: text(r, "description"),
                stars: r.get("star_count").and_then(Value::as_u64).unwrap_or_default(),
                official: flag(r, "is_official"),
            };
            Ok(rows.iter().map(read).collect())
        })
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// `not_found`, `invalid_input` for a wrong name.
    pub fn tag(&self, reference: impl Into<String>, name: impl Into<String>) -> Call<NoOptions, ()> {
        let (engine, reference, name) = (self.0.clone(), reference.into(), name.into());
        Call::new("images.tag", move |_, _| async move {
            let (repo, tag) = split_tag(&name);
            let req = Req::post(&["images", &reference, "tag"]).query("repo", repo).maybe("tag", tag);
            engine.client.done(req).await.map(drop).map_err(|e| missing(e, &reference))
        })
    }

    /// Removes a name of an image, and the image with its last one. Gives what was untagged and deleted.
    ///
    /// # Errors
    /// `not_found`, `conflict` while a container uses it.
    pub fn remove(&self, reference: impl Into<String>) -> Call<RemoveImage, Vec<String>> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("images.remove", move |o: RemoveImage, _| async move {
            let mut req = Req::delete(&["images", &reference]).flag("force", o.force).flag("noprune", o.no_prune);
            for one in &o.platforms {
                req = req.maybe("platforms", platform(&engine, Some(one), ApiVersion(1, 50)).await?);
            }
            let raw: Value = engine.client.fetch(req).await.map_err(|e| match e.kind() {
                ErrorKind::Conflict => e.hint("remove the containers that use it, or set `force`").with("image", &*reference),
                _ => missing(e, &reference),
            })?;
            Ok(PruneReport::read(&json!({"Removed": raw}), "Removed").removed)
        })
    }

    /// An archive of images, as `docker save` makes it, in parts as they come.
    ///
    /// # Errors
    /// `not_found`.
    pub fn save(&self, references: Vec<String>) -> Call<SaveImages, Streaming<Data>> {
        let engine = self.0.clone();
        Call::new("images.save", move |o: SaveImages, _| async move {
            let platform = platform(&engine, o.platform.as_deref(), ApiVersion(1, 48)).await?;
            Ok(Streaming::of_parts(engine.images().archive_of(&references, platform).await?.map(|b| b.map(Data)), Data::join))
        })
    }

    pub(crate) async fn archive(&self, references: &[String]) -> Result<ByteStream> {
        self.archive_of(references, None).await
    }

    async fn archive_of(&self, references: &[String], platform: Option<String>) -> Result<ByteStream> {
        let mut req = Req::get(&["images", "get"]).maybe("platform", platform).patient();
        for name in references {
            req = req.query("names", name);
        }
        self.0.client.bytes(req).await.map_err(|e| missing(e, &references.join(", ")))
    }

    /// Loads images from an archive that `docker save` made. The engine's word is checked: every image it names is looked up.
    ///
    /// # Errors
    /// `invalid_input` when the archive is none.
    pub fn load(&self) -> Call<LoadImages, LoadReport> {
        let engine = self.0.clone();
        Call::new("images.load", move |o: LoadImages, cx| async move {
            let platform = platform(&engine, o.platform.as_deref(), ApiVersion(1, 48)).await?;
            let body = source(o.data, o.path).await?;
            let report = engine.images().load_platform(body, platform, &cx.events).await?;
            for name in &report.images {
                engine.images().get(name).await?;
            }
            Ok(report)
        })
    }

    pub(crate) async fn load_stream(&self, body: BoxStream<'static, std::io::Result<bytes::Bytes>>, events: &crate::progress::EventSink) -> Result<LoadReport> {
        self.load_platform(body, None, events).await
    }

    async fn load_platform(
        &self,
        body: BoxStream<'static, std::io::Result<bytes::Bytes>>,
        platform: Option<String>,
        events: &crate::progress::EventSink,
    ) -> Result<LoadReport> {
        let req = Req::post(&["images", "load"]).query("quiet", "true").maybe("platform", platform).stream("application/x-tar", body).patient();
        let mut report = LoadReport::default();
        follow(self.0.client.bytes(req).await?, events, "load", &Resource::new("image", "archive"), |message| {
            let line = text(message, "stream");
            for line in line.lines() {
                let name = line.strip_prefix("Loaded image: ").or_else(|| line.strip_prefix("Loaded image ID: "));
                report.images.extend(name.map(|n| n.trim().to_owned()));
            }
        })
        .await?;
        if report.images.is_empty() {
            return Err(Error::invalid("the archive holds no image that the engine could load").hint("make it with images.save or docker save"));
        }
        Ok(report)
    }

    /// Makes an image of a tar of a file system, as `docker import` does.
    ///
    /// # Errors
    /// `invalid_input` for a wrong name, tar or instruction.
    pub fn import(&self, tag: impl Into<String>) -> Call<ImportImage, Image> {
        let (engine, tag) = (self.0.clone(), tag.into());
        Call::new("images.import", move |o: ImportImage, cx| async move {
            let body = source(o.data, o.path).await?;
            engine.images().import_stream(&tag, &o.changes, o.message.as_deref(), o.platform.as_deref(), body, &cx.events).await
        })
    }

    pub(crate) async fn import_stream(
        &self,
        tag: &str,
        changes: &[String],
        message: Option<&str>,
        platform: Option<&str>,
        body: BoxStream<'static, std::io::Result<bytes::Bytes>>,
        events: &crate::progress::EventSink,
    ) -> Result<Image> {
        let (repo, version) = split_tag(tag);
        let mut req = Req::post(&["images", "create"])
            .query("fromSrc", "-")
            .query("repo", repo)
            .maybe("tag", version)
            .maybe("message", message)
            .maybe("platform", platform);
        for change in changes {
            req = req.query("changes", change);
        }
        let req = req.stream("application/x-tar", body).patient();
        follow(self.0.client.bytes(req).await?, events, "import", &Resource::new("image", tag), |_| ()).await?;
        self.get(tag).await
    }

    /// How an image was made, the newest step first.
    ///
    /// # Errors
    /// `not_found`.
    pub fn history(&self, reference: impl Into<String>) -> Call<HistoryOptions, Vec<HistoryEntry>> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("images.history", move |o: HistoryOptions, _| async move {
            let platform = platform(&engine, o.platform.as_deref(), ApiVersion(1, 48)).await?;
            let req = Req::get(&["images", &reference, "history"]).maybe("platform", platform);
            let rows: Vec<Value> = engine.client.fetch(req).await.map_err(|e| missing(e, &reference))?;
            Ok(rows
                .iter()
                .map(|r| HistoryEntry {
                    id: text(r, "Id"),
                    created_by: text(r, "CreatedBy"),
                    created: Timestamp::from_unix_seconds(r.get("Created").and_then(Value::as_i64).unwrap_or_default()),
                    size: r.get("Size").and_then(Value::as_u64).unwrap_or_default(),
                    tags: r.get("Tags").and_then(Value::as_array).map(|l| l.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect()).unwrap_or_default(),
                })
                .collect())
        })
    }

    /// Removes images that have no name; with the filter `dangling=false`, all that no container uses.
    ///
    /// # Errors
    /// `conflict` while another prune runs.
    pub fn prune(&self) -> Call<PruneOptions, PruneReport> {
        let engine = self.0.clone();
        Call::new("images.prune", move |o: PruneOptions, _| async move {
            let raw: Value = engine.client.fetch(Req::post(&["images", "prune"]).filters(&o.filters).patient()).await?;
            Ok(PruneReport::read(&raw, "ImagesDeleted"))
        })
    }

    /// Removes what builds kept to be faster the next time.
    ///
    /// # Errors
    /// `unsupported` for an option that the engine is too old for.
    pub fn prune_build_cache(&self) -> Call<PruneBuildCache, PruneReport> {
        let engine = self.0.clone();
        Call::new("images.prune_build_cache", move |o: PruneBuildCache, _| async move {
            for (name, given) in [("max_used", o.max_used), ("min_free", o.min_free)] {
                if given.is_some() {
                    engine.needs(name, ApiVersion(1, 48)).await?;
                }
            }
            let keep = if engine.client.version().await? < ApiVersion(1, 48) { "keep-storage" } else { "reserved-space" };
            let size = |s: Option<Size>| s.map(|s| s.0.to_string());
            let req = Req::post(&["build", "prune"])
                .flag("all", o.all)
                .maybe(keep, size(o.keep))
                .maybe("max-used-space", size(o.max_used))
                .maybe("min-free-space", size(o.min_free))
                .filters(&o.filters)
                .patient();
            let raw: Value = engine.client.fetch(req).await?;
            Ok(PruneReport::read(&raw, "CachesDeleted"))
        })
    }
}

/// What the engine says of a registry, by kind.
pub(super) fn registry(e: Error, reference: &str) -> Error {
    let message = e.message().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| message.contains(w));
    let kind = if has(&["no basic auth", "unauthorized", "authentication required"]) {
        ErrorKind::Unauthorized
    } else if has(&["manifest unknown", "not found", "does not exist"]) {
        ErrorKind::NotFound
    } else if has(&["no such host", "connection refused", "timeout", "i/o", "dial tcp", "network is unreachable"]) {
        ErrorKind::Unreachable
    } else {
        return e.with("image", reference);
    };
    let hint = match kind {
        ErrorKind::Unauthorized => "give `auth` for the registry",
        ErrorKind::NotFound => "check the name and the tag",
        _ => "the engine itself must reach the registry; push_image or load carry images without one",
    };
    Error::new(kind, e.message()).with("image", reference).hint(hint).source(e)
}

pub(crate) async fn source(data: Option<Data>, path: Option<PathBuf>) -> Result<BoxStream<'static, std::io::Result<bytes::Bytes>>> {
    match (data, path) {
        (Some(data), None) => Ok(futures_util::stream::once(async move { Ok(data.0) }).boxed()),
        (None, Some(path)) => {
            let file = tokio::fs::File::open(&path).await.map_err(|e| Error::file(&path, e))?;
            Ok(reader_stream(file).boxed())
        }
        _ => Err(Error::invalid("one source is needed").hint("give `path` or `data`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_ports_are_told_apart() {
        assert_eq!(split_tag("app:v1"), ("app".into(), Some("v1".into())));
        assert_eq!(split_tag("host:5000/app"), ("host:5000/app".into(), None));
        assert_eq!(split_tag("host:5000/app:v1"), ("host:5000/app".into(), Some("v1".into())));
    }

    #[test]
    fn the_login_uses_the_url_safe_alphabet() {
        let auth = RegistryAuth { username: "u".into(), password: "~~~???>>>".into(), ..RegistryAuth::default() };
        assert!(!auth.header().contains(['+', '/']));
        assert!(!format!("{auth:?}").contains("~~~"));
    }
}
