//! What a node may do: everything, or, where this host itself lacks a capability, everything that the host has.
//!
//! Older engines ask for all capabilities that the kernel knows when a container is privileged, and fail on hosts that
//! are containers or small virtual machines with fewer of them.

use crate::engine::ContainerSpec;

/// The names of capabilities, by number; the newer ones, which not every engine knows, are not needed.
const NAMES: [&str; 38] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
];

/// The capabilities that this process could ever have, as bits, and the number of the kernel's last one.
fn bounding() -> Option<(u64, usize)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bits = status.lines().find_map(|l| l.strip_prefix("CapBnd:"))?;
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok()?.trim().parse().ok()?;
    Some((u64::from_str_radix(bits.trim(), 16).ok()?, last))
}

/// Gives a container what an engine in it needs.
pub(super) fn grant(spec: ContainerSpec) -> ContainerSpec {
    match bounding().map(|(bits, last)| names(bits, last)) {
        Some(Some(some)) => {
            spec.cap_add(some).security_opt(["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]).device_cgroup_rules(["a *:* rwm"])
        }
        _ => spec.privileged(true),
    }
}

/// The names of the capabilities that are there; none when nothing is missing.
fn names(bits: u64, last: usize) -> Option<Vec<String>> {
    let has = |i: usize| bits & (1 << i) != 0;
    if (0..=last.min(63)).all(has) {
        return None;
    }
    Some(NAMES.iter().enumerate().filter(|(i, _)| *i <= last && has(*i)).map(|(_, n)| (*n).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_everything_gives_full_privileges() {
        assert_eq!(names((1 << 41) - 1, 40), None);
    }

    #[test]
    fn what_the_host_lacks_is_left_out() {
        let some = names(0x1ff_feff_ffff, 40).unwrap();
        assert!(!some.contains(&"SYS_RESOURCE".to_owned()));
        assert!(some.contains(&"SYS_ADMIN".to_owned()) && some.contains(&"AUDIT_READ".to_owned()));
    }
}
