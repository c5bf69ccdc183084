//! What is said about wrong Compose files: each problem once, at its own place, in words that name what is to blame.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot make its files fails")]

use std::{collections::BTreeMap, path::Path};

use dockerkit::{Error, ErrorKind, Project, error::Diagnostic};

/// The error of a project of these files, the first of which is loaded with these variables.
async fn error(files: &[(&str, &str)], env: &[(&str, &str)]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let call = Project::load(folder.path().join(files[0].0))
        .clear_env(true)
        .env(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<String, String>>());
    match call.await {
        Ok(_) => panic!("loaded: {}", files[0].1),
        Err(e) => e,
    }
}

/// The problems of a file: line, column, path and message, without the folder.
async fn problems(files: &[(&str, &str)], env: &[(&str, &str)]) -> Vec<Diagnostic> {
    error(files, env).await.diagnostics().to_vec()
}

async fn of(text: &str) -> Vec<Diagnostic> {
    problems(&[("compose.yaml", text)], &[]).await
}

fn name(d: &Diagnostic) -> &str {
    Path::new(&d.file).file_name().unwrap().to_str().unwrap()
}

/// Where each problem is.
fn places(all: &[Diagnostic]) -> Vec<(u32, u32, &str)> {
    all.iter().map(|d| (d.line, d.column, d.path.as_str())).collect()
}

fn service(body: &str) -> String {
    format!("services:\n  a:\n    image: i\n    {}\n", body.replace('\n', "\n    "))
}

#[tokio::test]
async fn an_item_after_a_wrong_one_keeps_its_place() {
    let found = of(&service("volumes:\n- ':/d'\n- nope:/e")).await;
    assert_eq!(places(&found), [(5, 7, "services.a.volumes[0]"), (6, 7, "services.a.volumes[1]")]);
    assert!(found[1].message.contains("no volume `nope`"), "{found:?}");
    let found = of(&service("configs:\n- []\n- nope")).await;
    assert_eq!(places(&found), [(5, 7, "services.a.configs[0]"), (6, 7, "services.a.configs[1]")]);
    let found = of(&service("env_file:\n- {}\n- nope.env")).await;
    assert_eq!(places(&found), [(5, 7, "services.a.env_file[0]"), (6, 7, "services.a.env_file[1]")]);
    let found = of(&service("volumes:\n- ':/d'\n- /x:/e\n- /y:/e")).await;
    assert_eq!(places(&found), [(5, 7, "services.a.volumes[0]")], "one target is mounted once, and the later one counts");
    let found = of(&service("volumes:\n- ':/d'\n- /x:/e\ntmpfs: [/e]")).await;
    assert_eq!(places(&found)[1], (6, 7, "services.a.volumes[1]"));
    assert_eq!(found[1].message, "`/e` is the target of tmpfs[0] already");
    let found = of(&service("secrets: [{source: 5}, nope]")).await;
    assert_eq!(places(&found), [(4, 24, "services.a.secrets[0].source"), (4, 28, "services.a.secrets[1]")], "{found:?}");
}

#[tokio::test]
async fn a_variable_that_is_not_set_is_called_so() {
    let unset = |text: &'static str| async move { of(&service(text)).await.remove(0).message };
    let form = "expected a volume such as data:/data:ro or ./folder:/data, found";
    assert_eq!(unset("volumes: ['$VPN_CONFIG:/etc']").await, format!("{form} `:/etc`; the variable `VPN_CONFIG` is not set"));
    assert_eq!(unset("volumes: ['$A:${B}:$C:x']").await, format!("{form} `:::x`; the variables `A`, `B` and `C` are not set"));
    assert_eq!(unset("cpu_count: ${N}").await, "expected a whole number, found ``; the variable `N` is not set");
    // Of two, the one that has a value is not named, and what it gives is not shown.
    let found = problems(&[("compose.yaml", &service("volumes: ['$A:$SECRET:${C}']"))], &[("SECRET", "hunter2")]).await;
    assert_eq!(found[0].message, format!("{form} the value of $A, $SECRET, $C; the variables `A` and `C` are not set"));
    assert_eq!(found[0].chain, ["interpolated from $A, $SECRET, $C"]);
    let found = problems(&[("compose.yaml", &service("mem_limit: $SECRET"))], &[("SECRET", "hunter2")]).await;
    assert_eq!(found[0].message, "expected a size such as 512m, found the value of $SECRET");
}

#[tokio::test]
async fn a_default_of_the_file_is_shown_and_a_value_is_not() {
    let text = service("volumes: ['${DATA:-docker-data/postgres}:/var/x']");
    let found = of(&text).await;
    assert_eq!(found[0].message, "there is no volume `docker-data/postgres`; a path begins with `./` or `/`");
    assert_eq!(found[0].chain, ["interpolated from $DATA"]);
    let found = problems(&[("compose.yaml", &text)], &[("DATA", "hunter2/x")]).await;
    assert_eq!(found[0].message, "there is no volume of the name that $DATA gives");
    for (volume, hint) in [("nginx.conf:/etc/nginx/nginx.conf", true), ("data.d:/data", false), ("data\\x:/data", true), ("data:/data", false)] {
        assert_eq!(of(&service(&format!("volumes: ['{volume}']"))).await[0].message.contains("a path begins with"), hint, "{volume}");
    }
    let found = of(&service("restart: ${R:-allways}\npull_policy: ${P:-alway}")).await;
    assert!(found.iter().all(|d| d.message.contains("allways") || d.message.contains("`alway`")), "{found:?}");
    // A default that is a value itself, and an operand that stands in for one.
    for operand in ["${DATA:-$SECRET}", "${DATA:-x${SECRET}}", "${SECRET:+x}${SECRET}"] {
        let e = error(&[("compose.yaml", &service(&format!("volumes: ['{operand}:/x']\nmem_limit: '{operand}'")))], &[("SECRET", "hunter2")]).await;
        assert!(!format!("{e} {e:?} {:?}", e.to_data()).contains("hunter2"), "{operand}: {e}");
    }
    let text = service("volumes: ['/a:/x/$SECRET']\ntmpfs: ['/x/$SECRET']");
    let e = error(&[("compose.yaml", &text)], &[("SECRET", "hunter2")]).await;
    assert!(e.to_string().contains("already") && !format!("{e} {e:?}").contains("hunter2"), "{e}");
}

#[tokio::test]
async fn how_many_more_stands_before_the_chain() {
    let e = error(&[("compose.yaml", &service("mem_limit: $S\ncpu_count: x\ncpus: y"))], &[("S", "z")]).await;
    let lines: Vec<String> = e.to_string().lines().map(str::to_owned).collect();
    assert!(lines[0].ends_with("found the value of $S (and 2 more problems)"), "{e}");
    assert_eq!(lines[1], "  interpolated from $S");
    let e = error(&[("compose.yaml", &service("cpu_count: x\ncpus: y"))], &[]).await;
    assert!(e.to_string().ends_with("found `x` (and 1 more problem)"), "{e}");
    let found = of(&service("hostname: ${H:?say who}")).await;
    assert_eq!((found[0].message.as_str(), found[0].chain.len()), ("the variable `H` is required and has no value: say who", 0));
}

#[tokio::test]
async fn an_unknown_anchor_is_named() {
    let found = of("services:\n  <<: [*admin, *other]\n  web: {image: i}\n").await;
    assert_eq!(places(&found), [(2, 8, "services.<<[0]")]);
    assert_eq!(found[0].message, "unknown anchor `admin`");
    let found = of("services:\n  web:\n    image: *img\n").await;
    assert_eq!((found[0].message.as_str(), places(&found)[0]), ("unknown anchor `img`", (3, 12, "services.web.image")));
    let found = of("services: {web: {image: i, ports: [*p]}}\n").await;
    assert_eq!(found[0].message, "unknown anchor `p`");
}

#[tokio::test]
async fn a_service_without_an_image_is_told_at_its_name() {
    let found = of("services:\n  web:\n    ports: ['80']\n").await;
    assert_eq!(places(&found), [(2, 3, "services.web")]);
    let found = of("services:\n  web:\n    image: $IMG\n").await;
    assert_eq!(
        (found[0].message.as_str(), places(&found)[0]),
        ("`image` is empty, and there is no `build`; the variable `IMG` is not set", (3, 12, "services.web.image"))
    );
    let base = ("base.yaml", "services:\n  base:\n    ports: ['80']\n");
    let found = problems(&[("compose.yaml", "services:\n  web:\n    extends: {file: base.yaml, service: base}\n"), base], &[]).await;
    assert_eq!((name(&found[0]), found[0].line, found[0].column), ("compose.yaml", 2, 3));
}

#[tokio::test]
async fn an_item_that_stands_twice_is_shown_with_both_places() {
    let base = ("base.yaml", "services:\n  base:\n    image: i\n    security_opt:\n    - no-new-privileges\n");
    let own = "services:\n  web:\n    extends: {file: base.yaml, service: base}\n    security_opt: [no-new-privileges]\n";
    let found = problems(&[("compose.yaml", own), base], &[]).await;
    let d = &found[0];
    assert_eq!((name(d), d.line, d.path.as_str()), ("compose.yaml", 4, "services.web.security_opt[1]"));
    assert!(d.message.starts_with("`no-new-privileges` stands in the list a second time; first in /"), "{d:?}");
    assert!(d.message.ends_with("base.yaml, line 5"), "{d:?}");
    assert!(d.chain.iter().any(|link| link.starts_with("extended by services.web in ")), "{d:?}");
    let found = of(&service("security_opt:\n- x\n- x")).await;
    assert_eq!((found[0].message.as_str(), found[0].line), ("`x` stands in the list a second time; first in line 5", 6));
    let found = problems(&[("compose.yaml", &service("security_opt: [$S, hunter2]"))], &[("S", "hunter2")]).await;
    assert_eq!(found[0].message, "`hunter2` stands in the list a second time; first in line 4", "it stands in the file");
    let found = problems(&[("compose.yaml", &service("security_opt: [$S, $S]"))], &[("S", "hunter2")]).await;
    assert_eq!(found[0].message, "this item stands in the list a second time; first in line 4");
}

#[tokio::test]
async fn files_of_the_first_version_are_known() {
    let found = of("openvpn:\n  image: i\nbuilt:\n  build: .\nserivces: {}\nother: {x: 1}\n").await;
    let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages[0], "the key `openvpn` is not known here; services stand below `services:`");
    assert_eq!(messages[1], "the key `built` is not known here; services stand below `services:`");
    assert_eq!((messages[2], found[2].suggestion.as_deref()), ("the key `serivces` is not known here", Some("services")));
    assert_eq!(messages[3], "the key `other` is not known here");
}

#[tokio::test]
async fn a_problem_in_an_env_file_names_entry_and_variable() {
    let with =
        |text: &'static str| async move { problems(&[("compose.yaml", &service("env_file: f.env")), ("f.env", text)], &[("SET", "hunter2")]).await.remove(0) };
    let place = |d: &Diagnostic| (name(d).to_owned(), d.line, d.column, d.path.clone());
    let at = |line: u32, column: u32| ("f.env".to_owned(), line, column, "services.a.env_file[0]".to_owned());
    let d = with("A=1\nS=é ${W:?say it}\n").await;
    assert_eq!((d.message.as_str(), place(&d)), ("in the entry `S`, the variable `W` is required and has no value: say it", at(2, 5)));
    assert_eq!(d.expected, None);
    let d = with("A=1\n\nS=x${SET}${W:?${SET}}\n").await;
    assert_eq!((d.message.as_str(), place(&d)), ("in the entry `S`, the variable `W` is required and has no value", at(3, 10)));
    let form = "the variable is written wrongly; write ${NAME} or ${NAME:-default}, and $$ for a dollar";
    let d = with("export PASS=ab${hunter2\n").await;
    assert_eq!((d.message.clone(), place(&d)), (format!("in the entry `PASS`, {form}"), at(1, 15)));
    let d = with("Q=\"two\nlines ${W?}\"\n").await;
    assert_eq!((d.message.as_str(), place(&d)), ("in the entry `Q`, the variable `W` is required and has no value", at(2, 7)));
    let d = with("Q=\"a\\tb ${W?}\"\n").await;
    assert_eq!(place(&d), at(1, 3), "with escapes, the value's own place");
    let d = with("A=1\nQ='open\n").await;
    assert_eq!((d.message.as_str(), place(&d)), ("in the entry `Q`, a quote is not closed", at(2, 3)));
    let d = with("A B=1\n").await;
    assert_eq!((d.message.as_str(), d.expected.as_deref()), ("a name cannot hold a space", Some("lines of NAME=value")));
}

#[tokio::test]
async fn files_that_are_not_there_are_named_for_what_they_are() {
    let ends = |d: &Diagnostic, head: &str, tail: &str| assert!(d.message.starts_with(head) && d.message.ends_with(tail), "{d:?}");
    ends(&of(&service("env_file: none.env")).await[0], "no such env file: /", "/none.env");
    ends(&of(&service("label_file: none.labels")).await[0], "no such label file: /", "/none.labels");
    ends(&of("include: [{path: compose.yaml, env_file: none.env}]\n").await[0], "the file includes itself", "");
    let include = [("compose.yaml", "include: [{path: b.yaml, env_file: none.env}]\n"), ("b.yaml", "services: {a: {image: i}}\n")];
    ends(&problems(&include, &[]).await[0], "no such env file: /", "/none.env");
    let found = of("include: [none.yaml]\nservices: {a: {extends: {file: gone.yaml, service: b}}}\n").await;
    assert!(found.len() == 2 && found.iter().all(|d| !d.message.contains("os error")), "{found:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yaml"), "services: {a: {image: i}}\n").unwrap();
    let e = Project::load(folder.path().join("compose.yaml")).env_files(vec![folder.path().join("none.env")]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.message().starts_with("no such env file: /"), "{e}");
}

#[tokio::test]
async fn small_slips_are_told_once_and_plainly() {
    let found = of(&service("ports:\n- 8080: 80")).await;
    assert!(found[0].message.ends_with("the blank after the colon makes it a key; without one it is a text, such as \"8080:80\""), "{found:?}");
    let found = of("services:\n  1: {image: i}\n").await;
    assert_eq!(found[0].message, "a key must be a text, and this is a number");
    let found = of(&service("mem_limit: 1gb\ndeploy: {resources: {limits: {memory: 1Gi}}}")).await;
    assert_eq!(places(&found), [(5, 43, "services.a.deploy.resources.limits.memory")], "{found:?}");
    let found = of(&service("mem_limit: 1Gi\ndeploy: {resources: {limits: {memory: 1gb}}}")).await;
    assert_eq!(places(&found), [(4, 16, "services.a.mem_limit")], "{found:?}");
    let found = of(&service("mem_limit: 1gb\ndeploy: {resources: {limits: {memory: 2gb}}}")).await;
    assert!(found[0].message.contains("say different things"), "{found:?}");
}

#[tokio::test]
async fn what_was_expected_says_nothing_of_what_was_found() {
    let bodies = [
        "volumes: [':/d', [], 5]",
        "ports: [[], true]",
        "devices: [[]]",
        "expose: [[], {}]",
        "env_file: [{}, [], 5]",
        "configs: [[], 5]",
        "cap_add: [[], 5]",
        "dns: [{}]",
        "labels: [[]]",
        "volumes: [{type: bind, source: /x}]",
        "ports: [{published: 80}]",
        "mem_limit: x",
    ];
    for body in bodies {
        for d in of(&service(body)).await {
            assert!(d.expected.as_ref().is_none_or(|e| !e.contains("found")), "{body}: {d:?}");
            assert!(d.message.matches("found").count() <= 1 && d.message.matches("missing").count() <= 1, "{body}: {d:?}");
        }
    }
}

#[tokio::test]
async fn names_that_variables_give_are_not_shown() {
    let all = ["secrets", "configs", "networks", "depends_on", "models"];
    for list in all {
        let text = service(&format!("{list}: ['${{SECRET}}']"));
        let e = error(&[("compose.yaml", &text)], &[("SECRET", "hunter2")]).await;
        assert!(!format!("{e} {e:?} {:?}", e.to_data()).contains("hunter2"), "{list}: {e:?}");
        assert!(e.diagnostics()[0].message.ends_with("of the name that $SECRET gives"), "{list}: {e}");
        let e = error(&[("compose.yaml", &text.replace("${SECRET}", "${SECRET:-nope}"))], &[]).await;
        assert!(e.diagnostics()[0].message.ends_with(" `nope`") && e.diagnostics()[0].path.starts_with(&format!("services.a.{list}")), "{list}: {e}");
    }
    let found = of(&service("secrets: [{target: x}, $S]")).await;
    let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages, ["the name of the secret is missing", "the name of the secret is missing; the variable `S` is not set"]);
    let found = of(&service("networks: [none]")).await;
    assert_eq!(found[0].path, "services.a.networks.none");
}
