//! What every call carries: its options, a deadline, and where its events go.
//!
//! A call does nothing until it is awaited, and ends when its future is dropped.

use std::{
    collections::BTreeMap,
    fmt,
    future::IntoFuture,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind, Result},
    progress::{Event, EventSink},
    units::Seconds,
};

/// A boxed future that is sent between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a running call knows of its caller.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Where progress goes.
    pub events: EventSink,
    /// How long the whole call may take.
    pub deadline: Option<Duration>,
}

type Work<O, T> = Box<dyn FnOnce(O, Context) -> BoxFuture<Result<T>> + Send>;

/// A call that is ready to be made: set options on it, then `.await` it.
///
/// # Cancel safety
/// Dropping the future ends the call within a second. What it had begun is finished by making the same call again.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<O, T> {
    name: &'static str,
    pub(crate) options: O,
    context: Context,
    work: Work<O, T>,
}

impl<O: fmt::Debug, T> fmt::Debug for Call<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("name", &self.name).field("options", &self.options).finish_non_exhaustive()
    }
}

impl<O: Default + Send + 'static, T: Send + 'static> Call<O, T> {
    pub(crate) fn new<F, Fut>(name: &'static str, work: F) -> Self
    where
        F: FnOnce(O, Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        Self { name, options: O::default(), context: Context::default(), work: Box::new(move |o, c| Box::pin(work(o, c))) }
    }
}

impl<O: Send + 'static, T: Send + 'static> Call<O, T> {
    /// Replaces all options.
    pub fn with_options(mut self, options: O) -> Self {
        self.options = options;
        self
    }

    /// Changes options in place.
    pub fn with(mut self, change: impl FnOnce(&mut O)) -> Self {
        change(&mut self.options);
        self
    }

    /// Calls `listener` with every event of progress, from the thread that works.
    pub fn on_event(mut self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.context.events = EventSink::new(listener);
        self
    }

    /// Ends the call with a `timeout` error when it takes longer than `limit`.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.context.deadline = Some(limit);
        self
    }

    pub(crate) fn in_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }
}

impl<O: Send + 'static, T: Send + 'static> IntoFuture for Call<O, T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { name, options, context, work } = self;
        let deadline = context.deadline;
        let future = work(options, context);
        Box::pin(async move {
            let result = match deadline {
                None => future.await,
                Some(limit) => match tokio::time::timeout(limit, future).await {
                    Ok(result) => result,
                    Err(_) => Err(Error::new(ErrorKind::Timeout, format!("not done within {}", crate::units::go_duration(limit)))
                        .hint("make the same call again, or give it a longer deadline")),
                },
            };
            result.map_err(|e| e.op(name))
        })
    }
}

/// Options of a call that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// Values that a setter of an option takes.
pub trait Set<T> {
    /// The option's own type.
    fn set(self) -> T;
}

impl<T> Set<T> for T {
    fn set(self) -> T {
        self
    }
}

impl<T> Set<Option<T>> for T {
    fn set(self) -> Option<T> {
        Some(self)
    }
}

macro_rules! set {
    ($($from:ty => $to:ty : |$v:ident| $body:expr;)+) => {
        $(impl Set<$to> for $from { fn set(self) -> $to { let $v = self; $body } })+
    };
}

set! {
    &str => String: |v| v.to_owned();
    &str => Option<String>: |v| Some(v.to_owned());
    &str => std::path::PathBuf: |v| v.into();
    &str => Option<std::path::PathBuf>: |v| Some(v.into());
    &str => crate::secret::Secret: |v| v.into();
    &str => Option<crate::secret::Secret>: |v| Some(v.into());
    String => crate::secret::Secret: |v| v.into();
    String => Option<crate::secret::Secret>: |v| Some(v.into());
    Duration => Seconds: |v| Seconds(v);
    Duration => Option<Seconds>: |v| Some(Seconds(v));
    u64 => crate::units::Size: |v| crate::units::Size(v);
    u64 => Option<crate::units::Size>: |v| Some(crate::units::Size(v));
    &[&str] => Vec<String>: |v| v.iter().map(|s| (*s).to_owned()).collect();
}

impl<const N: usize> Set<Vec<String>> for [&str; N] {
    fn set(self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}

impl<const N: usize> Set<BTreeMap<String, String>> for [(&str, &str); N] {
    fn set(self) -> BTreeMap<String, String> {
        self.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }
}

/// Declares an options struct once: serde with unknown keys refused, schema, and a setter for every field on the
/// struct and on the [`Call`] that takes it.
macro_rules! options {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl $name {
            $($(#[$fmeta])* #[must_use] pub fn $field(mut self, value: impl $crate::call::Set<$ty>) -> Self { self.$field = value.set(); self })*
        }

        impl<T: Send + 'static> $crate::call::Call<$name, T> {
            $($(#[$fmeta])* pub fn $field(mut self, value: impl $crate::call::Set<$ty>) -> Self { self.options.$field = value.set(); self })*
        }
    };
}
pub(crate) use options;

static EPOCH: AtomicU64 = AtomicU64::new(0);

/// Says that this process is a fork of the one that made the connections: they are made anew when they are next used.
pub fn after_fork() {
    EPOCH.fetch_add(1, Ordering::SeqCst);
}

pub(crate) fn fork_epoch() -> u64 {
    EPOCH.load(Ordering::SeqCst)
}

/// A value that belongs to one process: after a fork it is made anew, and the parent's is left alone.
pub(crate) struct PerProcess<T> {
    current: arc_swap::ArcSwap<(u64, std::sync::Arc<T>)>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerProcess")
    }
}

impl<T: 'static> PerProcess<T> {
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { current: arc_swap::ArcSwap::from_pointee((fork_epoch(), std::sync::Arc::new(make()))), make: Box::new(make) }
    }

    pub(crate) fn get(&self) -> std::sync::Arc<T> {
        let now = fork_epoch();
        let current = self.current.load_full();
        if current.0 == now {
            return current.1.clone();
        }
        // The parent's value may hold tasks of a runtime that does not exist here: it must not be dropped.
        std::mem::forget(current.clone());
        let fresh = std::sync::Arc::new((now, std::sync::Arc::new((self.make)())));
        self.current.compare_and_swap(&current, fresh);
        self.current.load_full().1.clone()
    }
}
