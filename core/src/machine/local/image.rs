//! The image of a node: made of this host's own engine, so that nothing has to be pulled.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::closure::Closure;
use crate::{
    engine::{Engine, tar_stream},
    error::{Error, ErrorKind, Result},
    progress::{EventSink, Resource},
};

const ENTRY: &str = include_str!("entry.sh");
/// What a node runs, with what it needs it for.
const PROGRAMS: [&str; 10] =
    ["dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "docker-init", "ip", "mount", "umount", "xtables-nft-multi"];
/// Good to have: programs that the engine calls on some hosts only.
const EXTRA: [&str; 4] = ["docker", "nsenter", "modprobe", "ps"];
const FOLDERS: [&str; 6] = ["/usr/sbin", "/usr/bin", "/usr/libexec/docker", "/usr/local/bin", "/usr/local/sbin", "/opt/docker/bin"];
/// Names of the one program that the firewall's tools are.
const FIREWALL: [&str; 6] = ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];
/// The image that others make of an engine for this purpose.
const DIND: &str = "docker:dind";

/// What an image of this host's engine would be made of.
struct Parts {
    programs: BTreeMap<&'static str, PathBuf>,
    busybox: PathBuf,
    tag: String,
}

fn find(name: &str) -> Option<PathBuf> {
    let mut folders = FOLDERS.iter().map(Path::new);
    let found = folders.find_map(|f| std::fs::canonicalize(f.join(name)).ok())?;
    found.is_file().then_some(found)
}

impl Parts {
    /// Looks for the parts; the error says what is missing.
    fn find() -> Result<Self> {
        let mut programs = BTreeMap::new();
        let mut missing = Vec::new();
        for name in PROGRAMS {
            // Where the firewall's tools are not the newer kind, the old ones have the same interface.
            let found = find(name).or_else(|| if name == "xtables-nft-multi" { find("xtables-legacy-multi") } else { None });
            match found {
                Some(path) => {
                    programs.insert(name, path);
                }
                None => missing.push(name),
            }
        }
        programs.extend(EXTRA.iter().filter_map(|name| Some((*name, find(name)?))));
        let busybox = find("busybox");
        if busybox.is_none() {
            missing.push("busybox");
        }
        let Some(busybox) = busybox.filter(|_| missing.is_empty()) else {
            return Err(Error::not_found(format!("this host lacks {}", missing.join(", "))).hint("install them, or give the driver an image"));
        };
        let mut hash = Sha256::new();
        hash.update(ENTRY);
        for (name, path) in &programs {
            let meta = std::fs::metadata(path).map_err(|e| Error::file(path, e))?;
            let changed = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default().as_secs();
            hash.update(format!("{name} {} {} {changed}\n", path.display(), meta.len()));
        }
        let id: String = hash.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect();
        Ok(Self { programs, busybox, tag: format!("dockerkit/node:{id}") })
    }
}

/// The image to make nodes of: this host's own engine where all its parts are here, else docker's image for the purpose.
pub(crate) async fn ensure(engine: &Engine, events: &EventSink) -> Result<String> {
    let parts = match blocking(Parts::find).await {
        Ok(parts) => parts,
        Err(e) => return dind(engine, events, e).await,
    };
    let tag = parts.tag.clone();
    match engine.images().get(&tag).await {
        Ok(_) => return Ok(tag),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let changes = ["ENTRYPOINT [\"/entry\"]", "ENV PATH=/usr/sbin:/usr/bin", "LABEL dockerkit.node=1"].map(str::to_owned);
    let body = tar_stream(move |writer| pack(&parts, writer));
    let quiet = EventSink::default();
    let images = engine.images();
    let work = async { images.import_stream(&tag, &changes, Some("an engine of this host"), None, body, &quiet).await };
    events.track("build", Resource::new("image", &tag), work).await?;
    Ok(tag)
}

async fn dind(engine: &Engine, events: &EventSink, missing: Error) -> Result<String> {
    if engine.images().get(DIND).await.is_ok() {
        return Ok(DIND.to_owned());
    }
    let mut context = crate::call::Context { events: events.clone(), ..Default::default() };
    context.deadline = None;
    match engine.images().pull(DIND).in_context(context).await {
        Ok(_) => Ok(DIND.to_owned()),
        Err(e) => Err(missing.with("image", DIND).with("pull", e.to_string())),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal(e.to_string()))?
}

/// Writes the image's file system.
fn pack(parts: &Parts, writer: impl Write) -> Result<()> {
    let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(256 << 10, writer));
    let io = |e: std::io::Error| Error::new(ErrorKind::Io, format!("the node's image cannot be made: {e}"));
    let mut closure = Closure::new();
    for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "var/lib", "etc/ssl/certs"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, folder, std::io::empty()).map_err(io)?;
    }
    for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("var/run", "../run")] {
        add_link(&mut tar, link, target).map_err(io)?;
    }
    for (name, path) in &parts.programs {
        let folder = if *name == "xtables-nft-multi" { "usr/sbin" } else { "usr/bin" };
        add_file(&mut tar, &format!("{folder}/{name}"), path).map_err(io)?;
        closure.add(path)?;
    }
    for name in FIREWALL {
        add_link(&mut tar, &format!("usr/sbin/{name}"), "xtables-nft-multi").map_err(io)?;
    }
    for module in firewall_modules() {
        let name = format!("usr/lib/{}", module.strip_prefix("/usr/lib").unwrap_or(&module).display());
        add_file(&mut tar, &name, &module).map_err(io)?;
        closure.add(&module)?;
    }
    closure.add(&parts.busybox)?;
    add_file(&mut tar, "usr/bin/busybox", &parts.busybox).map_err(io)?;
    for name in [
        "sh", "mkdir", "rm", "sed", "cat", "ls", "ps", "sleep", "nc", "wget", "nslookup", "ping", "kill", "hostname", "tar", "df", "free", "top", "vi", "env",
        "grep",
    ] {
        if !parts.programs.contains_key(name) {
            add_link(&mut tar, &format!("usr/bin/{name}"), "busybox").map_err(io)?;
        }
    }
    for (place, file) in &closure.files {
        let place = place.display().to_string();
        // The usual folders are links into /usr in the image.
        let inside = if place.starts_with("/usr/") { place.trim_start_matches('/').to_owned() } else { format!("usr{place}") };
        add_file(&mut tar, &inside, file).map_err(io)?;
    }
    for file in ["/usr/lib/os-release", "/etc/ssl/certs/ca-certificates.crt", "/etc/protocols", "/etc/services"] {
        if Path::new(file).is_file() {
            add_file(&mut tar, file.trim_start_matches('/'), Path::new(file)).map_err(io)?;
        }
    }
    for (name, text, mode) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644),
        ("etc/group", "root:x:0:\ndocker:x:999:\n", 0o644),
        ("etc/nsswitch.conf", "hosts: files dns\n", 0o644),
        ("entry", ENTRY, 0o755),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, name, text.as_bytes()).map_err(io)?;
    }
    tar.into_inner().and_then(|mut w| w.flush()).map_err(io)
}

/// The modules that the firewall's tools load by name.
fn firewall_modules() -> Vec<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|e| e.path().join("xtables"));
    let mut all: Vec<PathBuf> = libraries
        .filter_map(|f| std::fs::read_dir(f).ok())
        .flat_map(|f| f.flatten().map(|e| e.path()))
        .chain(names_services())
        .filter(|p| p.extension().is_some_and(|e| e == "so" || e == "2") && p.is_file())
        .collect();
    all.sort();
    all
}

/// The C library loads these by name when it looks up hosts.
fn names_services() -> Vec<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|e| e.path());
    folders.flat_map(|f| ["libnss_dns.so.2", "libnss_files.so.2"].map(|n| f.join(n))).filter(|p| p.is_file()).collect()
}

fn add_link<W: Write>(tar: &mut tar::Builder<W>, name: &str, target: &str) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_mode(0o777);
    header.set_size(0);
    tar.append_link(&mut header, name, target)
}

fn add_file<W: Write>(tar: &mut tar::Builder<W>, name: &str, path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let meta = file.metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_size(meta.len());
    header.set_mode(crate::host::mode(&meta) & 0o777);
    tar.append_data(&mut header, name, &mut file)
}
