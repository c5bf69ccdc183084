//! A call that runs: waited for by a thread, or told to an event loop.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dockerkit::{
    Error, Event, Result,
    progress::Status,
    surface::{BatchStream, Reply},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};
use tokio::task::AbortHandle;

use crate::{handle::Handle, runtime, stream::Stream};

/// How long a thread waits before it looks for signals again.
const SLICE: Duration = Duration::from_millis(40);

/// How many events wait for a slow listener before steps of progress are left out.
const EVENTS: usize = 1024;

/// What came of a call; a stream that has ended gives no reply.
pub(crate) type Outcome = Result<Option<Reply>>;

/// An event as JSON and as a line for a person.
type EventText = (String, String);

struct Listener {
    call_soon: Py<PyAny>,
    ready: Py<PyAny>,
}

#[derive(Default)]
struct State {
    events: VecDeque<EventText>,
    outcome: Option<Outcome>,
    listener: Option<Listener>,
    /// Whether the listener was told and has not looked yet.
    told: bool,
}

#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn event(&self, event: &Event) {
        let mut state = self.lock();
        if state.events.len() >= EVENTS && event.status == Status::Progress {
            return;
        }
        state.events.push_back((serde_json::to_string(event).unwrap_or_default(), event.to_string()));
        self.tell(state);
    }

    fn finish(&self, outcome: Outcome) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        self.changed.notify_all();
        if state.listener.is_none() || state.told {
            return;
        }
        state.told = true;
        drop(state);
        // The interpreter may be going away, or the loop may be closed: then nobody waits for this.
        let _ = Python::try_attach(|py| {
            let call = self.lock().listener.as_ref().map(|l| (l.call_soon.clone_ref(py), l.ready.clone_ref(py)));
            if let Some((call_soon, ready)) = call {
                let _ = call_soon.call1(py, (ready,));
            }
        });
    }
}

/// A running call. It ends when this object is dropped.
#[pyclass(frozen, module = "dockerkit._native")]
pub(crate) struct Pending {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pending {
    /// Runs `work` on the runtime.
    pub(crate) fn spawn(shared: Arc<Shared>, work: impl Future<Output = Outcome> + Send + 'static) -> Result<Self> {
        let runtime = runtime::get()?;
        let task = runtime.spawn({
            let shared = shared.clone();
            async move {
                let outcome = runtime::guarded(work).await;
                shared.finish(outcome);
            }
        });
        Ok(Self { shared, task: task.abort_handle() })
    }
}

#[pymethods]
impl Pending {
    /// Waits for the outcome and gives every event to `on_event` in this thread.
    ///
    /// A signal handler that raises, such as Ctrl-C, ends the call.
    fn wait(&self, py: Python<'_>, on_event: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let done = self.wait_here(py, on_event);
        if done.is_err() {
            self.task.abort();
        }
        done
    }

    /// Has `call_soon(ready)` called, from another thread, when there is something to `poll` for.
    fn notify(&self, py: Python<'_>, call_soon: Py<PyAny>, ready: Py<PyAny>) {
        py.detach(|| {
            let mut state = self.shared.lock();
            state.listener = Some(Listener { call_soon, ready });
            if state.outcome.is_some() || !state.events.is_empty() {
                self.shared.tell(state);
            }
        });
    }

    /// The events since the last time, whether the call is done, and then its outcome: `(events, done, outcome)`.
    /// The outcome of a stream that has ended is `None`.
    fn poll(&self, py: Python<'_>) -> PyResult<(Vec<EventText>, bool, Option<Py<PyAny>>)> {
        let (events, outcome) = {
            let mut state = self.shared.lock();
            state.told = false;
            (state.events.drain(..).collect(), state.outcome.take())
        };
        Ok((events, outcome.is_some(), outcome.map(|o| to_python(py, o)).transpose()?))
    }

    /// Ends the call.
    fn cancel(&self) {
        self.task.abort();
        let listener = self.shared.lock().listener.take();
        drop(listener);
    }
}

impl Pending {
    fn wait_here(&self, py: Python<'_>, on_event: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        loop {
            let (events, outcome) = py.detach(|| {
                let mut state = self.shared.lock();
                if state.outcome.is_none() && state.events.is_empty() {
                    state = self.shared.changed.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0;
                }
                (std::mem::take(&mut state.events), state.outcome.take())
            });
            if let Some(listener) = &on_event {
                for event in events {
                    listener.call1(py, event)?;
                }
            }
            if let Some(outcome) = outcome {
                return to_python(py, outcome);
            }
            py.check_signals()?;
        }
    }
}

/// `None` at the end of a stream, else `(ok, json, bytes, handles, streams)`; an error is `ok = False` with its data.
fn to_python(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(None) => Ok(py.None()),
        Ok(Some(reply)) => reply_to_python(py, reply),
        Err(error) => error_to_python(py, &error),
    }
}

/// A reply as `(True, json, bytes, handles, streams)`.
pub(crate) fn reply_to_python(py: Python<'_>, reply: Reply) -> PyResult<Py<PyAny>> {
    let data = PyList::new(py, reply.data.iter().map(|d| PyBytes::new(py, d)))?;
    let handles = PyList::new(py, reply.handles.into_iter().map(|h| Py::new(py, Handle { inner: h })).collect::<PyResult<Vec<_>>>()?)?;
    let streams: Vec<BatchStream> = reply.streams;
    let streams = PyList::new(py, streams.into_iter().map(|s| Py::new(py, Stream::new(s))).collect::<PyResult<Vec<_>>>()?)?;
    Ok(PyTuple::new(
        py,
        [true.into_pyobject(py)?.to_owned().into_any(), reply.json.into_pyobject(py)?.into_any(), data.into_any(), handles.into_any(), streams.into_any()],
    )?
    .into_any()
    .unbind())
}

/// An error as `(False, json)`.
pub(crate) fn error_to_python(py: Python<'_>, error: &Error) -> PyResult<Py<PyAny>> {
    let json = serde_json::to_string(&error.to_data()).unwrap_or_default();
    Ok((false, json).into_pyobject(py)?.into_any().unbind())
}
