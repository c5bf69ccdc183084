//! What long calls report while they run.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{error::escape, timestamp::Timestamp};

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Resource {
    /// The kind, such as `container`, `network`, `image`, `service`, `node`, `machine`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it belongs to, such as the service of a container or the image of a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

impl Resource {
    /// A resource with no parent.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into(), parent: None }
    }

    /// Says what it belongs to.
    #[must_use]
    pub fn of(mut self, parent: impl Into<String>) -> Self {
        self.parent = Some(parent.into());
        self
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, escape(&self.name))
    }
}

/// Where the work on a resource stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Begun.
    #[default]
    Started,
    /// Going on; `current` of `total` where they are known.
    Progress,
    /// Done.
    Done,
    /// There was nothing to do.
    Skipped,
    /// Failed; `error` says why.
    Failed,
}

/// One step of progress.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The machine or engine, empty for the local one.
    pub host: String,
    /// What it is about.
    pub resource: Resource,
    /// The verb, such as `create`, `start`, `pull`.
    pub action: String,
    /// Where it stands.
    pub status: Status,
    /// How much is done, in bytes or pieces.
    pub current: Option<u64>,
    /// How much there is.
    pub total: Option<u64>,
    /// One line for a person.
    pub message: String,
    /// Why it failed.
    pub error: Option<String>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.host.is_empty() {
            write!(f, "[{}] ", escape(&self.host))?;
        }
        write!(f, "{} {}", self.action, self.resource)?;
        match self.status {
            Status::Started => {}
            Status::Progress => match (self.current, self.total) {
                (Some(c), Some(t)) if t > 0 => write!(f, " {}%", c.saturating_mul(100) / t)?,
                _ => f.write_str(" ...")?,
            },
            Status::Done => f.write_str(": done")?,
            Status::Skipped => f.write_str(": nothing to do")?,
            Status::Failed => f.write_str(": failed")?,
        }
        if !self.message.is_empty() {
            write!(f, " ({})", escape(&self.message))?;
        }
        if let Some(error) = &self.error {
            write!(f, ": {}", escape(error))?;
        }
        Ok(())
    }
}

/// Where events go. Cheap to clone; an empty sink drops them.
#[derive(Clone, Default)]
pub struct EventSink {
    host: Arc<str>,
    to: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventSink({})", if self.to.is_some() { "on" } else { "off" })
    }
}

impl EventSink {
    /// A sink that calls `to`. It is called from the thread that works, so it must not block.
    pub fn new(to: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { host: Arc::from(""), to: Some(Arc::new(to)) }
    }

    /// The same sink, with `host` on every event.
    #[must_use]
    pub fn on_host(&self, host: &str) -> Self {
        Self { host: Arc::from(host), to: self.to.clone() }
    }

    /// Whether anyone listens.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// Sends an event; the time and, where it is empty, the host are filled in.
    pub fn send(&self, mut event: Event) {
        if let Some(to) = &self.to {
            event.time = Timestamp::now();
            if event.host.is_empty() {
                event.host = self.host.to_string();
            }
            to(event);
        }
    }

    /// Sends one status of an action on a resource.
    pub fn emit(&self, action: &str, resource: &Resource, status: Status, message: impl Into<String>) {
        if self.is_on() {
            let event = Event { resource: resource.clone(), action: action.to_owned(), status, message: message.into(), ..Event::default() };
            self.send(event);
        }
    }

    /// Runs `work` between a `started` and a `done` or `failed` event.
    ///
    /// # Errors
    /// The error of `work`.
    pub async fn track<T>(&self, action: &str, resource: Resource, work: impl Future<Output = crate::Result<T>>) -> crate::Result<T> {
        self.emit(action, &resource, Status::Started, "");
        let result = work.await;
        match &result {
            Ok(_) => self.emit(action, &resource, Status::Done, ""),
            Err(e) => self.send(Event { resource, action: action.to_owned(), status: Status::Failed, error: Some(e.to_string()), ..Event::default() }),
        }
        result
    }
}
