//! The attributes of the Compose Specification and the form of each, as docker compose 2.40 knows them.

use super::{
    form::{Attributes, Form},
    short,
};
use Form::{
    Any, Bool, Duration, Hosts, Int, List, Map, MapOf, MapOrNull, Mode, Number, Object, ObjectOrNull, OneOf, OneOrTexts, Pairs, PairsOrNull, Short, Size, Text,
    TextMap, Texts, Via, Words,
};

/// The top level of a file.
pub(crate) const TOP: Attributes = &[
    ("version", Text),
    ("name", Text),
    ("include", Any),
    ("services", Map(SERVICE)),
    ("networks", MapOrNull(NETWORK)),
    ("volumes", MapOrNull(VOLUME)),
    ("secrets", Map(OBJECT)),
    ("configs", Map(OBJECT)),
    ("models", MapOf(&Any)),
];

const SERVICE: Attributes = &[
    ("annotations", Pairs),
    ("attach", Bool),
    ("blkio_config", Object(BLKIO)),
    ("build", Via(short::build, &Object(BUILD))),
    ("cap_add", Texts),
    ("cap_drop", Texts),
    ("cgroup", OneOf(&["host", "private"])),
    ("cgroup_parent", Text),
    ("command", Words),
    ("configs", Short(short::reference, REFERENCE)),
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
    ("depends_on", Via(short::depends_on, &Map(DEPENDENCY))),
    ("deploy", Object(DEPLOY)),
    ("develop", Any),
    ("device_cgroup_rules", Texts),
    ("devices", Short(short::device, &[("source", Text), ("target", Text), ("permissions", Text)])),
    ("dns", OneOrTexts),
    ("dns_opt", Texts),
    ("dns_search", OneOrTexts),
    ("domainname", Text),
    ("entrypoint", Words),
    ("env_file", Via(short::list_of_one, &Short(short::env_file, &[("path", Text), ("required", Bool), ("format", Text)]))),
    ("environment", PairsOrNull),
    ("expose", Texts),
    ("extends", Any),
    ("external_links", Texts),
    ("extra_hosts", Hosts),
    ("gpus", Via(short::gpus, &List(DEVICE_REQUEST))),
    ("group_add", Texts),
    ("healthcheck", Object(HEALTHCHECK)),
    ("hostname", Text),
    ("image", Text),
    ("init", Bool),
    ("ipc", Text),
    ("isolation", Text),
    ("label_file", OneOrTexts),
    ("labels", Pairs),
    ("links", Texts),
    ("logging", Object(&[("driver", Text), ("options", TextMap)])),
    ("mac_address", Text),
    ("mem_limit", Size),
    ("mem_reservation", Size),
    ("mem_swappiness", Size),
    ("memswap_limit", Size),
    ("models", Any),
    ("network_mode", Text),
    ("networks", Via(short::keys, &MapOrNull(SERVICE_NETWORK))),
    ("oom_kill_disable", Bool),
    ("oom_score_adj", Int),
    ("pid", Text),
    ("pids_limit", Int),
    ("platform", Text),
    ("ports", Short(short::port, PORT)),
    ("post_start", List(HOOK)),
    ("pre_stop", List(HOOK)),
    ("privileged", Bool),
    ("profiles", Texts),
    ("provider", Any),
    ("pull_policy", Text),
    ("pull_refresh_after", Text),
    ("read_only", Bool),
    ("restart", Text),
    ("runtime", Text),
    ("scale", Int),
    ("secrets", Short(short::reference, REFERENCE)),
    ("security_opt", Texts),
    ("shm_size", Size),
    ("stdin_open", Bool),
    ("stop_grace_period", Duration),
    ("stop_signal", Text),
    ("storage_opt", TextMap),
    ("sysctls", Pairs),
    ("tmpfs", OneOrTexts),
    ("tty", Bool),
    ("ulimits", MapOf(&Form::Via(short::ulimit, &Any))),
    ("use_api_socket", Bool),
    ("user", Text),
    ("userns_mode", Text),
    ("uts", Text),
    ("volumes", Short(short::volume, MOUNT)),
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
    ("no_cache_filter", OneOrTexts),
    ("platforms", Texts),
    ("privileged", Bool),
    ("provenance", Text),
    ("pull", Bool),
    ("sbom", Text),
    ("secrets", Short(short::build_secret, REFERENCE)),
    ("shm_size", Size),
    ("ssh", Via(short::ssh, &List(&[("id", Text), ("path", Text)]))),
    ("tags", Texts),
    ("target", Text),
    ("ulimits", MapOf(&Form::Via(short::ulimit, &Any))),
];

const DEPLOY: Attributes = &[
    ("endpoint_mode", Text),
    ("labels", Pairs),
    ("mode", OneOf(&["replicated", "global", "replicated-job", "global-job"])),
    ("placement", Object(&[("constraints", Texts), ("preferences", List(&[("spread", Text)])), ("max_replicas_per_node", Int)])),
    ("replicas", Int),
    ("resources", Object(&[("limits", Object(AMOUNT)), ("reservations", Object(AMOUNT))])),
    ("restart_policy", Object(&[("condition", Text), ("delay", Duration), ("max_attempts", Int), ("window", Duration)])),
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

const UPDATE: Attributes = &[
    ("parallelism", Int),
    ("delay", Duration),
    ("failure_action", Text),
    ("monitor", Duration),
    ("max_failure_ratio", Number),
    ("order", OneOf(&["start-first", "stop-first"])),
];

const DEVICE_REQUEST: Attributes = &[("capabilities", Texts), ("count", Via(short::count, &Int)), ("device_ids", Texts), ("driver", Text), ("options", Pairs)];

const HEALTHCHECK: Attributes = &[
    ("disable", Bool),
    ("interval", Duration),
    ("retries", Int),
    ("start_interval", Duration),
    ("start_period", Duration),
    ("test", Via(short::health_test, &Texts)),
    ("timeout", Duration),
];

const SERVICE_NETWORK: Attributes = &[
    ("aliases", Texts),
    ("driver_opts", TextMap),
    ("gw_priority", Int),
    ("interface_name", Text),
    ("ipv4_address", Text),
    ("ipv6_address", Text),
    ("link_local_ips", Texts),
    ("mac_address", Text),
    ("priority", Int),
];

const DEPENDENCY: Attributes =
    &[("condition", OneOf(&["service_started", "service_healthy", "service_completed_successfully"])), ("restart", Bool), ("required", Bool)];

const REFERENCE: Attributes = &[("source", Text), ("target", Text), ("uid", Text), ("gid", Text), ("mode", Mode)];

const PORT: Attributes = &[("name", Text), ("mode", Text), ("host_ip", Text), ("target", Int), ("published", Text), ("protocol", Text), ("app_protocol", Text)];

const MOUNT: Attributes = &[
    ("type", OneOf(&["bind", "volume", "tmpfs", "npipe", "cluster", "image"])),
    ("source", Text),
    ("target", Text),
    ("read_only", Bool),
    ("consistency", Text),
    ("bind", Object(&[("propagation", Text), ("create_host_path", Bool), ("recursive", Text), ("selinux", Text)])),
    ("volume", Object(&[("nocopy", Bool), ("subpath", Text), ("labels", Pairs)])),
    ("tmpfs", Object(&[("size", Size), ("mode", Int)])),
    ("image", Object(&[("subpath", Text)])),
];

const HOOK: Attributes = &[("command", Words), ("user", Text), ("privileged", Bool), ("working_dir", Text), ("environment", PairsOrNull)];

const BLKIO: Attributes = &[
    ("weight", Int),
    ("weight_device", List(&[("path", Text), ("weight", Int)])),
    ("device_read_bps", List(RATE)),
    ("device_read_iops", List(RATE)),
    ("device_write_bps", List(RATE)),
    ("device_write_iops", List(RATE)),
];

const RATE: Attributes = &[("path", Text), ("rate", Size)];

const NETWORK: Attributes = &[
    ("name", Text),
    ("driver", Text),
    ("driver_opts", TextMap),
    (
        "ipam",
        Object(&[
            ("driver", Text),
            ("config", List(&[("subnet", Text), ("gateway", Text), ("ip_range", Text), ("aux_addresses", TextMap)])),
            ("options", TextMap),
        ]),
    ),
    ("external", Via(short::external, &Bool)),
    ("internal", Bool),
    ("attachable", Bool),
    ("labels", Pairs),
    ("enable_ipv4", Bool),
    ("enable_ipv6", Bool),
];

const VOLUME: Attributes = &[("name", Text), ("driver", Text), ("driver_opts", TextMap), ("external", Via(short::external, &Bool)), ("labels", Pairs)];

const OBJECT: Attributes = &[
    ("name", Text),
    ("file", Text),
    ("environment", Text),
    ("content", Text),
    ("external", Via(short::external, &Bool)),
    ("labels", Pairs),
    ("driver", Text),
    ("driver_opts", TextMap),
    ("template_driver", Text),
];

/// The form of a whole file.
pub(crate) const FILE: Form = ObjectOrNull(TOP);
