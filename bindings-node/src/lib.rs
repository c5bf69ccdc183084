//! The native part of the Node package: calls go to the core's table as JSON with attachments, and come back so.
//! The classes that people use are generated JavaScript above it.

mod call;
mod runtime;
mod stream;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bytes::Bytes;
use dockerkit::{
    call::Context,
    progress::EventSink,
    surface::{self, AnyHandle, Request},
};
use napi::bindgen_prelude::{Buffer, ClassInstance, Either3};
use napi_derive::napi;

use crate::call::{Answer, Begun, Callback, Running, Shared};

/// An object of the core. Its class is known to the JavaScript layer.
#[napi]
#[derive(Debug)]
pub struct Handle {
    /// Nothing once it is closed.
    pub(crate) inner: Option<AnyHandle>,
}

#[napi]
impl Handle {
    /// Lets go of the object, without waiting for JavaScript to collect this.
    #[napi]
    pub fn close(&mut self) {
        if let Some(inner) = self.inner.take() {
            surface::close(inner);
        }
    }
}

/// The objects of one answer. Each is handed out when it is used: most of a long list never are.
#[napi]
#[derive(Debug)]
pub struct Handles {
    pub(crate) inner: Vec<Option<AnyHandle>>,
}

#[napi]
impl Handles {
    /// The object of this number, once.
    #[napi]
    pub fn take(&mut self, number: u32) -> Handle {
        Handle { inner: self.inner.get_mut(number as usize).and_then(Option::take) }
    }
}

fn request(class: String, method: String, target: Option<&Handle>, args: String, data: Vec<Buffer>, handles: Vec<ClassInstance<'_, Handle>>) -> Request {
    Request {
        class,
        method,
        target: target.and_then(|h| h.inner.clone()),
        args,
        // Not copied: JavaScript keeps the memory, and is told not to change it until the call is over.
        data: data.into_iter().map(Bytes::from_owner).collect(),
        handles: handles.iter().filter_map(|h| h.inner.clone()).collect(),
        context: Context::default(),
    }
}

/// Makes an object at once.
#[napi]
pub fn construct(class: String, args: String, data: Vec<Buffer>, handles: Vec<ClassInstance<'_, Handle>>) -> Answer {
    let request = request(class, "new".to_owned(), None, args, data, handles);
    let made = runtime::get().and_then(|runtime| {
        let _inside = runtime.enter();
        catch_unwind(AssertUnwindSafe(|| surface::construct(request))).unwrap_or_else(|panic| Err(runtime::panicked(&*panic)))
    });
    Answer::of(made.map(Some))
}

/// Begins a call. `callback` is called on the JavaScript thread with batches of events, and once with the outcome. Where this thread
/// `may_wait`, which takes less than a turn of its loop, the outcome may be there at once.
#[napi]
#[allow(clippy::too_many_arguments, reason = "one crossing of the language border for each call")]
pub fn start(
    class: String,
    method: String,
    target: Option<ClassInstance<'_, Handle>>,
    args: String,
    data: Vec<Buffer>,
    handles: Vec<ClassInstance<'_, Handle>>,
    want_events: bool,
    deadline_ms: Option<f64>,
    callback: Callback<'_>,
    may_wait: bool,
) -> napi::Result<Begun> {
    let mut request = request(class, method, target.as_deref(), args, data, handles);
    request.context.deadline = deadline_ms.map(|ms| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default());
    if may_wait && !want_events && surface::is_brief(&request) {
        return Running::begin(&callback, async move { surface::start(request).await.map(Some) });
    }
    let shared = Shared::new(&callback)?;
    if want_events {
        let shared = shared.clone();
        request.context.events = EventSink::new(move |event| shared.event(&event));
    }
    Ok(Either3::A(Running::spawn(shared, async move { surface::start(request).await.map(Some) })))
}

/// The version of the core.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[napi_derive::module_init]
fn init() {
    surface::name_options_in_camel_case();
}
