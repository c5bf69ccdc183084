//! Compose files beside docker compose: each folder of `tests/compose/cases` holds a case and what docker compose answers
//! to it. The same cases run through Python and Node.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot read its cases fails; one asks what a process of its own sees"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dockerkit::{
    Error, ErrorKind, Project,
    compose::{LoadPolicy, Policy},
};
use serde_json::Value;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compose").canonicalize().unwrap()
}

fn json(path: &Path) -> Option<Value> {
    std::fs::read_to_string(path).ok().map(|text| serde_json::from_str(&text).unwrap())
}

fn texts(options: &Value, key: &str) -> Vec<String> {
    options[key].as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// Loads a case as its `case.json` says.
async fn load(folder: &Path) -> Result<Project, Error> {
    let options = json(&folder.join("case.json")).unwrap_or(Value::Null);
    let paths = |key: &str| texts(&options, key).iter().map(|f| folder.join(f)).collect::<Vec<PathBuf>>();
    let mut env: BTreeMap<String, String> =
        options["env"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    env.insert("HOME".to_owned(), "/home/somebody".to_owned());
    let files = paths("files");
    let mut call = Project::load(files.clone()).clear_env(true).env(env).profiles(texts(&options, "profiles")).env_files(paths("env_files"));
    if let Some(name) = options["name"].as_str() {
        call = call.name(name);
    }
    if let Some(dir) = options["project_dir"].as_str() {
        call = call.project_dir(folder.join(dir));
    } else if files.is_empty() {
        call = call.project_dir(folder.to_owned());
    }
    call.await
}

/// Paths become the marks that the recorded answers have.
fn portable(value: &Value, folder: &Path) -> Value {
    let text = value.to_string().replace(folder.to_str().unwrap(), "<dir>").replace(folder.parent().unwrap().to_str().unwrap(), "<parent>");
    serde_json::from_str(&text).unwrap()
}

/// JSON has one kind of number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w))),
        _ => a == b,
    }
}

/// Where two values differ first.
fn first_difference(a: &Value, b: &Value, path: &str) -> String {
    if let (Value::Object(x), Value::Object(y)) = (a, b) {
        for key in x.keys().chain(y.keys()) {
            let (v, w) = (x.get(key).unwrap_or(&Value::Null), y.get(key).unwrap_or(&Value::Null));
            if !same(v, w) || x.contains_key(key) != y.contains_key(key) {
                return first_difference(v, w, &format!("{path}.{key}"));
            }
        }
    }
    format!("{path}: {a} and {b}")
}

/// How our answer to a case differs from the recorded one.
async fn difference(folder: &Path) -> Option<String> {
    let expected = json(&folder.join("expected.json"));
    match (load(folder).await, expected) {
        (Err(e), None) => {
            let kind = matches!(e.kind(), ErrorKind::InvalidCompose | ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Io);
            (!kind).then(|| format!("rejected as {:?}: {e}", e.kind()))
        }
        (Err(e), Some(_)) => Some(format!("rejected: {e}")),
        (Ok(_), None) => Some("loaded".to_owned()),
        (Ok(project), Some(expected)) => {
            let ours = portable(&project.config().await.unwrap(), folder);
            if !same(&ours, &expected) {
                return Some(format!("another model: {ours}"));
            }
            let hashes = project.hashes().await.unwrap();
            let recorded = json(&folder.join("hashes.json")).unwrap();
            let recorded = recorded.as_object().unwrap();
            let names = hashes.len() == recorded.len();
            // What names the folder has a hash of its own in each.
            let wrong = recorded.iter().find(|(name, hash)| hash.as_str().is_some_and(|h| hashes.get(*name).is_none_or(|ours| ours != h)));
            (!names || wrong.is_some()).then(|| format!("other hashes: {hashes:?}"))
        }
    }
}

#[tokio::test]
async fn every_case_is_answered_as_docker_compose_answers() {
    let listed = json(&top().join("differences.json")).unwrap();
    let listed = listed.as_object().unwrap();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(top().join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for folder in &cases {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(folder.join("expected.json").exists() != folder.join("rejected.txt").exists(), "{name} has no answer: run make compose-golden");
        match (difference(folder).await, listed.contains_key(name)) {
            (Some(text), false) => wrong.push(format!("{name}: {text}")),
            (None, true) => wrong.push(format!("{name}: is listed as a difference, and there is none")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_rejection_says_where() {
    let (mut all, mut placed) = (0, 0);
    for entry in std::fs::read_dir(top().join("cases")).unwrap() {
        let folder = entry.unwrap().path();
        let Err(e) = load(&folder).await else { continue };
        for d in e.diagnostics() {
            all += 1;
            assert!(!d.file.is_empty() && !d.message.is_empty(), "{d:?}");
            placed += usize::from(d.line > 0 && d.column > 0);
        }
    }
    assert!(all > 300 && placed * 100 >= all * 95, "{placed} of {all}");
}

#[tokio::test]
async fn what_is_written_loads_to_the_same_project() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(top().join("cases")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(project) = load(&folder).await else { continue };
        // A number for a path, and profiles of a file beside it.
        if folder.ends_with("voldev-3") || folder.ends_with("profiles-dotenv") {
            continue;
        }
        let options = json(&folder.join("case.json")).unwrap_or(Value::Null);
        let mut profiles = texts(&options, "profiles");
        if profiles.is_empty() {
            profiles.extend(options["env"]["COMPOSE_PROFILES"].as_str().unwrap_or_default().split(',').map(|p| p.trim().to_owned()));
        }
        let first = project.config().await.unwrap();
        for text in [project.to_yaml().await.unwrap(), project.to_json().await.unwrap()] {
            count += 1;
            let again = Project::parse(text).clear_env(true).profiles(profiles.clone()).project_dir(folder.clone()).await;
            match again {
                Ok(again) => {
                    let second = again.config().await.unwrap();
                    if !same(&first, &second) {
                        wrong.push(format!("{}: {}", folder.display(), first_difference(&first, &second, "")));
                    }
                }
                Err(e) => wrong.push(format!("{}: {e}", folder.display())),
            }
        }
    }
    assert!(count > 600);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

const WEB: &str =
    "name: shop\nservices:\n  web: {image: 'web:1', ports: ['80:80'], environment: {A: 'x$$y'}}\n  off: {image: i, profiles: [p]}\nvolumes: {data: }\n";

#[tokio::test]
async fn a_project_is_changed_from_code() {
    let project = Project::parse(WEB).clear_env(true).await.unwrap();
    let changed = project.set("services.web.image", "web:2").await.unwrap();
    assert_eq!(changed.model().services["web"].image, "web:2");
    assert_eq!(project.model().services["web"].image, "web:1", "the first one stays as it is");
    // Short forms, what was not used before, and a dollar that is one.
    let definition = serde_json::json!({"image": "db", "volumes": ["data:/var/lib/db"], "environment": ["P=$Q"]});
    let changed = changed.with_service("db", definition.as_object().unwrap().clone()).await.unwrap();
    let changed = changed.set("services.web.depends_on", serde_json::json!(["db"])).await.unwrap();
    let changed = changed.set("services.web.ports[1]", "127.0.0.1:81:81").await.unwrap();
    let config = changed.config().await.unwrap();
    assert_eq!(config["services"]["db"]["volumes"][0]["source"], "data");
    assert_eq!(config["services"]["db"]["environment"]["P"], "$Q");
    assert_eq!(config["services"]["web"]["ports"][1]["host_ip"], "127.0.0.1");
    assert_eq!(config["services"]["web"]["environment"]["A"], "x$y");
    assert_eq!(config["volumes"]["data"]["name"], "shop_data");
    assert!(changed.to_yaml().await.unwrap().contains("\"off\":"), "what no profile selects is kept");
    assert_eq!(changed.hashes().await.unwrap().len(), 2);
    let without = changed.remove("services.web.ports").await.unwrap();
    assert!(without.model().services["web"].ports.is_empty());

    let wrong = changed.set("services.web.imag", "x").await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidCompose);
    assert_eq!((wrong.diagnostics()[0].path.as_str(), wrong.diagnostics()[0].suggestion.as_deref()), ("services.web.imag", Some("image")));
    assert_eq!(changed.set("services..x", 1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(changed.remove("services.none").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(changed.remove("services.db").await.unwrap_err().kind(), ErrorKind::InvalidCompose, "web needs it");
}

#[tokio::test]
async fn all_problems_are_told_at_once_with_their_places_and_chains() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.yaml", "services:\n  base: {imag: x, image: i}\n");
    write("more.yaml", "services:\n  more: {image: i, ports: ['x:y']}\n");
    write(
        "compose.yaml",
        "include: [more.yaml]\nservices:\n  web:\n    imge: x\n    image: i\n    networks: [fornt]\n    mem_limit: ${SECRET}\n    cpu_count: many\n  db:\n    extends: {file: base.yaml, service: base}\n    image: i\n    depends_on: [wbe]\nnetworks: {front: }\n",
    );
    let e = Project::load(folder.path().join("compose.yaml")).clear_env(true).env([("SECRET", "hunter2")]).await.unwrap_err();
    let find = |path: &str| e.diagnostics().iter().find(|d| d.path == path).unwrap_or_else(|| panic!("{path}: {:#?}", e.diagnostics()));
    let unknown = find("services.web.imge");
    assert_eq!((unknown.line, unknown.column, unknown.suggestion.as_deref()), (4, 5, Some("image")));
    assert_eq!(find("services.web.networks.fornt").suggestion.as_deref(), Some("front"));
    let size = find("services.web.mem_limit");
    assert_eq!(size.line, 7);
    assert_eq!(size.expected.as_deref(), Some("a size such as 512m"));
    assert_eq!(size.chain, ["interpolated from $SECRET"]);
    assert_eq!(find("services.web.cpu_count").line, 8);
    let extended = find("services.db.imag");
    assert!(extended.file.ends_with("base.yaml") && extended.line == 2 && extended.chain[0].starts_with("extended by services.db"), "{extended:?}");
    assert_eq!(find("services.db.depends_on.wbe").suggestion.as_deref(), Some("web"));
    let included = find("services.more.ports[0]");
    assert!(included.file.ends_with("more.yaml") && included.column > 1, "{included:?}");
    assert!(!format!("{e:?} {e} {:?}", e.diagnostics()).contains("hunter2"));
    let lines: Vec<u32> = e.diagnostics().iter().filter(|d| d.file.ends_with("compose.yaml")).map(|d| d.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

/// The folder of the file that the process is to load.
const FOLDER: &str = "DOCKERKIT_COMPOSE_FOLDER";

/// Prints `PWD` as a file sees it in a process that [`a_process_without_pwd_has_its_folder`] starts.
#[tokio::test]
async fn the_folder_of_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let load = |clear: bool| Project::load(folder.join("compose.yaml")).clear_env(clear);
    for project in [load(false).await.unwrap(), load(true).await.unwrap(), load(false).env([("PWD", "/said")]).await.unwrap()] {
        let (service, build) = (&project.model().services["a"], project.model().services["a"].build.as_ref().unwrap());
        println!("\nsees {:?} {:?} {}", service.environment["PWD"], build.args.get("PWD"), service.image);
    }
}

#[test]
fn a_process_without_pwd_has_its_folder() {
    let (folder, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = "services: {a: {image: 'i$PWD', environment: [PWD], build: {context: ., args: [PWD]}}}\n";
    std::fs::write(folder.path().join("compose.yaml"), text).unwrap();
    std::fs::write(folder.path().join(".env"), "PWD=/of/the/file\n").unwrap();
    let sees = |pwd: Option<&str>| {
        let mut me = std::process::Command::new(std::env::current_exe().unwrap());
        me.args(["--exact", "the_folder_of_a_process_of_its_own", "--nocapture"]).env(FOLDER, folder.path());
        me.current_dir(here.path()).env_remove("PWD").envs(pwd.map(|p| ("PWD", p)));
        let out = me.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().lines().filter_map(|l| l.strip_prefix("sees ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |pwd: &str| format!("Some({pwd:?}) Some(Some({pwd:?})) i{pwd}");
    let real = here.path().canonicalize().unwrap();
    assert_eq!(sees(None), [line(real.to_str().unwrap()), line("/of/the/file"), line("/said")]);
    assert_eq!(sees(Some("/stale")), [line("/stale"), line("/of/the/file"), line("/said")]);
    assert_eq!(sees(Some(""))[0], line(""), "what is empty is set");
}

#[tokio::test]
async fn warnings_have_places_too() {
    let project = Project::parse("version: '3'\nservices: {web: {image: 'web:${TAG}', tty: 'yes'}}\n").clear_env(true).await.unwrap();
    let found: Vec<(u32, &str)> = project.warnings().iter().map(|w| (w.line, w.path.as_str())).collect();
    for expected in [(1, "version"), (2, "services.web.image"), (2, "services.web.tty")] {
        assert!(found.contains(&expected), "{found:?}");
    }
    assert!(project.warnings().iter().any(|w| w.chain == ["interpolated from $TAG"]));
}

#[tokio::test]
async fn an_untrusted_file_reaches_nothing_outside_its_folder() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.env"), "KEY=hunter2\n").unwrap();
    std::fs::write(outside.path().join("base.yaml"), "services: {base: {image: i}}\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("none"), folder.path().join("dangling")).unwrap();
    std::fs::write(folder.path().join("in.env"), "IN=1\n").unwrap();
    let out = outside.path().display();
    let bodies = [
        format!("env_file: {out}/secret.env"),
        "env_file: link/secret.env".to_owned(),
        format!("env_file: ../{}/secret.env", outside.path().file_name().unwrap().to_str().unwrap()),
        "env_file: ./a/../link/secret.env".to_owned(),
        "env_file: /proc/self/environ".to_owned(),
        "env_file: /proc/self/root/etc/passwd".to_owned(),
        "env_file: ~/x".to_owned(),
        "env_file: /dev/stdin".to_owned(),
        "label_file: link/secret.env".to_owned(),
        "extends: {file: link/base.yaml, service: base}".to_owned(),
        "volumes: ['/:/host']".to_owned(),
        "volumes: ['./link:/y']".to_owned(),
        "volumes: ['./dangling:/x']".to_owned(),
        "volumes: ['..:/x']".to_owned(),
        "build: ..".to_owned(),
        "build: {context: ., dockerfile: ../Dockerfile}".to_owned(),
        "build: {context: ., additional_contexts: {x: ./link}}".to_owned(),
        "build: {context: ., ssh: {x: /etc/passwd}}".to_owned(),
        "secrets: [s]".to_owned(),
        "configs: [c]".to_owned(),
        "volumes: [{type: volume, source: v, target: /x}]".to_owned(),
        "develop: {watch: [{path: ../x, action: rebuild}]}".to_owned(),
        "credential_spec: {file: ../x}".to_owned(),
        "use_api_socket: true".to_owned(),
        "provider: {type: sh}".to_owned(),
        "devices: ['/dev/sda:/dev/sda']".to_owned(),
        "build: {context: ., ssh: [default]}".to_owned(),
        "build: https://example.org/a.git".to_owned(),
        "build: {context: ., additional_contexts: {x: 'https://example.org/a.git'}}".to_owned(),
        "label_file: ../x.labels".to_owned(),
        "volumes: ['./a/../../x:/x']".to_owned(),
        "volumes: ['.//link///secret.env:/x']".to_owned(),
        "volumes: ['./%2e%2e/../../etc:/x']".to_owned(),
        "volumes: [{type: bind, source: \"\\x2e\\x2e/\\u002e./etc\", target: /x}]".to_owned(),
        format!("volumes: ['./{}:/x']", "a/".repeat(3_000)),
        "volumes: ['/dev:/x']".to_owned(),
        "volumes: ['/proc/self/cwd/in.env:/x']".replace("cwd", "root"),
        "develop: {watch: [{path: ./link, action: rebuild}]}".to_owned(),
        "build: {context: ./none, dockerfile: none/../../../x}".to_owned(),
    ];
    let rest =
        "secrets: {s: {file: /etc/passwd}}\nconfigs: {c: {file: link/secret.env}}\nvolumes: {v: {driver: local, driver_opts: {o: bind, device: /etc}}}\n";
    for body in bodies {
        let text = format!("services:\n  web:\n    image: i\n    {body}\n{rest}");
        std::fs::write(folder.path().join("compose.yaml"), text).unwrap();
        let e = Project::load(folder.path().join("compose.yaml")).clear_env(true).env([("HOME", "/root")]).policy(Policy::Untrusted).await;
        let e = e.map(|_| ()).expect_err(&body);
        assert!(format!("{e}").contains("outside"), "{body}: {e}");
        assert!(!format!("{e:?}").contains("hunter2"), "{body}");
    }
    // The engine's own driver mounts what its options say.
    for options in [
        "{o: bind, device: etc}",
        "{o: 'ro,rbind', type: none, device: /etc}",
        "{type: overlay, device: overlay, o: 'lowerdir=/etc,upperdir=/tmp/u,workdir=/tmp/w'}",
        "{type: ext4, device: /dev/sda1}",
        "{type: proc, device: proc}",
        "{type: nfs, o: 'addr=10.0.0.1', device: ':/x'}",
        "{type: tmpfs, o: bind, device: /etc}",
    ] {
        let text = format!("services: {{web: {{image: i, volumes: [{{type: volume, source: v, target: /x}}]}}}}\nvolumes: {{v: {{driver_opts: {options}}}}}\n");
        let e = Project::parse(text).project_dir(folder.path().to_owned()).clear_env(true).policy(Policy::Untrusted).await.expect_err(options);
        assert!(e.to_string().contains("outside"), "{options}: {e}");
    }
    for options in ["{}", "{type: tmpfs, device: tmpfs, o: 'size=1m'}", "{type: none, o: bind, device: ./data}"] {
        let text = format!(
            "services: {{web: {{image: i, volumes: [{{type: volume, source: v, target: /x}}]}}}}\nvolumes: {{v: {{driver: local, driver_opts: {options}}}}}\n"
        );
        Project::parse(text).project_dir(folder.path().to_owned()).clear_env(true).policy(Policy::Untrusted).await.expect(options);
    }
    for include in ["link/base.yaml", "/etc/hostname"] {
        std::fs::write(folder.path().join("compose.yaml"), format!("include: ['{include}']\nservices: {{web: {{image: i}}}}\n")).unwrap();
        let e = Project::load(folder.path().join("compose.yaml")).clear_env(true).policy(Policy::Untrusted).await.unwrap_err();
        assert!(e.to_string().contains("outside"), "{e}");
    }
    let fine = "services:\n  web: {image: i, env_file: in.env, volumes: ['./data:/x', 'v:/y'], build: ./later}\nvolumes: {v: }\n"
        .replace("'v:/y'", "{type: volume, source: v, target: /y}");
    std::fs::write(folder.path().join("compose.yaml"), fine).unwrap();
    let project = Project::load(folder.path().join("compose.yaml")).clear_env(true).policy(Policy::Untrusted).await.unwrap();
    assert_eq!(project.model().services["web"].environment["IN"].as_deref(), Some("1"));
    let roots = vec![outside.path().to_owned()];
    std::fs::write(folder.path().join("compose.yaml"), "services: {web: {image: i, env_file: link/secret.env}}\n").unwrap();
    let call = Project::load(folder.path().join("compose.yaml")).clear_env(true).policy(Policy::Untrusted);
    assert!(call.roots(roots).await.is_ok(), "a folder that the caller allows");
}

#[tokio::test]
async fn the_variables_of_an_untrusted_project_lie_in_its_folder() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.env"), "KEY=hunter2\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yaml"), "services: {web: {image: 'i:${KEY}'}}\n").unwrap();
    let load = || Project::load(folder.path().join("compose.yaml")).clear_env(true).policy(Policy::Untrusted);
    let dotenv = folder.path().join(".env");
    std::os::unix::fs::symlink(outside.path().join("secret.env"), &dotenv).unwrap();
    assert_eq!(load().await.unwrap_err().kind(), ErrorKind::Forbidden, "a link");
    std::fs::remove_file(&dotenv).unwrap();
    std::fs::write(&dotenv, "COMPOSE_FILE=/etc/passwd\nKEY=v\n").unwrap();
    assert_eq!(load().await.unwrap().model().services["web"].image, "i:v");
    let found = Project::load(Vec::new()).project_dir(folder.path().to_owned()).clear_env(true).policy(Policy::Untrusted).await;
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Forbidden, "files that variables name");
}

#[tokio::test]
async fn a_policy_says_what_files_may_reach() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("x.env"), "KEY=value\n").unwrap();
    std::fs::write(folder.path().join("in.env"), "KEY=inside\n").unwrap();
    let load = |body: &str, policy: LoadPolicy| {
        std::fs::write(folder.path().join("compose.yaml"), format!("services:\n  web:\n    image: i\n    {body}\n")).unwrap();
        Project::load(folder.path().join("compose.yaml")).clear_env(true).env([("HOME", "/root")]).policy(policy)
    };
    let any = LoadPolicy::default;
    let out = format!("env_file: {}/x.env", other.path().display());
    let relative = format!("env_file: ../{}/x.env", other.path().file_name().unwrap().to_str().unwrap());
    // Where nothing is said, all is as with `trusted`.
    assert_eq!(load(&out, any()).await.unwrap().model().services["web"].environment["KEY"].as_deref(), Some("value"));
    // Folders.
    let roots = |all: &[&std::path::Path]| any().roots(all.iter().map(|p| p.to_path_buf()).collect::<Vec<_>>());
    for body in [&out, &relative] {
        let e = load(body, roots(&[])).await.unwrap_err();
        assert_eq!((e.kind(), e.to_string().contains("outside")), (ErrorKind::InvalidCompose, true), "{body}: {e}");
        load(body, roots(&[other.path()])).await.unwrap();
    }
    load("env_file: in.env", roots(&[])).await.unwrap();
    // Absolute paths, as they are written.
    let here = folder.path().display();
    for body in [
        out.clone(),
        format!("env_file: {here}/in.env"),
        format!("label_file: {here}/in.env"),
        format!("extends: {{file: {here}/compose.yaml, service: web}}"),
        format!("volumes: ['{here}/x:/x']"),
        "volumes: ['~/x:/x']".to_owned(),
        "volumes: ['C:/x:/x']".to_owned(),
        format!("build: {here}"),
        format!("build: {{context: ., dockerfile: {here}/Dockerfile}}"),
        format!("build: {{context: ., additional_contexts: {{x: {here}}}}}"),
        format!("develop: {{watch: [{{path: {here}, action: rebuild}}]}}"),
        format!("secrets: [s]\nsecrets: {{s: {{file: {here}/in.env}}}}"),
        format!("image: j\ninclude: [{here}/in.yaml]").replacen("image: j", "hostname: j", 1),
    ] {
        let e = load(&body, any().absolute(false)).await.map(|_| ()).expect_err(&body);
        assert!(e.diagnostics().iter().any(|d| d.message.contains("is an absolute path") && d.line > 0 && !d.path.is_empty()), "{body}: {e}");
    }
    load("env_file: in.env\n    volumes: ['./x:/x', 'vv:/y']\n    build: .\nvolumes: {vv: }", any().absolute(false)).await.unwrap();
    // Contexts of other hosts.
    for body in ["build: https://example.org/a.git", "build: 'git@example.org:a.git'", "build: {context: ., additional_contexts: {x: 'https://example.org/a'}}"]
    {
        let e = load(body, any().remotes(false)).await.map(|_| ()).expect_err(body);
        assert!(e.to_string().contains("other hosts"), "{body}: {e}");
        load(body, any().remotes(true)).await.unwrap();
    }
    load("build: {context: ., additional_contexts: {x: 'docker-image://alpine'}}", any().remotes(false)).await.unwrap();
    // Sizes and numbers.
    std::fs::write(folder.path().join("in.env"), format!("KEY={}\n", "x".repeat(5_000))).unwrap();
    load("env_file: in.env", any().max_file(6_000)).await.unwrap();
    for (policy, expected) in [(any().max_file(4_096), "4 KiB"), (any().max_total(5_000), "too large"), (any().max_files(1u32), "more than 1 files")] {
        let e = load("env_file: in.env", policy).await.unwrap_err();
        assert!(e.to_string().contains(expected), "{e}");
    }
}
