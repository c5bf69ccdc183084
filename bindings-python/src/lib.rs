//! The native part of the Python package: calls go to the core's table as JSON with attachments, and come back so.
//! The classes that people use are generated Python above it.

mod handle;
mod pending;
mod runtime;
mod stream;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use dockerkit::{
    Error,
    call::Context,
    progress::EventSink,
    surface::{self, Request},
};
use pyo3::{exceptions::PyRuntimeError, prelude::*, pybacked::PyBackedBytes};

use crate::{
    handle::Handle,
    pending::{Pending, Shared},
    stream::Stream,
};

/// An error from before there is a call to carry it, as text.
pub(crate) fn failure(_py: Python<'_>, error: &Error) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn request(class: String, method: String, target: Option<&Handle>, args: String, data: Vec<PyBackedBytes>, handles: Vec<Py<Handle>>) -> Request {
    Request {
        class,
        method,
        target: target.map(|h| h.inner.clone()),
        args,
        data: data.into_iter().map(Bytes::from_owner).collect(),
        handles: handles.iter().map(|h| h.get().inner.clone()).collect(),
        context: Context::default(),
    }
}

/// Makes an object at once: `(ok, json, …)` as `Pending.wait` gives it.
#[pyfunction]
fn construct(py: Python<'_>, class: String, args: String, data: Vec<PyBackedBytes>, handles: Vec<Py<Handle>>) -> PyResult<Py<PyAny>> {
    let request = request(class, "new".to_owned(), None, args, data, handles);
    let made = py.detach(|| {
        let runtime = runtime::get()?;
        let _inside = runtime.enter();
        catch_unwind(AssertUnwindSafe(|| surface::construct(request))).unwrap_or_else(|panic| Err(runtime::panicked(&*panic)))
    });
    match made {
        Ok(reply) => pending::reply_to_python(py, reply),
        Err(error) => pending::error_to_python(py, &error),
    }
}

/// Begins a call. `deadline` is in seconds.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one crossing of the language border for each call")]
fn start(
    class: String,
    method: String,
    target: Option<&Bound<'_, Handle>>,
    args: String,
    data: Vec<PyBackedBytes>,
    handles: Vec<Py<Handle>>,
    want_events: bool,
    deadline: Option<f64>,
) -> Pending {
    let shared = Arc::new(Shared::default());
    let mut request = request(class, method, target.map(Bound::get), args, data, handles);
    if want_events {
        let shared = shared.clone();
        request.context.events = EventSink::new(move |event| shared.event(&event));
    }
    request.context.deadline = deadline.map(|s| Duration::try_from_secs_f64(s).unwrap_or_default());
    let brief = !want_events && surface::is_brief(&request);
    let work = async move { surface::start(request).await.map(Some) };
    Pending::new(shared, brief, work)
}

/// Makes a forked child work: called by Python in the child.
#[pyfunction]
fn after_fork() {
    runtime::after_fork();
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Handle>()?;
    module.add_class::<Pending>()?;
    module.add_class::<Stream>()?;
    module.add_function(wrap_pyfunction!(construct, module)?)?;
    module.add_function(wrap_pyfunction!(start, module)?)?;
    module.add_function(wrap_pyfunction!(after_fork, module)?)?;
    Ok(())
}
