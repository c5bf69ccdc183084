//! What a container uses, as the engine measures it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Container, Req, container::missing, events::json_stream, system::text};
use crate::{
    call::{Call, options},
    error::{Error, Result},
    stream::Streaming,
    timestamp::Timestamp,
};

/// What a container uses at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ContainerStats {
    /// When it was measured.
    pub time: Timestamp,
    /// CPU use since the measurement before, in percent of one CPU; 0 in the first of a stream.
    pub cpu_percent: f64,
    /// CPU time since the container started, in seconds.
    pub cpu_seconds: f64,
    /// Memory that it uses, without what is only cache, in bytes.
    pub memory: u64,
    /// Its limit of memory, in bytes.
    pub memory_limit: u64,
    /// Bytes received on its networks.
    pub network_received: u64,
    /// Bytes sent on its networks.
    pub network_sent: u64,
    /// Bytes read from disks.
    pub disk_read: u64,
    /// Bytes written to disks.
    pub disk_written: u64,
    /// How many processes and threads it has.
    pub pids: u64,
    /// The engine's own answer, with its own names.
    pub raw: Value,
}

options! {
    /// Options of [`Container::stats`].
    pub struct StatsOptions {
        /// Whether measurements go on, about one a second, until the stream is dropped or the container is gone; default: yes.
        /// Else there is one, whose CPU use is that of a second.
        pub stream: Option<bool>,
        /// One measurement at once, without the second that CPU use is measured over: that is 0 then.
        pub one_shot: bool,
    }
}

fn number(value: &Value, at: &str) -> u64 {
    value.pointer(at).and_then(Value::as_u64).unwrap_or_default()
}

impl ContainerStats {
    /// Reads the engine's answer. Its CPU use is that between the two readings that the answer holds, where it holds two.
    pub(crate) fn read(raw: Value) -> Self {
        // The cache that can be given back at once is no use, in either form of control groups.
        let cache = match number(&raw, "/memory_stats/stats/total_inactive_file") {
            0 => number(&raw, "/memory_stats/stats/inactive_file"),
            n => n,
        };
        let networks = raw.get("networks").and_then(Value::as_object);
        let sum = |name: &str| networks.into_iter().flat_map(|n| n.values()).map(|n| n.get(name).and_then(Value::as_u64).unwrap_or_default()).sum();
        let disks = raw.pointer("/blkio_stats/io_service_bytes_recursive").and_then(Value::as_array);
        let disk = |op: &str| disks.into_iter().flatten().filter(|d| text(d, "op").eq_ignore_ascii_case(op)).map(|d| number(d, "/value")).sum();
        let time = |name: &str| Timestamp::read(&text(&raw, name));
        let used = number(&raw, "/cpu_stats/cpu_usage/total_usage");
        // The first of a stream has no reading before it.
        let elapsed = time("preread").zip(time("read")).map(|(before, now)| (now.unix_nanos() - before.unix_nanos()).max(0));
        Self {
            time: time("read").unwrap_or_default(),
            cpu_percent: elapsed.map_or(0.0, |e| used.saturating_sub(number(&raw, "/precpu_stats/cpu_usage/total_usage")) as f64 / (e.max(1) as f64) * 100.0),
            cpu_seconds: used as f64 / 1e9,
            memory: number(&raw, "/memory_stats/usage").saturating_sub(cache),
            memory_limit: number(&raw, "/memory_stats/limit"),
            network_received: sum("rx_bytes"),
            network_sent: sum("tx_bytes"),
            disk_read: disk("read"),
            disk_written: disk("write"),
            pids: number(&raw, "/pids_stats/current"),
            raw,
        }
    }
}

impl Container {
    /// What it uses, as a stream of measurements.
    ///
    /// # Errors
    /// `not_found`, `invalid_input` for options that exclude each other.
    pub fn stats(&self) -> Call<StatsOptions, Streaming<ContainerStats>> {
        let me = self.clone();
        Call::new("container.stats", move |o: StatsOptions, _| async move {
            let stream = o.stream.unwrap_or(!o.one_shot);
            if stream && o.one_shot {
                return Err(Error::invalid("one measurement is no stream").hint("set `stream` or `one_shot`, not both"));
            }
            let req = Req::get(&["containers", me.id(), "stats"]).query("stream", if stream { "true" } else { "false" }).flag("one-shot", o.one_shot).patient();
            let bytes = me.engine.client.bytes(req).await.map_err(|e| missing(e, me.name()))?;
            Ok(Streaming::new(json_stream(bytes).map(|row| row.map(ContainerStats::read))))
        })
    }

    /// One measurement, at once: its CPU use is not known.
    pub(crate) async fn stats_now(engine: &super::Engine, id: &str) -> Result<ContainerStats> {
        let req = Req::get(&["containers", id, "stats"]).query("stream", "false").query("one-shot", "true").within(Duration::from_secs(5));
        engine.client.fetch(req).await.map(ContainerStats::read)
    }
}

/// Measurements by container; those that are gone meanwhile are left out.
pub(crate) async fn of_all(engine: &super::Engine, ids: &[String]) -> BTreeMap<String, ContainerStats> {
    let asked = ids.iter().cloned().map(|id| async move { Container::stats_now(engine, &id).await.ok().map(|s| (id, s)) });
    let found: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(16).collect().await;
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_in_both_forms_of_control_groups() {
        let one = json!({"memory_stats": {"usage": 100, "stats": {"total_inactive_file": 40, "inactive_file": 10}}});
        let two = json!({"memory_stats": {"usage": 100, "stats": {"inactive_file": 30}}, "networks": {"a": {"rx_bytes": 1}, "b": {"rx_bytes": 2}}});
        let two = ContainerStats::read(two);
        assert_eq!((ContainerStats::read(one).memory, two.memory, two.network_received), (60, 70, 3));
    }

    #[test]
    fn cpu_is_the_difference_of_two_readings() {
        let of = |before: &str| {
            json!({"read": "2026-01-01T00:00:01Z", "preread": before,
                "cpu_stats": {"cpu_usage": {"total_usage": 600_000_000}}, "precpu_stats": {"cpu_usage": {"total_usage": 100_000_000}}})
        };
        assert!((ContainerStats::read(of("2026-01-01T00:00:00Z")).cpu_percent - 50.0).abs() < 0.01);
        assert!(ContainerStats::read(of("0001-01-01T00:00:00Z")).cpu_percent.abs() < 0.01);
    }
}
