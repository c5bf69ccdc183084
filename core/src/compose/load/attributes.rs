//! The attributes of the canonical form and the type of each.

use super::form::{
    Attributes,
    Form::{
        self, Bool, Count, Duration, Hosts, Int, List, Map, MapOrNull, Maybe, Mode, Number, Object, Options, Pairs, PairsOrNull, ProviderOptions, Scalar, Size,
        Ssh, Strict, Test, Text, TextMap, Texts, Ulimits, Unsigned, Words,
    },
};

/// The top level of a file.
pub(crate) const TOP: Attributes = &[
    ("name", Text),
    ("services", Map(SERVICE)),
    ("networks", MapOrNull(NETWORK)),
    ("volumes", MapOrNull(VOLUME)),
    ("secrets", Map(OBJECT)),
    ("configs", Map(OBJECT)),
    ("models", Map(MODEL)),
];

const SERVICE: Attributes = &[
    ("annotations", Pairs),
    ("attach", Bool),
    ("blkio_config", Object(BLKIO)),
    ("build", Object(BUILD)),
    ("cap_add", Texts),
    ("cap_drop", Texts),
    ("cgroup", Text),
    ("cgroup_parent", Text),
    ("command", Words),
    ("configs", List(REFERENCE)),
    ("container_name", Text),
    ("cpu_count", Int),
    ("cpu_percent", Number),
    ("cpu_period", Int),
    ("cpu_quota", Int),
    ("cpu_rt_period", Int),
    ("cpu_rt_runtime", Int),
    ("cpu_shares", Int),
    ("cpus", Number),
    ("cpuset", Text),
    ("credential_spec", Object(&[("config", Text), ("file", Text), ("registry", Text)])),
    ("depends_on", Map(DEPENDENCY)),
    ("deploy", Maybe(DEPLOY)),
    ("develop", Maybe(&[("watch", List(WATCH))])),
    ("device_cgroup_rules", Texts),
    ("devices", List(&[("source", Text), ("target", Text), ("permissions", Text)])),
    ("dns", Texts),
    ("dns_opt", Texts),
    ("dns_search", Texts),
    ("domainname", Text),
    ("entrypoint", Words),
    ("env_file", List(&[("path", Text), ("required", Bool), ("format", Text)])),
    ("environment", PairsOrNull),
    ("expose", Texts),
    ("external_links", Texts),
    ("extra_hosts", Hosts),
    ("gpus", List(DEVICE_REQUEST)),
    ("group_add", Texts),
    ("healthcheck", Object(HEALTHCHECK)),
    ("hostname", Text),
    ("image", Text),
    ("init", Bool),
    ("ipc", Text),
    ("isolation", Text),
    ("label_file", Texts),
    ("labels", Pairs),
    ("links", Texts),
    ("logging", Object(&[("driver", Text), ("options", Options)])),
    ("mac_address", Text),
    ("mem_limit", Size),
    ("mem_reservation", Size),
    ("mem_swappiness", Size),
    ("memswap_limit", Size),
    ("models", MapOrNull(&[("endpoint_var", Text), ("model_var", Text)])),
    ("network_mode", Text),
    ("networks", MapOrNull(SERVICE_NETWORK)),
    ("oom_kill_disable", Bool),
    ("oom_score_adj", Int),
    ("pid", Text),
    ("pids_limit", Int),
    ("platform", Text),
    ("ports", List(PORT)),
    ("post_start", List(HOOK)),
    ("pre_start", List(HOOK)),
    ("pre_stop", List(HOOK)),
    ("privileged", Bool),
    ("profiles", Texts),
    ("provider", Object(&[("type", Text), ("options", ProviderOptions)])),
    ("pull_policy", Text),
    ("pull_refresh_after", Text),
    ("read_only", Bool),
    ("restart", Text),
    ("runtime", Text),
    ("scale", Unsigned),
    ("secrets", List(REFERENCE)),
    ("security_opt", Texts),
    ("shm_size", Size),
    ("stdin_open", Bool),
    ("stop_grace_period", Duration),
    ("stop_signal", Text),
    ("storage_opt", TextMap),
    ("sysctls", Pairs),
    ("tmpfs", Texts),
    ("tty", Bool),
    ("ulimits", Ulimits),
    ("use_api_socket", Bool),
    ("user", Text),
    ("userns_mode", Text),
    ("uts", Text),
    ("volumes", List(MOUNT)),
    ("volumes_from", Texts),
    ("working_dir", Text),
];

const BUILD: Attributes = &[
    ("additional_contexts", Pairs),
    ("args", PairsOrNull),
    ("cache_from", Texts),
    ("cache_to", Texts),
    ("context", Text),
    ("dockerfile", Text),
    ("dockerfile_inline", Text),
    ("entitlements", Texts),
    ("extra_hosts", Hosts),
    ("isolation", Text),
    ("labels", Pairs),
    ("network", Text),
    ("no_cache", Bool),
    ("no_cache_filter", Texts),
    ("platforms", Texts),
    ("privileged", Bool),
    ("provenance", Scalar),
    ("pull", Bool),
    ("sbom", Scalar),
    ("secrets", List(REFERENCE)),
    ("shm_size", Size),
    ("ssh", Ssh),
    ("tags", Texts),
    ("target", Text),
    ("ulimits", Ulimits),
];

const DEPLOY: Attributes = &[
    ("endpoint_mode", Text),
    ("labels", Pairs),
    ("mode", Text),
    ("placement", Object(&[("constraints", Texts), ("preferences", List(&[("spread", Text)])), ("max_replicas_per_node", Unsigned)])),
    ("replicas", Unsigned),
    ("resources", Object(&[("limits", Object(AMOUNT)), ("reservations", Object(AMOUNT))])),
    ("restart_policy", Object(&[("condition", Text), ("delay", Duration), ("max_attempts", Unsigned), ("window", Duration)])),
    ("rollback_config", Object(UPDATE)),
    ("update_config", Object(UPDATE)),
];

const AMOUNT: Attributes = &[
    ("cpus", Number),
    ("memory", Size),
    ("pids", Int),
    ("devices", List(DEVICE_REQUEST)),
    ("generic_resources", List(&[("discrete_resource_spec", Object(&[("kind", Text), ("value", Int)]))])),
];

const UPDATE: Attributes =
    &[("parallelism", Unsigned), ("delay", Duration), ("failure_action", Text), ("monitor", Duration), ("max_failure_ratio", Number), ("order", Text)];

const DEVICE_REQUEST: Attributes = &[("capabilities", Texts), ("count", Count), ("device_ids", Texts), ("driver", Text), ("options", Pairs)];

const HEALTHCHECK: Attributes = &[
    ("disable", Bool),
    ("interval", Duration),
    ("retries", Unsigned),
    ("start_interval", Duration),
    ("start_period", Duration),
    ("test", Test),
    ("timeout", Duration),
];

const SERVICE_NETWORK: Attributes = &[
    ("aliases", Texts),
    ("driver_opts", Options),
    ("gw_priority", Int),
    ("interface_name", Text),
    ("ipv4_address", Text),
    ("ipv6_address", Text),
    ("link_local_ips", Texts),
    ("mac_address", Text),
    ("priority", Int),
];

const DEPENDENCY: Attributes = &[("condition", Text), ("restart", Bool), ("required", Bool)];

const REFERENCE: Attributes = &[("source", Text), ("target", Text), ("uid", Text), ("gid", Text), ("mode", Mode)];

const PORT: Attributes =
    &[("name", Text), ("mode", Text), ("host_ip", Text), ("target", Unsigned), ("published", Text), ("protocol", Text), ("app_protocol", Text)];

const MOUNT: Attributes = &[
    ("type", Text),
    ("source", Text),
    ("target", Text),
    ("read_only", Bool),
    ("consistency", Text),
    ("bind", Object(&[("propagation", Text), ("create_host_path", Bool), ("recursive", Text), ("selinux", Text)])),
    ("volume", Object(&[("nocopy", Bool), ("subpath", Text), ("labels", Pairs)])),
    ("tmpfs", Object(&[("size", Size), ("mode", Strict)])),
    ("image", Object(&[("subpath", Text)])),
];

const MODEL: Attributes = &[("name", Text), ("model", Text), ("context_size", Int), ("runtime_flags", Texts)];

const WATCH: Attributes =
    &[("action", Text), ("exec", Object(HOOK)), ("ignore", Texts), ("include", Texts), ("initial_sync", Bool), ("path", Text), ("target", Text)];

const HOOK: Attributes = &[("command", Words), ("user", Text), ("privileged", Bool), ("working_dir", Text), ("environment", PairsOrNull)];

const BLKIO: Attributes = &[
    ("weight", Strict),
    ("weight_device", List(&[("path", Text), ("weight", Strict)])),
    ("device_read_bps", List(RATE)),
    ("device_read_iops", List(RATE)),
    ("device_write_bps", List(RATE)),
    ("device_write_iops", List(RATE)),
];

const RATE: Attributes = &[("path", Text), ("rate", Size)];

const NETWORK: Attributes = &[
    ("name", Text),
    ("driver", Text),
    ("driver_opts", Options),
    (
        "ipam",
        Object(&[
            ("driver", Text),
            ("config", List(&[("subnet", Text), ("gateway", Text), ("ip_range", Text), ("aux_addresses", TextMap)])),
            ("options", Options),
        ]),
    ),
    ("external", Bool),
    ("internal", Bool),
    ("attachable", Bool),
    ("labels", Pairs),
    ("enable_ipv4", Bool),
    ("enable_ipv6", Bool),
];

const VOLUME: Attributes = &[("name", Text), ("driver", Text), ("driver_opts", Options), ("external", Bool), ("labels", Pairs)];

const OBJECT: Attributes = &[
    ("name", Text),
    ("file", Text),
    ("environment", Text),
    ("content", Text),
    ("external", Bool),
    ("labels", Pairs),
    ("driver", Text),
    ("driver_opts", Options),
    ("template_driver", Text),
];

/// The form of a whole file.
pub(crate) const FILE: Form = Object(TOP);
