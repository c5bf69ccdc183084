//! Images brought to the nodes without a registry: only the layers that a node lacks go to it.

use std::{collections::BTreeSet, fs::File, sync::Arc};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{
    Cluster,
    layers::{self, Packed},
};
use crate::{
    call::{Call, Context, options},
    engine::{Engine, Req, tar_stream, text},
    error::{Error, ErrorKind, Result},
    host::FromStart,
    progress::{EventSink, Resource, Status},
};

options! {
    /// Options of [`Cluster::push_image`].
    pub struct PushImage {
        /// Only to these machines; default: all.
        pub to: Vec<String>,
        /// The engine that has the image; default: found as [`Engine::connect`] finds it.
        pub source: Option<Engine>,
    }
}

/// What one machine got of an image.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PushedImage {
    /// The machine.
    pub machine: String,
    /// How many bytes were sent; 0 when it had the image.
    pub bytes: u64,
    /// How many layers it had already.
    pub shared_layers: u64,
}

/// What a push did.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImagePush {
    /// The image.
    pub reference: String,
    /// Its ID.
    pub id: String,
    /// What each machine got.
    pub machines: Vec<PushedImage>,
}

impl Cluster {
    /// Brings an image to the nodes without a registry. A node that has it gets nothing, and else only the layers that it lacks.
    ///
    /// # Errors
    /// `not_found` when the source engine does not have the image, `partial` when some nodes could not get it.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn push_image(&self, reference: impl Into<String>) -> Call<PushImage, ImagePush> {
        let (me, reference) = (self.clone(), reference.into());
        Call::new("cluster.push_image", move |o: PushImage, cx: Context| async move {
            let source = match o.source {
                Some(engine) => engine,
                None => Engine::connect("").await?,
            };
            let image = source.images().get(&*reference).await?;
            let mut engines = Vec::new();
            for machine in me.select(&o.to)? {
                engines.push((machine.name().to_owned(), machine.engine().await?));
            }
            push(&source, &reference, &image.id, engines, &cx.events).await
        })
    }
}

/// The archive of an image, on disk.
struct Archive {
    file: File,
    images: Vec<Packed>,
}

async fn push(source: &Engine, reference: &str, id: &str, engines: Vec<(String, Engine)>, events: &EventSink) -> Result<ImagePush> {
    let asked = engines.into_iter().map(|(name, engine)| {
        let (reference, id) = (reference.to_owned(), id.to_owned());
        async move {
            let there = engine.images().get(reference).await.is_ok_and(|i| i.id == id);
            (name, engine, there)
        }
    });
    let lacking = futures_util::future::join_all(asked).await;
    let mut report = ImagePush { reference: reference.to_owned(), id: id.to_owned(), ..ImagePush::default() };
    let resource = Resource::new("image", reference);
    let mut wanting = Vec::new();
    for (machine, engine, there) in lacking {
        if there {
            events.on_host(&machine).emit("push", &resource, Status::Skipped, "");
            report.machines.push(PushedImage { machine, ..PushedImage::default() });
        } else {
            wanting.push((machine, engine));
        }
    }
    if wanting.is_empty() {
        return Ok(report);
    }
    // The source is read once, however many nodes there are.
    let archive = Arc::new(save(source, reference).await?);
    let sends = wanting.into_iter().map(|(machine, engine)| {
        let (archive, resource, events) = (archive.clone(), resource.clone(), events.on_host(&machine));
        let (reference, id) = (reference.to_owned(), id.to_owned());
        async move {
            let result = events.track("push", resource, send(&engine, archive, &reference, &id)).await;
            (machine, result)
        }
    });
    let mut failed = Vec::new();
    for (machine, result) in futures_util::future::join_all(sends).await {
        match result {
            Ok((bytes, shared_layers)) => report.machines.push(PushedImage { machine, bytes, shared_layers }),
            Err(e) => failed.push((machine, e)),
        }
    }
    report.machines.sort_by(|a, b| a.machine.cmp(&b.machine));
    if failed.is_empty() { Ok(report) } else { Err(Error::partial(report.machines.len(), failed)) }
}

async fn save(source: &Engine, reference: &str) -> Result<Archive> {
    let io = |e: std::io::Error| Error::new(ErrorKind::Io, format!("the image cannot be kept in a temporary file: {e}"));
    let file = tempfile::tempfile().map_err(io)?;
    let mut out = tokio::fs::File::from_std(file.try_clone().map_err(io)?);
    let mut bytes = source.images().archive(&[reference.to_owned()]).await?;
    while let Some(part) = bytes.next().await {
        out.write_all(&part?).await.map_err(io)?;
    }
    out.flush().await.map_err(io)?;
    tokio::task::spawn_blocking(move || {
        let images = layers::read(FromStart::new(&file))?;
        Ok(Archive { file, images })
    })
    .await
    .map_err(|e| Error::internal(e.to_string()))?
}

/// The stacks of layers of the images that an engine has.
async fn stacks(engine: &Engine) -> Result<Vec<Vec<String>>> {
    let rows: Vec<Value> = engine.client.fetch(Req::get(&["images", "json"]).query("all", "true")).await?;
    let inspected = rows.into_iter().map(|row| {
        let engine = engine.clone();
        async move {
            let image: Result<Value> = engine.client.fetch(Req::get(&["images", &text(&row, "Id"), "json"])).await;
            // An image may be removed while we look.
            let image = image.unwrap_or_default();
            let layers = image.pointer("/RootFS/Layers").and_then(Value::as_array).cloned().unwrap_or_default();
            layers.iter().filter_map(|l| l.as_str().map(str::to_owned)).collect()
        }
    });
    Ok(futures_util::stream::iter(inspected).buffer_unordered(8).collect().await)
}

/// Sends an image to one engine, and checks that it is there afterwards: some engines say so when it is not.
async fn send(engine: &Engine, archive: Arc<Archive>, reference: &str, id: &str) -> Result<(u64, u64)> {
    let spare = layers::spare(&archive.images, &stacks(engine).await?);
    let shared = spare.len() as u64;
    let bytes = match load(engine, archive.clone(), spare).await {
        // What was known to be there may be gone since: all of it goes then.
        Err(_) if shared > 0 => load(engine, archive, BTreeSet::new()).await?,
        other => other?,
    };
    let there = engine.images().get(reference).await?;
    if there.id != id && !there.id.is_empty() && there.raw.pointer("/RootFS/Layers").is_none() {
        return Err(Error::new(ErrorKind::Engine, format!("the engine has another image as {reference} after it was loaded")));
    }
    Ok((bytes, shared))
}

async fn load(engine: &Engine, archive: Arc<Archive>, spare: BTreeSet<String>) -> Result<u64> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let body = tar_stream(move |writer| {
        // Each sender reads the file from its own place.
        let bytes = layers::copy(FromStart::new(&archive.file), &spare, writer)?;
        sender.send(bytes).ok();
        Ok(())
    });
    engine.images().load_stream(body, &EventSink::default()).await?;
    Ok(receiver.await.unwrap_or_default())
}
