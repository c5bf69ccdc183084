//! What an untrusted file may name on this host: nothing outside of the folders that the policy allows.

use std::path::Path;

use super::{
    Loader, Problems,
    node::{Node, Trail},
};
use crate::compose::model::Model;

pub(super) fn check(model: &Model, whole: &Node, loader: &Loader<'_>, problems: &mut Problems) {
    let root = Trail::ROOT;
    let mut judge = |node: Option<&Node>, path: &str, trail: &Trail<'_>| {
        if path.is_empty() || loader.files.allows(Path::new(path)) {
            return;
        }
        let node = node.unwrap_or(whole);
        let mut d = node.problem(trail, format!("{} lies outside the project folder, which the policy does not allow", node.shown()));
        d.expected = Some("a path in the project folder".to_owned());
        problems.errors.push(d);
    };
    let section = root.key("services");
    for (name, service) in &model.services {
        let trail = section.key(name);
        let own = whole.get("services").and_then(|s| s.get(name));
        let list = |list: &str, i: usize, field: &str| own.and_then(|s| s.get(list)?.items().get(i)?.get(field));
        for (i, volume) in service.volumes.iter().enumerate().filter(|(_, v)| matches!(v.kind.as_str(), "bind" | "npipe")) {
            judge(list("volumes", i, "source"), &volume.source, &trail.key("volumes").index(i));
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
            for (i, key) in build.ssh.iter().enumerate().filter(|(_, k)| is_path(&k.path)) {
                judge(own.and_then(|b| b.get("ssh")), &key.path, &inner.key("ssh").index(i));
            }
        }
        for (i, watch) in service.develop.iter().flat_map(|d| &d.watch).enumerate() {
            judge(own.and_then(|s| s.get("develop")?.get("watch")?.items().get(i)?.get("path")), &watch.path, &trail.key("develop").key("watch").index(i));
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
        if let Some(device) = volume.driver_opts.get("device").filter(|d| d.starts_with('/')) {
            let node = whole.get("volumes").and_then(|v| v.get(name)?.get("driver_opts")?.get("device"));
            judge(node, device, &section.key(name).key("driver_opts").key("device"));
        }
    }
}
