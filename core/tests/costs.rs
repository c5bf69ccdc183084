//! What Compose files cost that somebody made to be dear: each is loaded in a process of its own, whose memory is bounded.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that makes its own files and processes, and says what it saw"
)]

use std::{fmt::Write as _, path::Path, process::Command};

use dockerkit::Project;

/// The file that the process is to load.
const FILE: &str = "DOCKERKIT_COSTS_FILE";
/// So many MiB may loading a file take at most, with the program itself: what a build for debugging needs more is in it.
const MEMORY: u64 = 128 + if cfg!(debug_assertions) { 32 } else { 0 };
/// So many seconds of processor time may it take. Builds for debugging take ten times as long, and more on a busy machine.
const SECONDS: f64 = if cfg!(debug_assertions) { 30.0 } else { 1.0 };

/// Loads the file that it is given, and prints the most memory and the processor time that this process took. Without one it
/// loads a small file.
#[test]
fn one_file_in_a_process_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::env::var_os(FILE).map_or_else(|| folder.path().join("compose.yaml"), Into::into);
    if !file.exists() {
        std::fs::write(&file, "services: {web: {image: i}}\n").unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async { Project::load(file).clear_env(true).await });
    let said = answer.as_ref().map_or_else(
        |e| e.diagnostics().first().map_or_else(|| e.to_string(), |d| format!("{}:{} {}: {}", d.line, d.column, d.path, d.message)),
        |p| format!("{} services", p.model().services.len()),
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").to_owned();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    assert!(most.parse::<u64>().unwrap() > 0);
    println!("\ncost {most} {ticks} {said:.160}");
}

/// Memory in MiB, seconds of processor time, and what was said, of loading a file.
fn cost(file: &Path) -> (u64, f64, String) {
    let mut me = Command::new(std::env::current_exe().unwrap());
    me.args(["--exact", "one_file_in_a_process_of_its_own", "--nocapture"]).env(FILE, file);
    let out = me.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}: {text}{}", file.display(), String::from_utf8_lossy(&out.stderr));
    let line = text.lines().find_map(|l| l.strip_prefix("cost ")).unwrap();
    let parts: Vec<&str> = line.splitn(3, ' ').collect();
    (parts[0].parse::<u64>().unwrap() >> 10, parts[1].parse::<f64>().unwrap() / 100.0, parts[2].to_owned())
}

fn service(body: &str) -> String {
    format!("services:\n  web:\n    image: i\n    {body}\n")
}

/// `count` lines or items.
fn each(count: usize, of: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut out, i| {
        let _ = write!(out, "{}", of(i));
        out
    })
}

type Files = Vec<(&'static str, String)>;

/// Files that are dear in ways of their own, each with those that lie beside it, and what is said of it.
fn shapes() -> Vec<(&'static str, &'static str, Files)> {
    let big = "x".repeat(1 << 20);
    let labels = |count: usize| each(count, |i| format!("      k{i}: v\n"));
    let mut bomb = "x-0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..40 {
        let _ = writeln!(bomb, "x-{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(","));
    }
    let one = |text: String| vec![("compose.yaml", text)];
    vec![
        ("400,000 labels", "values", one(format!("services:\n  web:\n    image: i\n    labels:\n{}", labels(400_000)))),
        ("140,000 labels", "1 services", one(format!("services:\n  web:\n    image: i\n    labels:\n{}", labels(140_000)))),
        ("a list of labels", "values", one(format!("services:\n  web:\n    image: i\n    labels:\n{}", each(290_000, |i| format!("      - k{i}=v\n"))))),
        ("three ranges of all ports", "ports", one(service("ports: ['1-65535:1-65535', '1-65535:1-65535/udp', '1-65535:1-65535/sctp']"))),
        ("all ports", "1 services", one(service("ports: ['1-65535:1-65535']"))),
        ("an alias bomb", "aliases", one(bomb + "services: {web: {image: i}}\n")),
        ("a long text with many aliases", "aliases", one(format!("x-a: &x '{big}'\n{}{}", service("labels:"), each(1_000, |i| format!("      k{i}: *x\n"))))),
        ("many anchors", "aliases", one(format!("x-a:\n{}{}", each(250_000, |i| format!("- &a{i} x\n")), service("labels: {a: b}")))),
        ("variables in one text", "1 services", one(service(&format!("labels: {{l: '{}'}}", "$A".repeat(3_900_000))))),
        ("nested defaults", "1 services", one(service(&format!("labels: {{l: '{}{big}{}'}}", "${A:-".repeat(49), "}".repeat(49))))),
        (
            "a long variable in many texts",
            "too long",
            vec![
                ("compose.yaml", format!("{}{}", service("labels:"), each(90_000, |i| format!("      k{i}: '${{V:+}}$V'\n")))),
                (".env", format!("V={big}{big}\n")),
            ],
        ),
        (
            "files of variables that grow",
            "32 MiB",
            vec![("compose.yaml", service("env_file: x.env")), ("x.env", format!("V={big}\n{}", each(1_000, |i| format!("A{i}=$V\n"))))],
        ),
        (
            "one large file of variables for many services",
            "entries",
            vec![
                ("compose.yaml", format!("services:\n{}", each(1_000, |i| format!("  s{i}: {{image: i, env_file: x.env}}\n")))),
                ("x.env", each(10_000, |i| format!("V{i}=x\n"))),
            ],
        ),
        (
            "a long variable for many services",
            "MiB",
            vec![
                ("compose.yaml", format!("services:\n{}", each(5_000, |i| format!("  s{i}: {{image: i, environment: [B]}}\n")))),
                (".env", format!("B={big}\n")),
            ],
        ),
        ("a text of 8 MB", "1 services", one(service(&format!("labels: {{l: '{}'}}", "x".repeat(8_300_000))))),
        ("a text of 10 MB", "too large", one(service(&format!("labels: {{l: '{}'}}", "x".repeat(10_000_000))))),
        ("a command of many words", "1 MiB", one(service(&format!("command: '{}'", "x ".repeat(4_000_000))))),
        (
            "many extends",
            "values",
            one(format!(
                "services:\n  a: {{image: i, labels: {{{}}}}}\n{}",
                each(1_000, |i| format!("k{i}: v,")),
                each(3_000, |i| format!("  s{i}: {{extends: a}}\n"))
            )),
        ),
        ("a long row of extends", "services.s0", one(format!("services:\n{}", each(12_000, |i| format!("  s{i}: {{extends: s{}}}\n", i + 1))))),
        ("10,000 services", "10000 services", one(format!("services:\n{}", each(10_000, |i| format!("  s{i}: {{image: i}}\n"))))),
        ("too many services", "15000 services at most", one(format!("services:\n{}", each(40_000, |i| format!("  s{i}: {{image: i}}\n"))))),
        (
            "services in a circle",
            "circle",
            one(format!("services:\n{}", each(15_000, |i| format!("  s{i}: {{image: i, depends_on: [s{}]}}\n", (i + 1) % 15_000)))),
        ),
        (
            "services that need what is not there",
            "there is no service",
            one(format!("services:\n{}", each(15_000, |i| format!("  s{i}: {{image: i, depends_on: [t{i}]}}\n")))),
        ),
        ("many documents", "laying", one(each(10_000, |i| format!("---\nservices: {{s{i}: {{image: i}}}}\n")))),
        (
            "documents over a long list",
            "laying",
            one(format!("services:\n  web:\n    image: i\n    labels:\n{}{}", labels(60_000), "---\nservices: {web: {labels: [a=b]}}\n".repeat(500))),
        ),
        ("pools over pools", "laying", {
            let pools = |name: &str| format!("networks: {{n: {{ipam: {{config: [{}]}}}}}}\n", each(10_000, |i| format!("{{subnet: {name}{i}}},")));
            one(format!("{}{}---\n{}", service("labels: {a: b}"), pools("a"), pools("b")))
        }),
        ("volumes by alias", "short forms", {
            let list = each(1_000, |i| format!("'n{i}:/n{i}',"));
            one(format!("x-n: &n [{list}]\nservices:\n{}", each(250, |i| format!("  s{i}: {{image: i, volumes: *n}}\n"))))
        }),
        ("problems below long keys", "x-a.kkkk", {
            let key = "k".repeat(1_000);
            let deep = each(190, |i| format!("{}{key}:\n", " ".repeat(i + 1)));
            one(format!("x-a:\n{deep}{}{}", each(2_000, |i| format!("{}e{i}: '${{'\n", " ".repeat(191))), service("labels: {a: b}")))
        }),
    ]
}

#[test]
fn dear_files_stay_cheap() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = shapes();
    for (name, expected, files) in &shapes {
        for (file, text) in files {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let (memory, seconds, said) = cost(&folder.path().join("compose.yaml"));
        println!("{memory:>4} MiB {seconds:>5.2} s  {name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
        assert!(memory <= MEMORY, "{name}: {memory} MiB");
        assert!(seconds <= SECONDS, "{name}: {seconds} s");
        for (file, _) in files {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
    assert!(shapes.len() > 20);
}

/// Many files beside each other.
#[test]
fn many_files_stay_cheap() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..3_000 {
        std::fs::write(folder.path().join(format!("f{i}.yaml")), format!("services: {{s{i}: {{image: i}}}}\n")).unwrap();
    }
    let extends = format!("services:\n{}", each(3_000, |i| format!("  t{i}: {{extends: {{file: f{i}.yaml, service: s{i}}}}}\n")));
    let include = format!("include:\n{}", each(3_000, |i| format!("- f{i}.yaml\n")));
    let merged = format!("include:\n- path: [{}]\n", each(1_900, |i| format!("f{i}.yaml,")));
    let again = format!("include:\n{}services: {{a: {{image: i}}}}\n", each(500, |_| "- large.yaml\n".to_owned()));
    std::fs::write(folder.path().join("large.yaml"), format!("services:\n{}", each(3_000, |i| format!("  s{i}: {{image: i}}\n")))).unwrap();
    for (name, text, expected) in [("extends", extends, "files"), ("include", include, "files"), ("merged", merged, "laying"), ("again", again, "more than")] {
        let file = folder.path().join("compose.yaml");
        std::fs::write(&file, text).unwrap();
        let (memory, seconds, said) = cost(&file);
        println!("{memory:>4} MiB {seconds:>5.2} s  {name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
        assert!(memory <= MEMORY && seconds <= SECONDS, "{name}: {memory} MiB, {seconds} s");
    }
}
