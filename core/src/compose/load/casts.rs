//! The places whose texts are turned into numbers and booleans when variables are filled in.

use super::{
    Problems,
    node::{Node, Yaml},
    trail::{RULES, Trail},
};

/// The type of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    Int,
    Float,
    Float32,
    Bool,
}

/// The type of a place, if it has one.
pub(crate) fn at(trail: &Trail<'_>) -> Option<Cast> {
    let mut room = [""; RULES];
    Some(match trail.names(&mut room)? {
        ["services", _, rest @ ..] => match rest {
            ["cpu_percent"] | ["deploy", "update_config" | "rollback_config", "max_failure_ratio"] => Cast::Float,
            ["cpus"] => Cast::Float32,
            ["cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime" | "cpu_shares" | "oom_score_adj" | "pids_limit" | "scale"]
            | ["deploy", "replicas"]
            | ["deploy", "update_config" | "rollback_config", "parallelism"]
            | ["deploy", "restart_policy", "max_attempts"]
            | ["deploy", "placement", "max_replicas_per_node"]
            | ["healthcheck", "retries"]
            | ["ports", "[]", "target"]
            | ["ulimits", _]
            | ["ulimits", _, "hard" | "soft"] => Cast::Int,
            ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"]
            | ["depends_on", _, "restart"]
            | ["healthcheck", "disable"]
            | ["volumes", "[]", "read_only"]
            | ["volumes", "[]", "volume", "nocopy"] => Cast::Bool,
            _ => return None,
        },
        ["networks", _, "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6"] | ["volumes" | "secrets" | "configs", _, "external"] => {
            Cast::Bool
        }
        _ => return None,
    })
}

/// Turns a text into its type, or tells that it is none.
pub(crate) fn apply(node: &mut Node, cast: Cast, trail: &Trail<'_>, problems: &mut Problems) {
    let Yaml::Text(t) = &node.value else { return };
    let (value, expected) = match cast {
        Cast::Int => (integer(t).map(Yaml::Int), "a whole number"),
        Cast::Float => (float(t).map(Yaml::Float), "a number"),
        Cast::Float32 => (float(t).map(|f| Yaml::Float(f64::from(f as f32))), "a number"),
        Cast::Bool => (boolean(t, node, trail, problems).map(Yaml::Bool), "true or false"),
    };
    match value {
        Some(value) => node.value = value,
        None => {
            problems.errors.push(node.unexpected(trail, expected));
            node.value = Yaml::Broken;
        }
    }
}

/// A whole number as Go's `strconv` reads it.
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A number as Go's `strconv` reads it: with `_` between digits, or hexadecimal with an exponent of two.
pub(crate) fn float(text: &str) -> Option<f64> {
    let between = |at: usize| {
        let digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
        digit(at.checked_sub(1).and_then(|i| text.as_bytes().get(i).copied())) && digit(text.as_bytes().get(at + 1).copied())
    };
    if text.match_indices('_').any(|(at, _)| !between(at)) {
        return None;
    }
    let text = text.replace('_', "");
    let plain = text.strip_prefix(['+', '-']).unwrap_or(&text).to_ascii_lowercase();
    if let Some(hex) = plain.strip_prefix("0x") {
        let (mantissa, exponent) = hex.split_once('p')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let shift = i32::try_from(fraction.len()).ok()? * 4;
        let value = u64::from_str_radix(&digits, 16).ok()? as f64 * 2f64.powi(exponent.parse::<i32>().ok()?.checked_sub(shift)?);
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let named = matches!(plain.as_str(), "inf" | "infinity" | "nan");
    let ends = plain.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    (named || ends).then(|| text.parse().ok()).flatten().filter(|f: &f64| named || f.is_finite())
}

/// A boolean; one that is not of YAML 1.2 is worth a word.
pub(crate) fn boolean(text: &str, node: &Node, trail: &Trail<'_>, problems: &mut Problems) -> Option<bool> {
    let (value, old) = match text.to_lowercase().as_str() {
        "true" => (true, false),
        "false" => (false, false),
        "y" | "yes" | "on" => (true, true),
        "n" | "no" | "off" => (false, true),
        _ => return None,
    };
    if old {
        problems.warnings.push(node.problem(trail, format!("{} is no boolean of YAML 1.2; write {value}", node.shown())));
    }
    Some(value)
}
