//! The public API as one table, for the language bindings and their generator.
//!
//! A binding sends a class, a method and its arguments as JSON with attachments (raw bytes and handles), and gets a
//! JSON reply with attachments (raw bytes, handles and streams). Every call of every class goes this one way, so a
//! method that is in the table is in each language. The Python and Node layers are generated from the same table.

pub mod attach;
mod batches;
mod brief;
mod class;
#[cfg(feature = "describe")]
pub mod describe;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

pub use attach::AnyHandle;
pub use batches::{BatchStream, StreamCloser};
pub use brief::{Open, begin_here, elsewhere, is_brief};
pub(crate) use class::ErasedClass;
pub(crate) use class::handle;
pub use class::{Class, Handle};

pub use crate::transport::Seat;
use crate::{
    call::{BoxFuture, Context},
    error::{Error, Result, nearest},
};

static CAMEL: AtomicBool = AtomicBool::new(false);

/// Makes error messages name options in `camelCase`, as Node's users write them.
pub fn name_options_in_camel_case() {
    CAMEL.store(true, Ordering::Relaxed);
}

pub(crate) fn option_name(snake: &str) -> String {
    if !CAMEL.load(Ordering::Relaxed) {
        return snake.to_owned();
    }
    let mut out = String::new();
    let mut up = false;
    for c in snake.chars() {
        match c {
            '_' => up = !out.is_empty(),
            c if up => {
                out.extend(c.to_uppercase());
                up = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// One call from another language.
#[derive(Debug, Default)]
pub struct Request {
    /// The class, such as `App`.
    pub class: String,
    /// The method, such as `up` or `containers.list`; `new` makes an object.
    pub method: String,
    /// The object, for a method of one.
    pub target: Option<AnyHandle>,
    /// All arguments, as a JSON object.
    pub args: String,
    /// Bytes that the arguments name as `{"$bytes": n}`.
    pub data: Vec<Bytes>,
    /// Objects that the arguments name as `{"$handle": n}`.
    pub handles: Vec<AnyHandle>,
    /// Events and the deadline.
    pub context: Context,
}

/// The answer to a [`Request`].
#[derive(Debug, Default)]
pub struct Reply {
    /// The result as JSON.
    pub json: String,
    /// Bytes that the result names as `{"$bytes": n}`.
    pub data: Vec<Bytes>,
    /// Objects that the result names as `{"$handle": n, "class": …, "properties": …}`.
    pub handles: Vec<AnyHandle>,
    /// Streams that the result names as `{"$stream": n}`.
    pub streams: Vec<BatchStream>,
}

impl Reply {
    /// Whether it is JSON alone.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.data.is_empty() && self.handles.is_empty() && self.streams.is_empty()
    }
}

/// Makes a call. The future does the work; dropping it ends the work.
pub fn start(request: Request) -> BoxFuture<Result<Reply>> {
    let operation = format!("{}.{}", request.class.to_lowercase(), request.method);
    match find(&request.class).and_then(|c| c.start(request)) {
        Ok(future) => future,
        Err(e) => Box::pin(std::future::ready(Err(e.op(operation)))),
    }
}

/// Makes an object at once, without waiting for anything.
///
/// # Errors
/// `invalid_input` for wrong arguments, and what the constructor says.
pub fn construct(request: Request) -> Result<Reply> {
    let operation = format!("{}.new", request.class.to_lowercase());
    find(&request.class)?.construct(request).map_err(|e| e.op(operation))
}

/// Lets go of an object on behalf of the one who made it: what it holds for later calls, such as connections, is closed now.
/// Others that use the same object can go on.
#[expect(clippy::needless_pass_by_value, reason = "nobody has it afterwards")]
pub fn close(object: AnyHandle) {
    if let Ok(class) = find(object.class()) {
        class.close(&object);
    }
}

fn find(class: &str) -> Result<&'static dyn class::ErasedClass> {
    table::classes().iter().map(AsRef::as_ref).find(|c| c.name() == class).ok_or_else(|| Error::internal(format!("no class {class}")))
}

/// Turns serde's message about arguments into one that names the nearest option.
pub(crate) fn argument_error(error: &serde_json::Error, names: &[&'static str]) -> Error {
    let text = error.to_string();
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    if let (true, [wrong, known @ ..]) = (text.starts_with("unknown field"), quoted.as_slice()) {
        let mut message = format!("unknown option `{}`", option_name(wrong));
        if let Some(near) = nearest(wrong, known.iter().copied().chain(names.iter().copied())) {
            message.push_str(&format!("; did you mean `{}`?", option_name(near)));
            return Error::invalid(message).with("option", option_name(wrong)).with("nearest", option_name(near));
        }
        let known: Vec<String> = known.iter().map(|k| format!("`{}`", option_name(k))).collect();
        return if known.is_empty() {
            Error::invalid(format!("{message}; this call takes no options"))
        } else {
            Error::invalid(format!("{message}; known are {}", known.join(", ")))
        };
    }
    let text = text.split(" at line ").next().unwrap_or_default().to_owned();
    Error::invalid(text)
}
