//! BuildKit's progress as events, and the end of what its steps wrote, for errors.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use prost::Message;
use serde_json::Value;

use super::wire::{Status, Vertex};
use crate::progress::{self, Event, EventSink, Resource};

/// How many lines of output are kept.
const TAIL: usize = 20;

/// Follows the steps of one build.
pub(in crate::engine) struct Trace {
    events: EventSink,
    image: String,
    names: BTreeMap<String, String>,
    told: BTreeMap<String, progress::Status>,
    tail: VecDeque<String>,
}

impl Trace {
    pub(in crate::engine) fn new(events: &EventSink, image: &str) -> Self {
        Self { events: events.clone(), image: image.to_owned(), names: BTreeMap::new(), told: BTreeMap::new(), tail: VecDeque::new() }
    }

    /// The last lines that steps wrote.
    pub(in crate::engine) fn tail(&self) -> String {
        self.tail.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Takes one message of the engine; those that are no trace are left alone.
    pub(in crate::engine) fn see(&mut self, message: &Value) {
        if message.get("id").and_then(Value::as_str) != Some("moby.buildkit.trace") {
            return;
        }
        let packed = message.get("aux").and_then(Value::as_str).unwrap_or_default();
        let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(packed) else { return };
        // A form that is not known is no reason to end a build.
        if let Ok(status) = Status::decode(bytes.as_slice()) {
            self.take(&status);
        }
    }

    pub(super) fn take(&mut self, status: &Status) {
        for step in &status.vertexes {
            self.names.insert(step.digest.clone(), step.name.clone());
            self.step(step);
        }
        for part in &status.statuses {
            let count = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
            self.tell(&part.vertex, progress::Status::Progress, part.id.clone(), count(part.current), count(part.total));
        }
        for log in &status.logs {
            for line in String::from_utf8_lossy(&log.msg).lines().filter(|l| !l.trim().is_empty()) {
                self.tail.push_back(line.to_owned());
                if self.tail.len() > TAIL {
                    self.tail.pop_front();
                }
                self.tell(&log.vertex, progress::Status::Progress, line.to_owned(), None, None);
            }
        }
    }

    fn step(&mut self, step: &Vertex) {
        let now = match step {
            Vertex { error, .. } if !error.is_empty() => progress::Status::Failed,
            Vertex { cached: true, .. } => progress::Status::Skipped,
            Vertex { completed: Some(_), .. } => progress::Status::Done,
            Vertex { started: Some(_), .. } => progress::Status::Started,
            _ => return,
        };
        // A step that is told of several times over is one event.
        if self.told.insert(step.digest.clone(), now) != Some(now) {
            self.tell(&step.digest, now, step.error.clone(), None, None);
        }
    }

    fn tell(&self, digest: &str, status: progress::Status, message: String, current: Option<u64>, total: Option<u64>) {
        if !self.events.is_on() {
            return;
        }
        let name = self.names.get(digest).cloned().unwrap_or_default();
        let resource = Resource::new("step", name).of(&self.image);
        self.events.send(Event { resource, action: "build".to_owned(), status, current, total, message, ..Event::default() });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::{super::wire::VertexLog, *};

    #[test]
    fn steps_are_told_once_in_each_state_and_their_output_is_kept() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = EventSink::new({
            let seen = seen.clone();
            move |e: Event| seen.lock().unwrap().push((e.resource.name, e.status, e.message))
        });
        let mut trace = Trace::new(&sink, "app");
        let step = Vertex { digest: "d".into(), name: "RUN make".into(), started: Some(super::super::wire::Time { seconds: 1 }), ..Vertex::default() };
        let status =
            Status { vertexes: vec![step.clone(), step], logs: vec![VertexLog { vertex: "d".into(), msg: b"one\ntwo\n".to_vec() }], ..Status::default() };
        let message = json!({"id": "moby.buildkit.trace", "aux": base64::engine::general_purpose::STANDARD.encode(status.encode_to_vec())});
        trace.see(&message);
        trace.see(&json!({"id": "moby.buildkit.trace", "aux": "!"}));
        assert_eq!(trace.tail(), "one\ntwo");
        let told: Vec<String> = seen.lock().unwrap().iter().map(|(name, status, words)| format!("{name} {status:?} {words}")).collect();
        assert_eq!(told, ["RUN make Started ", "RUN make Progress one", "RUN make Progress two"]);
    }
}
