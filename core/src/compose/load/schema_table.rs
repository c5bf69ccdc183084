//! The attributes of the Compose Specification and what each may hold, as docker compose 2.40 knows them, with what 5.x
//! adds.

use super::schema::{
    Attributes, BOOL, INT, Keys, NULL, NUMBER,
    Schema::{self, Either, Enum, List, Loose, Map, Object, Of, Range, Rule},
    TEXT,
};

const STRING: Schema = Of(TEXT);
const FLAG: Schema = Of(BOOL | TEXT);
const NUM: Schema = Of(NUMBER | TEXT);
const WHOLE: Schema = Of(INT | TEXT);
/// A list of texts that differ.
const NAMES: Schema = List { item: &STRING, unique: true };
const TEXTS: Schema = List { item: &STRING, unique: false };
const TEXT_OR_LIST: Schema = Either(&[STRING, NAMES]);
const TEXT_OR_NUMBER: Schema = Of(TEXT | NUMBER);
/// `KEY: value` or a list of `KEY=value`.
const PAIRS: Schema = Either(&[Map { key: Keys::Filled, value: &Of(TEXT | NUMBER | BOOL | NULL), closed: true }, NAMES]);
const HOSTS: Schema = Either(&[Map { key: Keys::Filled, value: &Either(&[STRING, TEXTS]), closed: true }, NAMES]);
const COMMAND: Schema = Either(&[Of(NULL), STRING, TEXTS]);
const OPTIONS: Schema = Map { key: Keys::Filled, value: &TEXT_OR_NUMBER, closed: false };

const fn object(attributes: Attributes) -> Schema {
    Object { attributes, required: &[], open: true }
}

const fn closed(attributes: Attributes) -> Schema {
    Object { attributes, required: &[], open: false }
}

const fn or_null(form: &'static [Schema]) -> Schema {
    Either(form)
}

const fn named(value: &'static Schema, closed: bool) -> Schema {
    Map { key: Keys::Name, value, closed }
}

/// A whole file.
pub(crate) const FILE: Schema = object(TOP);

const TOP: Attributes = &[
    ("version", STRING),
    ("name", STRING),
    ("include", List { item: &Either(&[STRING, closed(&[("path", TEXT_OR_LIST), ("env_file", TEXT_OR_LIST), ("project_directory", STRING)])]), unique: false }),
    ("services", named(&object(SERVICE), true)),
    ("models", named(&Object { attributes: MODEL, required: &["model"], open: true }, false)),
    ("networks", named(&or_null(&[object(NETWORK), Of(NULL)]), false)),
    ("volumes", named(&or_null(&[object(VOLUME), Of(NULL)]), true)),
    ("secrets", named(&object(SECRET), true)),
    ("configs", named(&object(CONFIG), true)),
];

/// Docker's pattern is not tied to the ends of the text.
fn container_name(text: &str) -> bool {
    let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.as_bytes().windows(2).any(|w| matches!(w, [a, b] if a.is_ascii_alphanumeric() && part(*b)))
}

fn pull_policy(text: &str) -> bool {
    let words = ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    let every = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest.get(digits..).is_some_and(|r| r.starts_with(['w', 'd', 'h', 'm', 's']))
    };
    words.iter().any(|w| text.contains(w)) || text.match_indices("every_").any(|(at, w)| text.get(at + w.len()..).is_some_and(every))
}

const SERVICE: Attributes = &[
    ("annotations", PAIRS),
    ("attach", FLAG),
    ("blkio_config", closed(BLKIO)),
    ("build", Either(&[STRING, object(BUILD)])),
    ("cap_add", NAMES),
    ("cap_drop", NAMES),
    ("cgroup", Enum(&["host", "private"])),
    ("cgroup_parent", STRING),
    ("command", COMMAND),
    ("configs", REFERENCES),
    ("container_name", Rule(container_name, "a name of two or more letters, digits, `_`, `.` and `-`")),
    ("cpu_count", Either(&[STRING, Range(0, i64::MAX)])),
    ("cpu_percent", Either(&[STRING, Range(0, 100)])),
    ("cpu_period", NUM),
    ("cpu_quota", NUM),
    ("cpu_rt_period", NUM),
    ("cpu_rt_runtime", NUM),
    ("cpu_shares", NUM),
    ("cpus", NUM),
    ("cpuset", STRING),
    ("credential_spec", object(&[("config", STRING), ("file", STRING), ("registry", STRING)])),
    ("depends_on", Either(&[NAMES, named(&Object { attributes: DEPENDENCY, required: &["condition"], open: true }, true)])),
    ("deploy", or_null(&[object(DEPLOY), Of(NULL)])),
    (
        "develop",
        or_null(&[object(&[("watch", List { item: &Object { attributes: WATCH, required: &["path", "action"], open: true }, unique: false })]), Of(NULL)]),
    ),
    ("device_cgroup_rules", NAMES),
    ("devices", List { item: &Either(&[STRING, Object { attributes: DEVICE, required: &["source"], open: true }]), unique: false }),
    ("dns", TEXT_OR_LIST),
    ("dns_opt", NAMES),
    ("dns_search", TEXT_OR_LIST),
    ("domainname", STRING),
    ("entrypoint", COMMAND),
    ("env_file", Either(&[STRING, List { item: &Either(&[STRING, Object { attributes: ENV_FILE, required: &["path"], open: false }]), unique: false }])),
    ("environment", PAIRS),
    ("expose", List { item: &TEXT_OR_NUMBER, unique: true }),
    ("extends", Either(&[STRING, Object { attributes: &[("service", STRING), ("file", STRING)], required: &["service"], open: false }])),
    ("external_links", NAMES),
    ("extra_hosts", HOSTS),
    ("gpus", Either(&[Enum(&["all"]), List { item: &Loose { attributes: DEVICE_REQUEST }, unique: false }])),
    ("group_add", List { item: &TEXT_OR_NUMBER, unique: true }),
    ("healthcheck", object(HEALTHCHECK)),
    ("hostname", STRING),
    ("image", STRING),
    ("init", FLAG),
    ("ipc", STRING),
    ("isolation", STRING),
    ("label_file", Either(&[STRING, TEXTS])),
    ("labels", PAIRS),
    ("links", NAMES),
    ("logging", object(&[("driver", STRING), ("options", Map { key: Keys::Filled, value: &Of(TEXT | NUMBER | NULL), closed: false })])),
    ("mac_address", STRING),
    ("mem_limit", NUM),
    ("mem_reservation", WHOLE),
    ("mem_swappiness", WHOLE),
    ("memswap_limit", NUM),
    ("models", Either(&[NAMES, named(&or_null(&[object(&[("endpoint_var", STRING), ("model_var", STRING)]), Of(NULL)]), false)])),
    ("network_mode", STRING),
    ("networks", Either(&[NAMES, named(&or_null(&[object(SERVICE_NETWORK), Of(NULL)]), true)])),
    ("oom_kill_disable", FLAG),
    ("oom_score_adj", Either(&[STRING, Range(-1000, 1000)])),
    ("pid", Of(TEXT | NULL)),
    ("pids_limit", NUM),
    ("platform", STRING),
    ("ports", List { item: &Either(&[TEXT_OR_NUMBER, object(PORT)]), unique: true }),
    ("post_start", HOOKS),
    ("pre_start", HOOKS),
    ("pre_stop", HOOKS),
    ("privileged", FLAG),
    ("profiles", NAMES),
    (
        "provider",
        Object {
            attributes: &[("type", STRING), ("options", Map { key: Keys::Filled, value: &PROVIDER_OPTION, closed: false })],
            required: &["type"],
            open: true,
        },
    ),
    ("pull_policy", Rule(pull_policy, "always, never, build, missing, if_not_present, refresh, daily, weekly or every_ and a duration")),
    ("pull_refresh_after", STRING),
    ("read_only", FLAG),
    ("restart", STRING),
    ("runtime", STRING),
    ("scale", WHOLE),
    ("secrets", REFERENCES),
    ("security_opt", NAMES),
    ("shm_size", NUM),
    ("stdin_open", FLAG),
    ("stop_grace_period", STRING),
    ("stop_signal", STRING),
    ("storage_opt", Loose { attributes: &[] }),
    ("sysctls", PAIRS),
    ("tmpfs", TEXT_OR_LIST),
    ("tty", FLAG),
    ("ulimits", ULIMITS),
    ("use_api_socket", Of(BOOL)),
    ("user", STRING),
    ("userns_mode", STRING),
    ("uts", STRING),
    ("volumes", List { item: &Either(&[STRING, Object { attributes: MOUNT, required: &["type"], open: true }]), unique: true }),
    ("volumes_from", NAMES),
    ("working_dir", STRING),
];

const PROVIDER_OPTION: Schema = Either(&[Of(TEXT | NUMBER | BOOL), List { item: &Of(TEXT | NUMBER | BOOL), unique: false }]);

const HOOKS: Schema = List { item: &HOOK_ITEM, unique: false };
const HOOK_ITEM: Schema = Object {
    attributes: &[("command", COMMAND), ("user", STRING), ("privileged", FLAG), ("working_dir", STRING), ("environment", PAIRS)],
    required: &["command"],
    open: true,
};

const ULIMITS: Schema = Map {
    key: Keys::Lower,
    value: &Either(&[WHOLE, Object { attributes: &[("hard", WHOLE), ("soft", WHOLE)], required: &["soft", "hard"], open: true }]),
    closed: false,
};

const BUILD: Attributes = &[
    ("additional_contexts", PAIRS),
    ("args", PAIRS),
    ("cache_from", TEXTS),
    ("cache_to", TEXTS),
    ("context", STRING),
    ("dockerfile", STRING),
    ("dockerfile_inline", STRING),
    ("entitlements", TEXTS),
    ("extra_hosts", HOSTS),
    ("isolation", STRING),
    ("labels", PAIRS),
    ("network", STRING),
    ("no_cache", FLAG),
    ("no_cache_filter", TEXT_OR_LIST),
    ("platforms", TEXTS),
    ("privileged", FLAG),
    ("provenance", FLAG),
    ("pull", FLAG),
    ("sbom", FLAG),
    ("secrets", REFERENCES),
    ("shm_size", WHOLE),
    ("ssh", PAIRS),
    ("tags", TEXTS),
    ("target", STRING),
    ("ulimits", ULIMITS),
];

const DEPLOY: Attributes = &[
    ("endpoint_mode", STRING),
    ("labels", PAIRS),
    ("mode", STRING),
    (
        "placement",
        object(&[("constraints", TEXTS), ("preferences", List { item: &object(&[("spread", STRING)]), unique: false }), ("max_replicas_per_node", WHOLE)]),
    ),
    ("replicas", WHOLE),
    (
        "resources",
        object(&[
            ("limits", object(&[("cpus", NUM), ("memory", STRING), ("pids", WHOLE)])),
            (
                "reservations",
                object(&[
                    ("cpus", NUM),
                    ("memory", STRING),
                    ("generic_resources", List { item: &object(&[("discrete_resource_spec", object(&[("kind", STRING), ("value", NUM)]))]), unique: false }),
                    ("devices", List { item: &Object { attributes: DEVICE_REQUEST, required: &["capabilities"], open: true }, unique: false }),
                ]),
            ),
        ]),
    ),
    ("restart_policy", object(&[("condition", STRING), ("delay", STRING), ("max_attempts", WHOLE), ("window", STRING)])),
    ("rollback_config", object(UPDATE)),
    ("update_config", object(UPDATE)),
];

const UPDATE: Attributes = &[
    ("parallelism", WHOLE),
    ("delay", STRING),
    ("failure_action", STRING),
    ("monitor", STRING),
    ("max_failure_ratio", NUM),
    ("order", Enum(&["start-first", "stop-first"])),
];

const DEVICE_REQUEST: Attributes = &[("capabilities", NAMES), ("count", WHOLE), ("device_ids", NAMES), ("driver", STRING), ("options", PAIRS)];

const HEALTHCHECK: Attributes = &[
    ("disable", FLAG),
    ("interval", STRING),
    ("retries", NUM),
    ("start_interval", STRING),
    ("start_period", STRING),
    ("test", Either(&[STRING, TEXTS])),
    ("timeout", STRING),
];

const SERVICE_NETWORK: Attributes = &[
    ("aliases", NAMES),
    ("driver_opts", OPTIONS),
    ("gw_priority", Of(NUMBER)),
    ("interface_name", STRING),
    ("ipv4_address", STRING),
    ("ipv6_address", STRING),
    ("link_local_ips", NAMES),
    ("mac_address", STRING),
    ("priority", Of(NUMBER)),
];

const DEPENDENCY: Attributes =
    &[("condition", Enum(&["service_started", "service_healthy", "service_completed_successfully"])), ("restart", FLAG), ("required", Of(BOOL))];

const WATCH: Attributes = &[
    ("action", Enum(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
    ("exec", HOOK_ITEM),
    ("ignore", TEXT_OR_LIST),
    ("include", TEXT_OR_LIST),
    ("initial_sync", Of(BOOL)),
    ("path", STRING),
    ("target", STRING),
];

const DEVICE: Attributes = &[("source", STRING), ("target", STRING), ("permissions", STRING)];

const ENV_FILE: Attributes = &[("path", STRING), ("format", STRING), ("required", FLAG)];

const REFERENCES: Schema =
    List { item: &Either(&[STRING, object(&[("source", STRING), ("target", STRING), ("uid", STRING), ("gid", STRING), ("mode", NUM)])]), unique: false };

const PORT: Attributes =
    &[("name", STRING), ("mode", STRING), ("host_ip", STRING), ("target", WHOLE), ("published", WHOLE), ("protocol", STRING), ("app_protocol", STRING)];

const MOUNT: Attributes = &[
    ("type", Enum(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
    ("source", STRING),
    ("target", STRING),
    ("read_only", FLAG),
    ("consistency", STRING),
    (
        "bind",
        object(&[
            ("propagation", STRING),
            ("create_host_path", FLAG),
            ("recursive", Enum(&["enabled", "disabled", "writable", "readonly"])),
            ("selinux", Enum(&["z", "Z"])),
        ]),
    ),
    ("volume", object(&[("labels", PAIRS), ("nocopy", FLAG), ("subpath", STRING)])),
    ("tmpfs", object(&[("size", Either(&[Range(0, i64::MAX), STRING])), ("mode", NUM)])),
    ("image", object(&[("subpath", STRING)])),
];

const BLKIO: Attributes = &[
    ("device_read_bps", RATES),
    ("device_read_iops", RATES),
    ("device_write_bps", RATES),
    ("device_write_iops", RATES),
    ("weight", WHOLE),
    ("weight_device", List { item: &closed(&[("path", STRING), ("weight", WHOLE)]), unique: false }),
];
const RATES: Schema = List { item: &closed(&[("path", STRING), ("rate", WHOLE)]), unique: false };

const EXTERNAL: Schema = Either(&[FLAG, object(&[("name", STRING)])]);

const NETWORK: Attributes = &[
    ("name", STRING),
    ("driver", STRING),
    ("driver_opts", OPTIONS),
    (
        "ipam",
        object(&[
            ("driver", STRING),
            (
                "config",
                List {
                    item: &object(&[
                        ("subnet", STRING),
                        ("ip_range", STRING),
                        ("gateway", STRING),
                        ("aux_addresses", Map { key: Keys::Filled, value: &STRING, closed: true }),
                    ]),
                    unique: false,
                },
            ),
            ("options", Map { key: Keys::Filled, value: &STRING, closed: true }),
        ]),
    ),
    ("external", EXTERNAL),
    ("internal", FLAG),
    ("enable_ipv4", FLAG),
    ("enable_ipv6", FLAG),
    ("attachable", FLAG),
    ("labels", PAIRS),
];

const VOLUME: Attributes = &[("name", STRING), ("driver", STRING), ("driver_opts", OPTIONS), ("external", EXTERNAL), ("labels", PAIRS)];

const LOOSE_EXTERNAL: Schema = Either(&[FLAG, Loose { attributes: &[("name", STRING)] }]);

const SECRET: Attributes = &[
    ("name", STRING),
    ("environment", STRING),
    ("file", STRING),
    ("external", LOOSE_EXTERNAL),
    ("labels", PAIRS),
    ("driver", STRING),
    ("driver_opts", OPTIONS),
    ("template_driver", STRING),
];

const CONFIG: Attributes = &[
    ("name", STRING),
    ("content", STRING),
    ("environment", STRING),
    ("file", STRING),
    ("external", LOOSE_EXTERNAL),
    ("labels", PAIRS),
    ("template_driver", STRING),
];

const MODEL: Attributes = &[("name", STRING), ("model", STRING), ("context_size", Of(INT)), ("runtime_flags", TEXTS)];
