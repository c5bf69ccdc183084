//! What containers use, from the engine's one-shot figures.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::{Engine, Filters, Req, stats, string_map, text},
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
    let ids: Vec<String> = rows.iter().map(|row| text(row, "Id")).collect();
    let before = stats::of_all(engine, &ids).await;
    let start = tokio::time::Instant::now();
    tokio::time::sleep(APART).await;
    let after = stats::of_all(engine, &ids).await;
    let elapsed = start.elapsed();
    Ok(rows
        .iter()
        .zip(ids)
        .filter_map(|(row, id)| {
            let (a, b) = (before.get(&id)?, after.get(&id)?);
            Some(Usage {
                node: node.to_owned(),
                container: row.pointer("/Names/0").and_then(Value::as_str).unwrap_or_default().trim_start_matches('/').to_owned(),
                labels: string_map(row.get("Labels")),
                container_id: id,
                cpu_percent: (b.cpu_seconds - a.cpu_seconds).max(0.0) / elapsed.as_secs_f64().max(1e-9) * 100.0,
                cpu_seconds: b.cpu_seconds,
                memory: b.memory,
                memory_limit: b.memory_limit,
                network_received: b.network_received,
                network_sent: b.network_sent,
                disk_read: b.disk_read,
                disk_written: b.disk_written,
            })
        })
        .collect())
}
