//! What containers use, from the engine's one-shot figures.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::{Engine, Filters, Req, string_map, text},
    error::Result,
};

/// What a container uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// The node it is on.
    pub node: String,
    /// The container's ID.
    pub container_id: String,
    /// The container's name.
    pub container: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// CPU use now, in percent of one CPU.
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
}

/// How long after the first reading the second one is taken: CPU use is the difference.
const APART: Duration = Duration::from_millis(250);

/// What the running containers of an engine use.
pub(crate) async fn of_engine(node: &str, engine: &Engine) -> Result<Vec<Usage>> {
    let filters = Filters::from([("status".to_owned(), vec!["running".to_owned()])]);
    let rows: Vec<Value> = engine.client.fetch(Req::get(&["containers", "json"]).filters(&filters).within(Duration::from_secs(5))).await?;
    let before = readings(engine, &rows).await;
    let start = tokio::time::Instant::now();
    tokio::time::sleep(APART).await;
    let after = readings(engine, &rows).await;
    let elapsed = start.elapsed();
    Ok(rows
        .iter()
        .filter_map(|row| {
            let id = text(row, "Id");
            let (a, b) = (before.get(&id)?, after.get(&id)?);
            let mut usage = read(b);
            usage.cpu_percent = percent(a, b, elapsed);
            usage.node = node.to_owned();
            usage.container = row.pointer("/Names/0").and_then(Value::as_str).unwrap_or_default().trim_start_matches('/').to_owned();
            usage.labels = string_map(row.get("Labels"));
            usage.container_id = id;
            Some(usage)
        })
        .collect())
}

async fn readings(engine: &Engine, rows: &[Value]) -> BTreeMap<String, Value> {
    let ids: Vec<String> = rows.iter().map(|row| text(row, "Id")).collect();
    let asked = ids.into_iter().map(|id| async move {
        let req = Req::get(&["containers", &id, "stats"]).query("stream", "false").query("one-shot", "true").within(Duration::from_secs(5));
        let answer: Option<Value> = engine.client.fetch(req).await.ok();
        answer.map(|a| (id, a))
    });
    let found: Vec<Option<(String, Value)>> = futures_util::stream::iter(asked).buffer_unordered(16).collect().await;
    found.into_iter().flatten().collect()
}

fn number(value: &Value, at: &str) -> u64 {
    value.pointer(at).and_then(Value::as_u64).unwrap_or_default()
}

fn percent(before: &Value, after: &Value, elapsed: Duration) -> f64 {
    let used = number(after, "/cpu_stats/cpu_usage/total_usage").saturating_sub(number(before, "/cpu_stats/cpu_usage/total_usage"));
    used as f64 / (elapsed.as_nanos().max(1) as f64) * 100.0
}

fn read(stats: &Value) -> Usage {
    // The cache that can be given back at once is no use, in either form of control groups.
    let cache = match number(stats, "/memory_stats/stats/total_inactive_file") {
        0 => number(stats, "/memory_stats/stats/inactive_file"),
        n => n,
    };
    let networks = stats.get("networks").and_then(Value::as_object).cloned().unwrap_or_default();
    let disks = stats.pointer("/blkio_stats/io_service_bytes_recursive").and_then(Value::as_array).cloned().unwrap_or_default();
    let sum = |name: &str| networks.values().map(|n| n.get(name).and_then(Value::as_u64).unwrap_or_default()).sum();
    let disk =
        |op: &str| disks.iter().filter(|d| text(d, "op").eq_ignore_ascii_case(op)).map(|d| d.get("value").and_then(Value::as_u64).unwrap_or_default()).sum();
    Usage {
        cpu_seconds: number(stats, "/cpu_stats/cpu_usage/total_usage") as f64 / 1e9,
        memory: number(stats, "/memory_stats/usage").saturating_sub(cache),
        memory_limit: number(stats, "/memory_stats/limit"),
        network_received: sum("rx_bytes"),
        network_sent: sum("tx_bytes"),
        disk_read: disk("read"),
        disk_written: disk("write"),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_in_both_forms_of_control_groups() {
        let one = json!({"memory_stats": {"usage": 100, "stats": {"total_inactive_file": 40, "inactive_file": 10}}});
        let two = json!({"memory_stats": {"usage": 100, "stats": {"inactive_file": 30}}, "networks": {"a": {"rx_bytes": 1}, "b": {"rx_bytes": 2}}});
        assert_eq!((read(&one).memory, read(&two).memory, read(&two).network_received), (60, 70, 3));
    }

    #[test]
    fn cpu_is_the_difference_of_two_readings() {
        let of = |n: u64| json!({"cpu_stats": {"cpu_usage": {"total_usage": n}}});
        assert!((percent(&of(1_000_000), &of(51_000_000), Duration::from_millis(100)) - 50.0).abs() < 0.01);
    }
}
