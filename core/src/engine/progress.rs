//! The engine's progress messages, one JSON object after another, as events; an error in them is an error of the call.

use futures_util::StreamExt;
use serde_json::Value;

use super::{client::ByteStream, system::text};
use crate::{
    error::{Error, ErrorKind, Result},
    progress::{Event, EventSink, Resource, Status},
};

/// Reads messages to the end of the stream, makes events of them, and shows each to `see`.
pub(crate) async fn follow(mut bytes: ByteStream, events: &EventSink, action: &str, resource: &Resource, mut see: impl FnMut(&Value)) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let part = bytes.next().await.transpose()?;
        let over = part.is_none();
        buffer.extend_from_slice(&part.unwrap_or_default());
        let mut read = serde_json::Deserializer::from_slice(&buffer).into_iter::<Value>();
        let mut used = 0;
        let mut failure = None;
        loop {
            match read.next() {
                Some(Ok(message)) => {
                    used = read.byte_offset();
                    see(&message);
                    report(&message, events, action, resource);
                    failure = failure.or_else(|| error_of(&message));
                }
                Some(Err(e)) if e.is_eof() && !over => break,
                Some(Err(e)) => return Err(Error::new(ErrorKind::Engine, format!("the engine's progress cannot be read: {e}"))),
                None => break,
            }
        }
        if let Some(e) = failure {
            return Err(e);
        }
        if over {
            return Ok(());
        }
        buffer.drain(..used);
    }
}

fn error_of(message: &Value) -> Option<Error> {
    let words = message.pointer("/errorDetail/message").or_else(|| message.get("error")).and_then(Value::as_str)?;
    let code = message.pointer("/errorDetail/code").and_then(Value::as_i64);
    let error = match code {
        Some(code) if code > 0 && words.contains("returned a non-zero code") => Error::new(ErrorKind::CommandFailed, words).with("exit_code", code.to_string()),
        _ => Error::new(ErrorKind::Engine, words),
    };
    Some(error)
}

fn report(message: &Value, events: &EventSink, action: &str, resource: &Resource) {
    if !events.is_on() {
        return;
    }
    let number = |path: &str| message.pointer(path).and_then(Value::as_u64);
    let mut layer = text(message, "id");
    let words = match text(message, "status") {
        s if s.is_empty() => text(message, "stream").trim_end().to_owned(),
        s => s,
    };
    if words.is_empty() {
        return;
    }
    if words.starts_with("Pulling from ") {
        // Here the tag stands where other messages have a layer.
        layer.clear();
    }
    let resource = if layer.is_empty() { resource.clone() } else { Resource::new("layer", layer).of(&resource.name) };
    events.send(Event {
        resource,
        action: action.to_owned(),
        status: Status::Progress,
        current: number("/progressDetail/current"),
        total: number("/progressDetail/total"),
        message: words,
        ..Event::default()
    });
}
