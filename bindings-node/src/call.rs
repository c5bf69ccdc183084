//! A call that runs: its events and its outcome are told to JavaScript's thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dockerkit::{
    Error, Event, Result,
    progress::Status,
    surface::{self, Reply},
};
use napi::{
    bindgen_prelude::{Buffer, Either3, FnArgs, Function},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use tokio::task::AbortHandle;

use crate::{Handles, runtime, stream::Stream};

/// How many events wait for a busy thread before steps of progress are left out.
const EVENTS: usize = 1024;

/// What came of a call; a stream that has ended gives no reply.
pub(crate) type Outcome = Result<Option<Reply>>;

/// The events since the last time as a JSON list of `[event, line]`, and the outcome if there is one.
type Told = FnArgs<(Option<String>, Option<Answer>)>;

/// What JavaScript gives to be called back.
pub(crate) type Callback<'a> = Function<'a, Told, ()>;

/// A call that runs; or what came of it, where that is there at once: a result that is JSON alone, or another answer.
pub(crate) type Begun = Either3<Running, String, Answer>;

/// A result or an error. Bytes come in one buffer that is cut at `ends`.
#[napi(object, object_from_js = false)]
pub struct Answer {
    /// Whether it is a result.
    pub ok: bool,
    /// The result or the error's data; nothing at the end of a stream.
    pub json: Option<String>,
    /// All raw bytes, one after the other.
    pub data: Option<Buffer>,
    /// Where each piece of the bytes ends.
    pub ends: Vec<u32>,
    /// Objects.
    pub handles: Option<Handles>,
    /// Streams.
    pub streams: Vec<Stream>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer(ok: {})", self.ok)
    }
}

impl Answer {
    pub(crate) fn of(outcome: Outcome) -> Self {
        let mut out = Self { ok: true, json: None, data: None, ends: Vec::new(), handles: None, streams: Vec::new() };
        match outcome {
            Ok(None) => {}
            Ok(Some(reply)) => {
                out.json = Some(reply.json);
                if !reply.handles.is_empty() {
                    out.handles = Some(Handles { inner: reply.handles.into_iter().map(Some).collect() });
                }
                out.streams = reply.streams.into_iter().map(Stream::new).collect();
                if !reply.data.is_empty() {
                    let mut all = Vec::with_capacity(reply.data.iter().map(bytes::Bytes::len).sum());
                    for piece in &reply.data {
                        all.extend_from_slice(piece);
                        out.ends.push(u32::try_from(all.len()).unwrap_or(u32::MAX));
                    }
                    out.data = Some(all.into());
                }
            }
            Err(error) => {
                out.ok = false;
                out.json = Some(serde_json::to_string(&error.to_data()).unwrap_or_default());
            }
        }
        out
    }
}

#[derive(Default)]
struct State {
    events: Vec<(Event, String)>,
    outcome: Option<Outcome>,
    /// Whether JavaScript was told and has not looked yet.
    told: bool,
}

/// What a running call shares with JavaScript's thread.
pub(crate) struct Shared {
    state: Arc<Mutex<State>>,
    tell: ThreadsafeFunction<(), (), Told, napi::Status, false>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(callback: &Callback<'_>) -> napi::Result<Arc<Self>> {
        let state = Arc::new(Mutex::new(State::default()));
        let there = state.clone();
        let tell = callback.build_threadsafe_function::<()>().build_callback(move |_| {
            let (events, outcome) = {
                let mut state = lock(&there);
                state.told = false;
                (std::mem::take(&mut state.events), state.outcome.take())
            };
            let events = (!events.is_empty()).then(|| serde_json::to_string(&events).unwrap_or_default());
            Ok(FnArgs::from((events, outcome.map(Answer::of))))
        })?;
        Ok(Arc::new(Self { state, tell }))
    }

    pub(crate) fn event(&self, event: &Event) {
        let mut state = lock(&self.state);
        if state.events.len() >= EVENTS && event.status == Status::Progress {
            return;
        }
        state.events.push((event.clone(), event.to_string()));
        self.tell(state);
    }

    fn finish(&self, outcome: Outcome) {
        let mut state = lock(&self.state);
        state.outcome = Some(outcome);
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        if !std::mem::replace(&mut state.told, true) {
            drop(state);
            // Where JavaScript's thread has ended, nobody waits for this.
            self.tell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// A running call. It ends when this object is dropped.
#[napi]
#[derive(Debug)]
pub struct Running {
    task: Option<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Running {
    /// Runs `work` on the runtime.
    pub(crate) fn spawn(shared: Arc<Shared>, work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        let runtime = match runtime::get() {
            Ok(runtime) => runtime,
            Err(error) => {
                shared.finish(Err::<_, Error>(error));
                return Self { task: None };
            }
        };
        let task = runtime.spawn(surface::elsewhere(async move {
            let outcome = runtime::guarded(work).await;
            shared.finish(outcome);
        }));
        Self { task: Some(task.abort_handle()) }
    }

    /// Begins `work` in this thread, where it may be done at once: then `callback` is never called. Else it goes on on the runtime.
    pub(crate) fn begin(callback: &Callback<'_>, work: impl Future<Output = Outcome> + Send + 'static) -> napi::Result<Begun> {
        let mut work = Box::pin(runtime::guarded(work));
        let done = runtime::get().map(|runtime| {
            let _inside = runtime.enter();
            surface::begin_here(&mut work)
        });
        Ok(match done {
            Ok(None) => Either3::A(Self::spawn(Shared::new(callback)?, work)),
            // JavaScript knows itself which answers are not taken yet.
            Ok(Some((Ok(Some(reply)), _open))) if reply.is_json() => Either3::B(reply.json),
            Ok(Some((outcome, _open))) => Either3::C(Answer::of(outcome)),
            Err(error) => Either3::C(Answer::of(Err(error))),
        })
    }
}

#[napi]
impl Running {
    /// Ends the call: its callback is not called again.
    #[napi]
    pub fn cancel(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
