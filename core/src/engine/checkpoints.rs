//! Containers that are frozen to disk, and go on from there. Only an experimental engine does it, with CRIU on its host.

use serde_json::{Value, json};

use super::{Container, Engine, Req, container::missing, system::text};
use crate::{
    call::{Call, options},
    error::{Error, ErrorKind, Result},
};

options! {
    /// Options of [`Checkpoints::create`].
    pub struct CreateCheckpoint {
        /// Lets the container run on; default: it ends.
        pub keep_running: bool,
        /// The folder of the engine's host to keep it in; default: the engine's own.
        pub dir: Option<String>,
    }
}

options! {
    /// Options of [`Checkpoints::list`] and [`Checkpoints::remove`].
    pub struct FindCheckpoints {
        /// The folder of the engine's host that it is in; default: the engine's own.
        pub dir: Option<String>,
    }
}

/// The checkpoints of a [`Container`].
#[derive(Debug, Clone)]
pub struct Checkpoints(Container);

impl Container {
    /// The checkpoints of this container.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints(self.clone())
    }
}

/// Fails where the engine has no checkpoints.
pub(super) async fn needs_experimental(engine: &Engine) -> Result<()> {
    let raw: Value = engine.client.fetch(Req::get(&["info"])).await?;
    if raw.get("ExperimentalBuild").and_then(Value::as_bool).unwrap_or_default() {
        return Ok(());
    }
    let message = "checkpoints need an experimental engine, and this one is not";
    Err(Error::new(ErrorKind::Unsupported, message).hint("set `experimental` in the engine's daemon.json and install CRIU on its host"))
}

impl Checkpoints {
    fn said(&self, e: Error) -> Error {
        match e.kind() {
            ErrorKind::Engine if e.message().to_ascii_lowercase().contains("criu") => {
                Error::new(ErrorKind::Unsupported, e.message()).hint("install CRIU on the engine's host").source(e)
            }
            _ => missing(e, self.0.name()),
        }
    }

    /// The names of its checkpoints.
    ///
    /// # Errors
    /// `unsupported` when the engine is not experimental, `not_found`.
    pub fn list(&self) -> Call<FindCheckpoints, Vec<String>> {
        let me = self.clone();
        Call::new("container.checkpoints.list", move |o: FindCheckpoints, _| async move {
            needs_experimental(&me.0.engine).await?;
            let req = Req::get(&["containers", me.0.id(), "checkpoints"]).maybe("dir", o.dir);
            let rows: Option<Vec<Value>> = me.0.engine.client.fetch(req).await.map_err(|e| me.said(e))?;
            Ok(rows.unwrap_or_default().iter().map(|r| text(r, "Name")).collect())
        })
    }

    /// Freezes the container's processes to disk, under a name. [`Container::start`] with `checkpoint` goes on from there.
    ///
    /// # Errors
    /// `unsupported` when the engine is not experimental or has no CRIU, `conflict` when the container does not run,
    /// `already_exists`, `engine` for processes that cannot be frozen.
    pub fn create(&self, name: impl Into<String>) -> Call<CreateCheckpoint, ()> {
        let (me, name) = (self.clone(), name.into());
        Call::new("container.checkpoints.create", move |o: CreateCheckpoint, _| async move {
            needs_experimental(&me.0.engine).await?;
            let body = json!({"CheckpointID": name, "CheckpointDir": o.dir.unwrap_or_default(), "Exit": !o.keep_running});
            let req = Req::post(&["containers", me.0.id(), "checkpoints"]).json(&body).patient();
            me.0.engine.client.done(req).await.map(drop).map_err(|e| me.said(e))
        })
    }

    /// Removes a checkpoint.
    ///
    /// # Errors
    /// `unsupported` when the engine is not experimental, `not_found`.
    pub fn remove(&self, name: impl Into<String>) -> Call<FindCheckpoints, ()> {
        let (me, name) = (self.clone(), name.into());
        Call::new("container.checkpoints.remove", move |o: FindCheckpoints, _| async move {
            needs_experimental(&me.0.engine).await?;
            let req = Req::delete(&["containers", me.0.id(), "checkpoints", &name]).maybe("dir", o.dir);
            me.0.engine.client.done(req).await.map(drop).map_err(|e| me.said(e))
        })
    }
}
