//! A call that runs: in the thread that waits for it, or on the runtime for an event loop.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use dockerkit::{
    Error, Event, Result,
    progress::Status,
    surface::{self, BatchStream, Open, Reply, Seat},
};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};
use tokio::{runtime::Runtime, task::AbortHandle};

use crate::{failure, handle::Handle, runtime, stream::Stream};

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
    /// There while an outcome that was there at once is not yet asked for.
    open: Option<Open>,
    listener: Option<Listener>,
    /// The thread that does the work, where it waits; events may come from others.
    waiter: Option<Waker>,
    /// Whether the listener was told and has not looked yet.
    told: bool,
}

/// What a call tells while it runs, and in the end.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_events(&self) -> VecDeque<EventText> {
        std::mem::take(&mut self.lock().events)
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
        if let Some(waiter) = &state.waiter {
            waiter.wake_by_ref();
        }
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

/// Where the work of a call is.
enum Stage {
    /// Nothing is done until somebody waits.
    Ready(Work),
    /// On the runtime's threads.
    Running(AbortHandle),
    /// Done, given up, or in the thread that waits.
    Gone,
}

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A running call. It ends when this object is dropped.
#[pyclass(frozen, module = "dockerkit._native")]
pub(crate) struct Pending {
    shared: Arc<Shared>,
    stage: Mutex<Stage>,
    /// Whether it may be done before another thread has begun.
    brief: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Pending {
    /// A call that does `work` in the thread that waits for it, or on the runtime for an event loop.
    pub(crate) fn new(shared: Arc<Shared>, brief: bool, work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { shared, stage: Mutex::new(Stage::Ready(Box::pin(runtime::guarded(work)))), brief }
    }

    fn swap(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), stage)
    }
}

#[pymethods]
impl Pending {
    /// Does the call in this thread, and gives every event to `on_event`.
    ///
    /// A signal handler that raises, such as Ctrl-C, ends the call.
    fn wait(&self, py: Python<'_>, on_event: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let runtime = runtime::get().map_err(|e| failure(py, &e))?;
        let Stage::Ready(mut work) = self.swap(Stage::Gone) else { return Err(PyRuntimeError::new_err("this call was waited for before")) };
        let mut seat = Seat::take();
        self.shared.lock().waiter = Some(seat.waker().clone());
        loop {
            let (events, outcome) = py.detach(|| {
                let _inside = runtime.enter();
                if let Poll::Ready(outcome) = seat.poll(work.as_mut()) {
                    return (self.shared.take_events(), Some(outcome));
                }
                let events = self.shared.take_events();
                if events.is_empty() {
                    seat.wait(SLICE);
                }
                (events, None)
            });
            if let Some(listener) = &on_event {
                for event in events {
                    listener.call1(py, event).inspect_err(|_| drop_inside(&runtime, &mut work))?;
                }
            }
            if let Some(outcome) = outcome {
                seat.keep();
                return to_python(py, outcome);
            }
            py.check_signals().inspect_err(|_| drop_inside(&runtime, &mut work))?;
        }
    }

    /// Begins a short call in this thread, and says whether its outcome is there already, to `poll` for.
    fn begins(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.brief {
            return Ok(false);
        }
        let runtime = runtime::get().map_err(|e| failure(py, &e))?;
        Ok(py.detach(|| {
            let Stage::Ready(mut work) = self.swap(Stage::Gone) else { return false };
            let _inside = runtime.enter();
            let done = surface::begin_here(&mut work);
            let is_done = done.is_some();
            match done {
                Some((outcome, open)) => {
                    let mut state = self.shared.lock();
                    (state.outcome, state.open) = (Some(outcome), Some(open));
                }
                None => drop(self.swap(Stage::Ready(work))),
            }
            is_done
        }))
    }

    /// Has `call_soon(ready)` called, from another thread, when there is something to `poll` for.
    fn notify(&self, py: Python<'_>, call_soon: Py<PyAny>, ready: Py<PyAny>) -> PyResult<()> {
        let runtime = runtime::get().map_err(|e| failure(py, &e))?;
        py.detach(|| {
            let Stage::Ready(work) = self.swap(Stage::Gone) else { return };
            let _inside = runtime.enter();
            let shared = self.shared.clone();
            shared.lock().listener = Some(Listener { call_soon, ready });
            let task = runtime.spawn(surface::elsewhere(async move { shared.finish(work.await) }));
            self.swap(Stage::Running(task.abort_handle()));
        });
        Ok(())
    }

    /// The events since the last time, whether the call is done, and then its outcome: `(events, done, outcome)`.
    /// The outcome of a stream that has ended is `None`.
    fn poll(&self, py: Python<'_>) -> PyResult<(Vec<EventText>, bool, Option<Py<PyAny>>)> {
        let (events, outcome) = {
            let mut state = self.shared.lock();
            (state.told, state.open) = (false, None);
            (state.events.drain(..).collect(), state.outcome.take())
        };
        Ok((events, outcome.is_some(), outcome.map(|o| to_python(py, o)).transpose()?))
    }

    /// Ends the call.
    fn cancel(&self) {
        match self.swap(Stage::Gone) {
            Stage::Running(task) => task.abort(),
            Stage::Ready(mut work) => {
                if let Ok(runtime) = runtime::get() {
                    drop_inside(&runtime, &mut work);
                }
            }
            Stage::Gone => {}
        }
        let listener = self.shared.lock().listener.take();
        drop(listener);
    }
}

/// Gives work up where its sockets and timers are known.
fn drop_inside(runtime: &Runtime, work: &mut Work) {
    let _inside = runtime.enter();
    *work = Box::pin(std::future::pending());
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
