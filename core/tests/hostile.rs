//! Compose files that somebody made to do harm: each is answered soon, with an error that says where.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that makes its own files, and says what it saw"
)]

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use dockerkit::{ErrorKind, Project, compose::Policy};

const GOOD: &str = "name: shop\nx-base: &base\n  image: web:1\n  environment: {A: '1', B: '2'}\nservices:\n  web:\n    <<: *base\n    ports: ['8080:80']\n    volumes: ['data:/var/lib/data', './conf:/conf:ro']\n    healthcheck:\n      test: [CMD, 'true']\n      interval: 10s\n    deploy:\n      resources:\n        limits: {cpus: '0.5', memory: 64m}\n  db:\n    image: db:2\n    depends_on: [web]\n    networks: [back]\nnetworks:\n  back: {}\nvolumes:\n  data:\n";

/// A small generator of numbers, so that a failure can be seen again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

/// Files that are wrong each in its own way.
fn shapes() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, text: String| all.push((name.to_owned(), text.into_bytes()));
    let service = |body: &str| format!("services:\n  web:\n    image: i\n    {body}\n");
    let mut bomb = "x-0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..40 {
        let _ = writeln!(bomb, "x-{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(","));
    }
    add("bomb of lists", bomb.clone() + "services: {web: {image: i}}\n");
    let mut maps = "x-0: &a0 {k: v}\n".to_owned();
    for i in 1..60 {
        let _ = writeln!(maps, "x-{i}: &a{i} {{a: *a{0}, b: *a{0}}}", i - 1);
    }
    add("bomb of mappings", maps + "services: {web: {image: i}}\n");
    let mut merges = "x-0: &a0 {k0: v}\n".to_owned();
    for i in 1..60 {
        let _ = writeln!(merges, "x-{i}: &a{i} {{<<: [*a{0}, *a{0}], k{i}: [*a{0}, *a{0}]}}", i - 1);
    }
    add("bomb of merges", merges + "services: {web: {image: i}}\n");
    add("bomb in a service", bomb + "services: {web: {image: i, x-a: *a39, labels: *a0}}\n");
    add("bomb of variables", service(&format!("labels: {{l: '{}'}}", "${A:-".repeat(200) + &"}".repeat(200))));
    add("long default", service(&format!("labels: {{l: '${{A:-{}}}'}}", "x".repeat(5 << 20))));
    for depth in [201, 1_000, 20_000, 100_000] {
        add("deep lists", format!("x-a: {}{}\nservices: {{web: {{image: i}}}}\n", "[".repeat(depth), "]".repeat(depth)));
        add("deep lists without an end", format!("x-a: {}\n", "[".repeat(depth)));
        add("deep mappings", format!("x-a: {}x{}\n", "{a: ".repeat(depth), "}".repeat(depth)));
        add("deep dashes", format!("x-a:\n {}x\n", "- ".repeat(depth)));
        add("deep questions", format!("x-a:\n {}x\n", "? ".repeat(depth)));
    }
    let mut nested = "services:\n".to_owned();
    for i in 0..400 {
        let _ = writeln!(nested, "{}k{i}:", "  ".repeat(i + 1));
    }
    add("deep blocks", nested);
    for body in [
        "ports: ['99999999999999999999:80']",
        "ports: ['1-65535:1-65534']",
        "ports: [18446744073709551616]",
        "cpus: 1e400",
        "cpus: .inf",
        "cpus: .nan",
        "mem_limit: 1e400",
        "mem_limit: 99999999999999999999999999x",
        "scale: -1",
        "scale: 99999999999999999999",
        "cpu_count: -9223372036854775809",
        "healthcheck: {interval: 99999999999999999h}",
        "healthcheck: {interval: 1.5.5s}",
        "healthcheck: {retries: -1}",
        "oom_score_adj: 99999",
        "ulimits: {nofile: {soft: x, hard: 1}}",
        "stop_grace_period: ''",
        "blkio_config: {weight: 99999999999999999999}",
        "pids_limit: x",
        "tty: maybe",
        "volumes: ['a:b:c:d:e']",
        "volumes: ['']",
        "volumes: [{type: bind}]",
        "ports: ['']",
        "ports: [{}]",
        "devices: ['a:b:c:d']",
        "environment: [[]]",
        "environment: {a: {}}",
        "labels: 5",
        "command: {a: b}",
        "command: \"a 'b\"",
        "networks: [none]",
        "depends_on: [web]",
        "depends_on: [none]",
        "extends: web",
        "extends: none",
        "extends: {file: none.yaml, service: a}",
        "extends: {service: [a]}",
        "env_file: none.env",
        "env_file: .",
        "label_file: .",
        "secrets: [none]",
        "configs: [none]",
        "models: [none]",
        "image: again",
        "imag: x",
        "network_mode: service:none",
        "volumes_from: [none]",
        "links: [none]",
        "build: {context: ., ssh: [x]}",
        "build: {context: ., secrets: [none]}",
        "deploy: {replicas: x}",
        "gpus: some",
        "develop: {watch: [{path: a}]}",
        "profiles: x",
        "restart: []",
        "user: 5",
        "container_name: a",
        "extra_hosts: [x]",
        "image: ${",
        "labels: {a: '${A:?}'}",
        "labels: {a: '${A:?no}'}",
        "hostname: &a",
        "hostname: *none",
        "hostname: !!int x",
        "hostname: !!binary '%%%'",
        "<<: 5",
        "<<: [5]",
        "? [a]\n    : b",
        "5: x",
        "~: x",
        "true: x",
        "labels: {a: 2024-01-01}",
        "hostname: \"\\q\"",
        "hostname: 'a",
        "hostname: \"a",
        "hostname: [a",
        "hostname: {a",
        "hostname: @a",
        "hostname: `a`",
        "hostname: %a",
        "hostname: a: b",
        "command: |x",
        "labels:\n      a: b\n     c: d",
        "\thostname: a",
        "hostname: a\n   domainname: b",
    ] {
        add(body, service(body));
    }
    for top in [
        "",
        "\n",
        "# c\n",
        "---\n",
        "---\n---\n",
        "[]",
        "text",
        "5",
        "null",
        "services:",
        "services: []",
        "services: {}\nfoo: bar",
        "services: {'a b': {image: i}}",
        "services: {web: }",
        "services: {web: []}",
        "services: {web: {}}",
        "networks: []",
        "volumes: [a]",
        "secrets: {a: }",
        "configs: {a: {}}",
        "include: none.yaml",
        "include: [none.yaml]",
        "include: [.]",
        "include: [{}]",
        "include: [[]]",
        "include: [compose.yaml]",
        "name: [a]",
        "name: '--'",
        "version: 3",
        "&a services: *a",
        "services: &a {web: *a}",
        "%FOO\n---\na: b",
        "%YAML 9.9\n---\na: b",
        "a: b\n...\n...\nc",
        "{",
        "}",
        "[",
        "]",
        "- a: b\n c",
        "a\nb: c",
        "services: {web: {image: i}}\n---\n- x\n",
        "services: {web: {image: i}}\n---\nservices: {web: []}\n",
        "services: {web: {image: i}}\nservices: {db: {image: i}}",
    ] {
        add(top, top.to_owned());
    }
    for wide in [10_000usize, 100_000, 700_000] {
        add("wide list", format!("x-a: [{}]\nservices: {{web: {{imag: i}}}}\n", "1,".repeat(wide)));
        let mut keys = "services:\n  web:\n    imag: i\n    labels:\n".to_owned();
        for i in 0..wide.min(200_000) {
            let _ = writeln!(keys, "      k{i}: v");
        }
        add("wide mapping", keys);
    }
    let many = (0..3_000).fold("services:\n".to_owned(), |mut out, i| {
        let _ = writeln!(out, "  s{i}: {{extends: s{}}}", i + 1);
        out
    });
    add("long row of extends", many);
    let ring = (0..2_000).fold("services:\n".to_owned(), |mut out, i| {
        let _ = writeln!(out, "  s{i}: {{image: i, depends_on: [s{}]}}", (i + 1) % 2_000);
        out
    });
    add("long circle of depends_on", ring);
    add("huge scalar", format!("services: {{web: {{imag: '{}'}}}}\n", "x".repeat(8 << 20)));
    add("huge key", format!("services: {{web: {{{}: x}}}}\n", "k".repeat(1 << 20)));
    add("too large", format!("# {}\n", "x".repeat(17 << 20)));
    all.push(("bytes".into(), (0..=255u8).collect()));
    for bytes in [&b"\xff\xfe"[..], b"\xc3\x28", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\0", b"\x1b[31m", b"\x7f", b"\x08"] {
        let mut text = b"services:\n  web:\n    image: ".to_vec();
        text.extend(bytes);
        text.extend(b"\n");
        all.push((format!("bytes {bytes:?}"), text));
    }
    all
}

/// A good file with a few changes at random.
fn mutated(numbers: &mut Numbers) -> Vec<u8> {
    const PIECES: [&[u8]; 22] =
        [b"\t", b"\0", b"\xff", b"[", b"]", b"{", b"}", b":", b"- ", b"'", b"\"", b"&a ", b"*a", b"!", b"${", b"$", b"\n", b"  ", b"<<: ", b"|\n", b"%", b"? "];
    let mut text = GOOD.as_bytes().to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(text.len());
        match numbers.below(4) {
            0 => drop(text.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied()).count()),
            1 => text.truncate(at),
            2 => {
                let end = (at + numbers.below(12)).min(text.len());
                text.drain(at..end);
            }
            _ => {
                let end = (at + numbers.below(40)).min(text.len());
                let copy = text[at..end].to_vec();
                let to = numbers.below(text.len());
                text.splice(to..to, copy);
            }
        }
        if text.is_empty() {
            text.push(b'x');
        }
    }
    text
}

async fn judge(folder: &Path, name: &str, text: &[u8], placed: &mut (usize, usize), slowest: &mut (Duration, String)) {
    std::fs::write(folder.join("compose.yaml"), text).unwrap();
    let start = Instant::now();
    let answer = Project::load(folder.join("compose.yaml")).clear_env(true).policy(Policy::Trusted).await;
    let took = start.elapsed();
    if took > slowest.0 {
        *slowest = (took, name.to_owned());
    }
    let Err(e) = answer else { return };
    assert!(
        matches!(e.kind(), ErrorKind::InvalidCompose | ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Io),
        "{name}: {:?} {e}",
        e.kind()
    );
    placed.1 += 1;
    let whole = |d: &dockerkit::error::Diagnostic| d.line > 0 && d.column > 0 && !d.path.is_empty();
    if e.diagnostics().iter().any(whole) {
        placed.0 += 1;
    }
}

#[tokio::test]
async fn hostile_files_are_answered_soon_and_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let mut placed = (0, 0);
    let mut slowest = (Duration::ZERO, String::new());
    let shapes = shapes();
    let mut count = shapes.len();
    for (name, text) in shapes {
        judge(folder.path(), &name, &text, &mut placed, &mut slowest).await;
    }
    let mut numbers = Numbers(7);
    for i in 0..900 {
        let text = mutated(&mut numbers);
        judge(folder.path(), &format!("mutation {i}: {}", String::from_utf8_lossy(&text)), &text, &mut placed, &mut slowest).await;
        count += 1;
    }
    println!("{count} files, {} of {} errors with line, column and key path; the slowest took {:?}: {:.60}", placed.0, placed.1, slowest.0, slowest.1);
    assert!(count > 1_000);
    assert!(placed.0 * 100 >= placed.1 * 95, "{placed:?}");
    // Of a build for debugging on a busy machine; ten times as fast when built for use.
    assert!(slowest.0 < Duration::from_secs(20), "{slowest:?}");
}

#[tokio::test]
async fn files_that_include_each_other_many_times_end() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        let text = format!("include: [{0}.yaml, {0}.yaml, {0}.yaml]\nservices: {{s{i}: {{image: i}}}}\n", i + 1);
        std::fs::write(folder.path().join(format!("{i}.yaml")), text).unwrap();
    }
    std::fs::write(folder.path().join("40.yaml"), "services: {end: {image: i}}\n").unwrap();
    let start = Instant::now();
    let e = Project::load(folder.path().join("0.yaml")).clear_env(true).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidCompose);
    assert!(e.to_string().contains("more than"), "{e}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_no_file_is_never_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.display().to_string();
    for path in [pipe.as_str(), "/dev/zero", "/dev/tty", "/dev/urandom", ".", "/proc/self/mem", "/proc/kmsg", "/proc/self/fd/0"] {
        for body in [format!("env_file: '{path}'"), format!("label_file: '{path}'"), format!("extends: {{file: '{path}', service: a}}")] {
            let text = format!("services:\n  web:\n    image: i\n    {body}\n");
            let project = Project::parse(text).clear_env(true).project_dir(folder.path().to_owned());
            let e = tokio::time::timeout(Duration::from_secs(5), project).await.expect("answers").map(|_| ()).expect_err(&body);
            assert!(e.diagnostics().iter().any(|d| d.line == 4), "{body}: {e}");
        }
        let main = tokio::time::timeout(Duration::from_secs(5), Project::load(folder.path().join(path)).clear_env(true)).await.expect("answers");
        assert!(main.is_err(), "{path}");
    }
}
