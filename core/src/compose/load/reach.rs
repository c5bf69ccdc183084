//! What an untrusted file may name on this host: nothing outside of the folders that the policy allows.

use std::path::Path;

use super::{Loader, Problems, files::Files, node::Node, paths, trail::Trail};
use crate::compose::model::Model;

/// What a file writes that the policy refuses, however it is meant: absolute paths, and contexts of other hosts.
pub(super) fn written(whole: &Node, files: &Files, problems: &mut Problems) {
    if files.takes_anything() {
        return;
    }
    let mut path = |node: Option<&Node>, trail: &Trail<'_>| {
        if let Some(node) = node.filter(|n| n.as_str().is_some_and(|t| !files.may_name(t))) {
            let mut d = node.problem(trail, format!("{} is an absolute path, which the policy does not allow", node.shown()));
            d.expected = Some("a relative path".to_owned());
            problems.errors.push(d);
        }
    };
    let root = Trail::ROOT;
    let mut contexts: Vec<(&Node, String)> = Vec::new();
    for (name, service) in whole.get("services").into_iter().flat_map(Node::each) {
        let section = root.key("services");
        let trail = section.key(&name.name);
        let items = |list: &str| service.get(list).map(Node::items).unwrap_or_default().iter().enumerate();
        for (list, field) in [("env_file", "path"), ("volumes", "source"), ("devices", "source")] {
            for (i, item) in items(list).filter(|(_, v)| list != "volumes" || matches!(v.str("type"), Some("bind" | "npipe"))) {
                path(item.get(field), &trail.key(list).index(i).key(field));
            }
        }
        for (i, item) in items("label_file") {
            path(Some(item), &trail.key("label_file").index(i));
        }
        if let Some(build) = service.get("build") {
            let trail = trail.key("build");
            for key in ["context", "dockerfile"] {
                path(build.get(key), &trail.key(key));
            }
            contexts.extend(build.get("context").map(|c| (c, trail.key("context").path())));
            for map in ["additional_contexts", "ssh"] {
                for (key, value) in build.get(map).into_iter().flat_map(Node::each) {
                    path(Some(value), &trail.key(map).key(&key.name));
                    if map == "additional_contexts" {
                        contexts.push((value, trail.key(map).key(&key.name).path()));
                    }
                }
            }
        }
        for (i, item) in service.get("develop").and_then(|d| d.get("watch")).map(Node::items).unwrap_or_default().iter().enumerate() {
            path(item.get("path"), &trail.key("develop").key("watch").index(i).key("path"));
        }
        path(service.get("credential_spec").and_then(|c| c.get("file")), &trail.key("credential_spec").key("file"));
    }
    for section in ["secrets", "configs"] {
        for (name, object) in whole.get(section).into_iter().flat_map(Node::each) {
            path(object.get("file"), &root.key(section).key(&name.name).key("file"));
        }
    }
    for (name, volume) in whole.get("volumes").into_iter().flat_map(Node::each) {
        path(volume.get("driver_opts").and_then(|o| o.get("device")), &root.key("volumes").key(&name.name).key("driver_opts").key("device"));
    }
    for (node, path) in contexts {
        let is_service = |t: &str| t.starts_with("service:") || t.starts_with("target:") || t.starts_with("docker-image://");
        if !files.remotes() && node.as_str().is_some_and(|t| paths::is_remote_context(t) && !is_service(t)) {
            let mut d = node.problem(&root, format!("{} is outside the project folder: the policy allows no contexts of other hosts", node.shown()));
            d.path = path;
            problems.errors.push(d);
        }
    }
}

/// Whether a volume of the engine's own driver is one that reaches no file of the host beyond what `allows` says.
fn is_harmless(options: &std::collections::BTreeMap<String, String>, files: &Files) -> bool {
    let get = |name: &str| options.get(name).map_or("", String::as_str);
    let binds = get("o").split(',').any(|o| matches!(o.trim(), "bind" | "rbind"));
    match get("type") {
        "tmpfs" => !binds,
        "nfs" | "nfs4" | "cifs" => !binds && files.remotes(),
        "" | "none" | "bind" if binds => get("device").starts_with('/') && files.allows(Path::new(get("device"))),
        "" => get("device").is_empty() && get("o").is_empty(),
        _ => false,
    }
}

pub(super) fn check(model: &Model, whole: &Node, loader: &Loader<'_>, problems: &mut Problems) {
    if loader.files.is_open() {
        return;
    }
    let root = Trail::ROOT;
    let mut judge = |node: Option<&Node>, path: &str, trail: &Trail<'_>| {
        if path.is_empty() || loader.files.allows(Path::new(path)) {
            return;
        }
        if problems.errors.is_full() {
            return;
        }
        let node = node.unwrap_or(whole);
        // What is no path, such as the engine's socket, is judged as the host's root.
        let is_host = path == "/";
        let what = if is_host { "reaches outside the project folder" } else { "lies outside the project folder" };
        let mut d = node.problem(trail, format!("{} {what}, which the policy does not allow", node.shown()));
        d.expected = (!is_host).then(|| "a path in the project folder".to_owned());
        problems.errors.push(d);
    };
    let section = root.key("services");
    for (name, service) in &model.services {
        let trail = section.key(name);
        let own = whole.get("services").and_then(|s| s.get(name));
        let list = |name: &str| own.and_then(|s| s.get(name));
        for (i, item, volume) in Node::beside(list("volumes"), &service.volumes).filter(|(_, _, v)| matches!(v.kind.as_str(), "bind" | "npipe")) {
            judge(item.and_then(|n| n.get("source")), &volume.source, &trail.key("volumes").index(i));
        }
        if let Some(build) = &service.build {
            let inner = trail.key("build");
            let own = own.and_then(|s| s.get("build"));
            let is_path = |t: &str| t.starts_with('/');
            if is_path(&build.context) {
                judge(own.and_then(|b| b.get("context")), &build.context, &inner.key("context"));
                let dockerfile = Path::new(&build.context).join(&build.dockerfile);
                judge(own.and_then(|b| b.get("dockerfile")), &dockerfile.display().to_string(), &inner.key("dockerfile"));
            }
            for (key, value) in build.additional_contexts.iter().filter(|(_, v)| is_path(v)) {
                judge(own.and_then(|b| b.get("additional_contexts")?.get(key)), value, &inner.key("additional_contexts").key(key));
            }
            // Without a path it is the agent that lends its keys.
            for (i, item, key) in Node::beside(own.and_then(|b| b.get("ssh")), &build.ssh) {
                judge(item, if key.path.is_empty() { "/" } else { &key.path }, &inner.key("ssh").index(i));
            }
        }
        for (i, item, device) in Node::beside(list("devices"), &service.devices).filter(|(_, _, d)| d.source.starts_with('/')) {
            judge(item.and_then(|n| n.get("source")), &device.source, &trail.key("devices").index(i));
        }
        let whole_service = whole.get("services").and_then(|s| s.get(name));
        if service.use_api_socket {
            judge(whole_service.and_then(|s| s.get("use_api_socket")), "/", &trail.key("use_api_socket"));
        }
        if service.provider.is_some() {
            judge(whole_service.and_then(|s| s.get("provider")), "/", &trail.key("provider"));
        }
        let watched = service.develop.as_ref().map_or(&[][..], |d| &d.watch);
        for (i, item, watch) in Node::beside(list("develop").and_then(|d| d.get("watch")), watched) {
            judge(item.and_then(|n| n.get("path")), &watch.path, &trail.key("develop").key("watch").index(i));
        }
        if let Some(credentials) = service.credential_spec.as_ref().filter(|c| !c.file.is_empty()) {
            let path = super::paths::absolute(loader.files.first_root().unwrap_or(Path::new("/")), &credentials.file);
            judge(own.and_then(|s| s.get("credential_spec")?.get("file")), &path, &trail.key("credential_spec").key("file"));
        }
    }
    for (section, objects) in [("secrets", &model.secrets), ("configs", &model.configs)] {
        let trail = root.key(section);
        for (name, object) in objects {
            judge(whole.get(section).and_then(|s| s.get(name)?.get("file")), &object.file, &trail.key(name).key("file"));
        }
    }
    let section = root.key("volumes");
    for (name, volume) in &model.volumes {
        let trail = section.key(name);
        let options = whole.get("volumes").and_then(|v| v.get(name)?.get("driver_opts"));
        if matches!(volume.driver.as_str(), "" | "local") {
            if !is_harmless(&volume.driver_opts, &loader.files) {
                judge(options.and_then(|o| o.get("device")).or(options), "/", &trail.key("driver_opts").key("device"));
            }
            continue;
        }
        for (key, value) in volume.driver_opts.iter().filter(|(_, v)| v.starts_with('/')) {
            judge(options.and_then(|o| o.get(key)), value, &trail.key("driver_opts").key(key));
        }
    }
}
