//! A snapshot as OpenMetrics text, with cAdvisor's names, so that dashboards made for those work.

use std::fmt::Write;

use super::{ClusterSnapshot, Usage};

type Figure = (&'static str, &'static str, &'static str, fn(&Usage) -> f64);

const FIGURES: [Figure; 8] = [
    ("container_cpu_usage_seconds", "counter", "CPU time used.", |u| u.cpu_seconds),
    ("container_memory_working_set_bytes", "gauge", "Memory used, without cache.", |u| u.memory as f64),
    ("container_spec_memory_limit_bytes", "gauge", "Limit of memory.", |u| u.memory_limit as f64),
    ("container_network_receive_bytes", "counter", "Bytes received.", |u| u.network_received as f64),
    ("container_network_transmit_bytes", "counter", "Bytes sent.", |u| u.network_sent as f64),
    ("container_fs_reads_bytes", "counter", "Bytes read from disks.", |u| u.disk_read as f64),
    ("container_fs_writes_bytes", "counter", "Bytes written to disks.", |u| u.disk_written as f64),
    ("container_cpu_usage_percent", "gauge", "CPU use now, in percent of one CPU.", |u| u.cpu_percent),
];

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A name of a label: letters, digits and `_`.
fn label_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

pub(crate) fn open_metrics(snapshot: &ClusterSnapshot) -> String {
    let mut out = String::new();
    let cluster = escaped(&snapshot.name);
    for (name, kind, help, read) in FIGURES {
        let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}");
        let suffix = if kind == "counter" { "_total" } else { "" };
        for usage in &snapshot.usage {
            let mut labels =
                format!("cluster=\"{cluster}\",instance=\"{}\",id=\"{}\",name=\"{}\"", escaped(&usage.node), usage.container_id, escaped(&usage.container));
            for (label, value) in usage.labels.iter().filter(|(l, _)| l.starts_with("com.docker.")) {
                let _ = write!(labels, ",container_label_{}=\"{}\"", label_name(label), escaped(value));
            }
            let _ = writeln!(out, "{name}{suffix}{{{labels}}} {}", read(usage));
        }
    }
    let _ = writeln!(out, "# TYPE swarm_node_ready gauge\n# HELP swarm_node_ready Whether a node is ready.");
    for node in &snapshot.nodes {
        let ready = u8::from(node.state == "ready");
        let _ = writeln!(out, "swarm_node_ready{{cluster=\"{cluster}\",instance=\"{}\",role=\"{}\"}} {ready}", escaped(&node.name), node.role);
    }
    for (name, help, read) in [
        ("swarm_service_desired_tasks", "Tasks that should run.", (|s| s.desired_tasks) as fn(&super::ServiceSnapshot) -> u64),
        ("swarm_service_running_tasks", "Tasks that run.", |s| s.running_tasks),
    ] {
        let _ = writeln!(out, "# TYPE {name} gauge\n# HELP {name} {help}");
        for service in &snapshot.services {
            let _ = writeln!(out, "{name}{{cluster=\"{cluster}\",service=\"{}\"}} {}", escaped(&service.name), read(service));
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_the_text_ends() {
        let usage =
            Usage { node: "a\"b".into(), labels: [("com.docker.swarm.service.name".to_owned(), "web".to_owned())].into(), memory: 5, ..Usage::default() };
        let text = open_metrics(&ClusterSnapshot { name: "demo".into(), usage: vec![usage], ..ClusterSnapshot::default() });
        assert!(text.contains("instance=\"a\\\"b\""));
        assert!(text.contains("container_label_com_docker_swarm_service_name=\"web\"} 5\n"));
        assert!(text.ends_with("# EOF\n"));
    }
}
