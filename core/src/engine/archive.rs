//! Files in and out of containers. Only uncompressed tar is sent to the engine, and what comes out is unpacked inside
//! its target only.

use std::{
    io::{Read, Write},
    path::{Component, Path, PathBuf},
};

use futures_util::{StreamExt, TryStreamExt};

use super::{
    Req,
    client::reader_stream,
    container::{Container, missing},
    images::source,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    stream::Streaming,
    units::Data,
};

options! {
    /// Options of [`Container::put_archive`]: the archive is an uncompressed tar, from one source.
    pub struct PutArchive {
        /// The archive, as bytes.
        pub data: Option<Data>,
        /// The archive, as a file.
        pub file: Option<PathBuf>,
        /// Fails when a folder would take the place of a file, or a file of a folder.
        pub no_overwrite: bool,
        /// Keeps the owners that the archive names.
        pub keep_owner: bool,
    }
}

/// The beginnings of compressed files: gzip, bzip2, xz and zstd. Engines would start a program of the container for some.
const COMPRESSED: [&[u8]; 4] = [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];

impl Container {
    /// Unpacks an uncompressed tar in a folder of the container.
    ///
    /// # Errors
    /// `invalid_input` for a compressed archive, `not_found` when the folder is not there, `forbidden` when it cannot be written to.
    pub fn put_archive(&self, path: impl Into<String>) -> Call<PutArchive, ()> {
        let (me, path) = (self.clone(), path.into());
        Call::new("container.put_archive", move |o: PutArchive, _| async move {
            let mut head = o.data.as_ref().map(|d| d.0.clone()).unwrap_or_default();
            if let Some(file) = &o.file {
                let mut start = [0u8; 8];
                let count = std::fs::File::open(file).and_then(|mut f| f.read(&mut start)).map_err(|e| Error::file(file, e))?;
                head = bytes::Bytes::copy_from_slice(start.get(..count).unwrap_or_default());
            }
            if COMPRESSED.iter().any(|magic| head.starts_with(magic)) {
                return Err(Error::invalid("the archive is compressed").hint("give an uncompressed tar"));
            }
            let body = source(o.data, o.file).await?;
            me.upload(&path, body, o.no_overwrite, o.keep_owner).await
        })
    }

    pub(crate) async fn upload(
        &self,
        path: &str,
        body: futures_util::stream::BoxStream<'static, std::io::Result<bytes::Bytes>>,
        no_overwrite: bool,
        keep_owner: bool,
    ) -> Result<()> {
        let req = Req::new(hyper::Method::PUT, &["containers", self.id(), "archive"])
            .query("path", path)
            .maybe("noOverwriteDirNonDir", no_overwrite.then_some("1"))
            .maybe("copyUIDGID", keep_owner.then_some("1"))
            .stream("application/x-tar", body)
            .patient();
        self.engine.client.done(req).await.map(drop).map_err(|e| place(e, self, path))
    }

    /// A file or folder of the container as a tar, in parts as they come.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get_archive(&self, path: impl Into<String>) -> Call<NoOptions, Streaming<Data>> {
        let (me, path) = (self.clone(), path.into());
        Call::new("container.get_archive", move |_, _| async move {
            let req = Req::get(&["containers", me.id(), "archive"]).query("path", &path).patient();
            let bytes = me.engine.client.bytes(req).await.map_err(|e| place(e, &me, &path))?;
            Ok(Streaming::of_parts(bytes.map(|b| b.map(Data)), Data::join))
        })
    }

    /// Its whole file system as a tar, in parts as they come. Volumes are not in it.
    ///
    /// # Errors
    /// `not_found`.
    pub fn export(&self) -> Call<NoOptions, Streaming<Data>> {
        let me = self.clone();
        Call::new("container.export", move |_, _| async move {
            let bytes = me.engine.client.bytes(Req::get(&["containers", me.id(), "export"]).patient()).await.map_err(|e| missing(e, me.name()))?;
            Ok(Streaming::of_parts(bytes.map(|b| b.map(Data)), Data::join))
        })
    }

    /// Copies a file or folder of this host into the container, as `docker cp` does: into `target` when that is a folder
    /// there, else under that name.
    ///
    /// # Errors
    /// `not_found` when the source or the target's parent is not there, `forbidden`.
    pub fn copy_to(&self, path: impl Into<PathBuf>, target: impl Into<String>) -> Call<NoOptions, ()> {
        let (me, path, target) = (self.clone(), path.into(), target.into());
        Call::new("container.copy_to", move |_, _| async move {
            let into_folder = target.ends_with('/') || me.is_folder(&target).await?;
            let (folder, name) = if into_folder {
                (target.clone(), path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
            } else {
                let (folder, name) = target.rsplit_once('/').unwrap_or(("", &target));
                (if folder.is_empty() { "/".to_owned() } else { folder.to_owned() }, name.to_owned())
            };
            let (reader, writer) = tokio::io::duplex(256 << 10);
            let pack = tokio::task::spawn_blocking(move || pack(&path, &name, tokio_util::io::SyncIoBridge::new(writer)));
            let sent = me.upload(&folder, reader_stream(reader).boxed(), false, false).await;
            pack.await.map_err(|e| Error::internal(e.to_string()))??;
            sent
        })
    }

    /// Copies a file or folder of the container to this host, as `docker cp` does: into `target` when that is a folder
    /// here, else under that name. Nothing is written outside the target, whatever the container sends.
    ///
    /// # Errors
    /// `not_found`, `invalid_input` when what comes would leave the target, `io`.
    pub fn copy_from(&self, path: impl Into<String>, target: impl Into<PathBuf>) -> Call<NoOptions, ()> {
        let (me, path, target) = (self.clone(), path.into(), target.into());
        Call::new("container.copy_from", move |_, _| async move {
            let req = Req::get(&["containers", me.id(), "archive"]).query("path", &path).patient();
            let bytes = me.engine.client.bytes(req).await.map_err(|e| place(e, &me, &path))?;
            let reader = tokio_util::io::StreamReader::new(bytes.map_err(std::io::Error::other));
            let reader = tokio_util::io::SyncIoBridge::new(Box::pin(reader));
            tokio::task::spawn_blocking(move || unpack(reader, &target)).await.map_err(|e| Error::internal(e.to_string()))?
        })
    }

    async fn is_folder(&self, path: &str) -> Result<bool> {
        use base64::Engine as _;
        let req = Req::new(hyper::Method::HEAD, &["containers", self.id(), "archive"]).query("path", path);
        match self.engine.client.send(req).await {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
            Ok(response) => {
                let stat = response.headers().get("x-docker-container-path-stat").and_then(|v| base64::engine::general_purpose::STANDARD.decode(v).ok());
                let stat: serde_json::Value = stat.and_then(|s| serde_json::from_slice(&s).ok()).unwrap_or_default();
                // Go's os.ModeDir is the highest bit of the mode.
                Ok(stat.get("mode").and_then(serde_json::Value::as_u64).is_some_and(|m| m & (1 << 31) != 0))
            }
        }
    }
}

fn place(e: Error, container: &Container, path: &str) -> Error {
    if e.kind() == ErrorKind::NotFound && e.message().contains("Could not find the file") {
        return e.hint("check the path in the container").with("path", path);
    }
    missing(e, container.name()).with("path", path)
}

/// Packs a file or folder under `name`.
fn pack(path: &Path, name: &str, writer: impl Write) -> Result<()> {
    let mut tar = tar::Builder::new(writer);
    tar.follow_symlinks(false);
    let meta = std::fs::symlink_metadata(path).map_err(|e| Error::file(path, e))?;
    let packed = if meta.is_dir() { tar.append_dir_all(name, path) } else { tar.append_path_with_name(path, name) };
    packed.and_then(|()| tar.finish()).map_err(|e| Error::file(path, e))
}

/// Unpacks what a container sent. Names are checked, links that leave the target and devices are refused.
fn unpack(reader: impl Read, target: &Path) -> Result<()> {
    let bad = |what: &str, path: &Path| {
        Error::invalid(format!("the container sent {what}: {}", crate::error::escape(&path.display().to_string())))
            .hint("nothing was written outside the target; do not trust this container")
    };
    let io = |e: std::io::Error| match e.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        Some(inner) => Error::new(inner.kind(), inner.message()),
        None => Error::file(target, e),
    };
    let into_folder = target.is_dir();
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        let name = entry.path().map_err(io)?.into_owned();
        if name.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(bad("a path that leaves the target", &name));
        }
        // The first part is the name of what is copied: it is kept in a folder, and replaced by the target's name elsewhere.
        let inner: PathBuf = if into_folder { name.clone() } else { name.components().skip(1).collect() };
        let place = if inner.as_os_str().is_empty() { target.to_owned() } else { target.join(&inner) };
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link()) {
            return Err(bad("a device or another special file", &name));
        }
        if kind.is_hard_link() {
            let to = entry.link_name().map_err(io)?.unwrap_or_default().into_owned();
            if to.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
                return Err(bad("a link that leaves the target", &name));
            }
            let inner: PathBuf = if into_folder { to } else { to.components().skip(1).collect() };
            std::fs::hard_link(target.join(inner), &place).map_err(|e| Error::file(&place, e))?;
            continue;
        }
        // A link that was unpacked before must not lead a later entry out of the target.
        let mut walked = target.to_owned();
        for part in inner.parent().into_iter().flat_map(Path::components) {
            walked.push(part);
            if std::fs::symlink_metadata(&walked).is_ok_and(|m| m.is_symlink()) {
                return Err(bad("a path through a link", &name));
            }
        }
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::file(parent, e))?;
        }
        if std::fs::symlink_metadata(&place).is_ok_and(|m| !m.is_dir()) {
            std::fs::remove_file(&place).map_err(|e| Error::file(&place, e))?;
        }
        entry.set_preserve_permissions(true);
        entry.set_preserve_mtime(true);
        entry.unpack(&place).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_with(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        build(&mut tar);
        tar.into_inner().unwrap()
    }

    fn entry(tar: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, link: Option<&str>, data: &[u8]) {
        let mut header = tar::Header::new_gnu();
        // Names are written raw: the builder itself would refuse what a hostile container sends.
        let bytes = header.as_mut_bytes();
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        if let Some(link) = link {
            let bytes = header.as_mut_bytes();
            bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }

    #[test]
    fn files_land_in_the_target() {
        let dir = tempfile::tempdir().unwrap();
        let data = tar_with(|t| entry(t, "src/a.txt", tar::EntryType::Regular, None, b"hello"));
        unpack(&data[..], dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("src/a.txt")).unwrap(), b"hello");
        unpack(&data[..], &dir.path().join("new")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("new/a.txt")).unwrap(), b"hello");
    }

    #[test]
    fn nothing_leaves_the_target() {
        use tar::EntryType as E;
        let cases = [
            tar_with(|t| entry(t, "../evil", E::Regular, None, b"x")),
            tar_with(|t| entry(t, "/evil", E::Regular, None, b"x")),
            tar_with(|t| entry(t, "a/../../evil", E::Regular, None, b"x")),
            tar_with(|t| {
                entry(t, "d", E::Symlink, Some("/tmp"), b"");
                entry(t, "d/evil", E::Regular, None, b"x");
            }),
            tar_with(|t| entry(t, "l", E::Link, Some("../../etc/passwd"), b"")),
            tar_with(|t| entry(t, "null", E::Char, None, b"")),
        ];
        for data in cases {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("in");
            std::fs::create_dir(&target).unwrap();
            assert_eq!(unpack(&data[..], &target).map_err(|e| e.kind()), Err(ErrorKind::InvalidInput));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }
}
