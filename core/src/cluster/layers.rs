//! Image archives without the layers that the other side has.
//!
//! `docker load` looks for a layer among its own before it looks into the archive, so a layer that it has can be left
//! out. Both forms are read: docker's own of before version 25, and the OCI layout with docker's index beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    path::PathBuf,
};

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// One image of an archive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    /// The layers from the bottom up: the digest of the content, and the file in the archive.
    pub(crate) layers: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    layers: Vec<String>,
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Engine, format!("the engine's archive of the image cannot be read: {what}"))
}

/// Reads what an archive holds.
pub(crate) fn read(file: impl Read) -> Result<Vec<Packed>> {
    let mut small: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        // Descriptions are small; layers are not looked into.
        if entry.size() <= 4 << 20 && entry.header().entry_type().is_file() {
            let path = entry.path().map_err(wrong)?.into_owned();
            if path.file_name().is_some_and(|n| n == "layer.tar") {
                continue;
            }
            let mut data = Vec::new();
            entry.read_to_end(&mut data).map_err(wrong)?;
            small.insert(path, data);
        }
    }
    let get = |path: &str| small.get(&PathBuf::from(path)).ok_or_else(|| wrong(format!("{path} is missing")));
    let index: Vec<Entry> = serde_json::from_slice(get("manifest.json")?).map_err(wrong)?;
    index
        .into_iter()
        .map(|image| {
            let config: serde_json::Value = serde_json::from_slice(get(&image.config)?).map_err(wrong)?;
            let ids = config.pointer("/rootfs/diff_ids").and_then(|v| v.as_array()).cloned().unwrap_or_default();
            let ids = ids.iter().map(|v| v.as_str().unwrap_or_default().to_owned());
            Ok(Packed { layers: ids.zip(image.layers).collect() })
        })
        .collect()
}

/// The files of an archive that an engine does not need: those of layers that it has above the same lower layers.
/// `known` are the stacks of layers of its images.
pub(crate) fn spare(images: &[Packed], known: &[Vec<String>]) -> BTreeSet<String> {
    let mut spare = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for image in images {
        let ids: Vec<&String> = image.layers.iter().map(|(id, _)| id).collect();
        let shared = known.iter().map(|k| k.iter().zip(&ids).take_while(|(a, b)| a == *b).count()).max().unwrap_or_default();
        for (i, (_, file)) in image.layers.iter().enumerate() {
            if i < shared {
                spare.insert(file.clone())
            } else {
                needed.insert(file.clone())
            };
        }
    }
    spare.difference(&needed).cloned().collect()
}

/// Copies an archive without the spare files. Gives how many bytes were written.
pub(crate) fn copy(file: impl Read, spare: &BTreeSet<String>, writer: impl Write) -> Result<u64> {
    let io = |e: std::io::Error| Error::new(ErrorKind::Io, format!("the image cannot be sent: {e}"));
    let mut count = Counted { writer: std::io::BufWriter::with_capacity(256 << 10, writer), bytes: 0 };
    let mut out = tar::Builder::new(&mut count);
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let path = entry.path().map_err(wrong)?.display().to_string();
        if spare.contains(&path) {
            continue;
        }
        let mut header = entry.header().clone();
        match entry.link_name().map_err(wrong)?.map(std::borrow::Cow::into_owned) {
            Some(target) => out.append_link(&mut header, &path, target).map_err(io)?,
            None => out.append_data(&mut header, &path, &mut entry).map_err(io)?,
        }
    }
    out.into_inner().map_err(io)?;
    count.writer.flush().map_err(io)?;
    Ok(count.bytes)
}

struct Counted<W> {
    writer: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let n = self.writer.write(data)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(layers: &[&str]) -> Packed {
        Packed { layers: layers.iter().map(|l| (format!("sha256:{l}"), format!("{l}.tar"))).collect() }
    }

    fn stack(layers: &[&str]) -> Vec<String> {
        layers.iter().map(|l| format!("sha256:{l}")).collect()
    }

    #[test]
    fn only_layers_on_the_same_ground_are_spare() {
        let images = [image(&["a", "b", "c"])];
        assert!(spare(&images, &[]).is_empty());
        assert_eq!(spare(&images, &[stack(&["a", "b"])]), BTreeSet::from(["a.tar".to_owned(), "b.tar".to_owned()]));
        // The layer b is there, but not above a.
        assert!(spare(&images, &[stack(&["b"])]).is_empty());
    }

    #[test]
    fn a_layer_that_another_image_of_the_archive_needs_stays() {
        let images = [image(&["a", "b"]), image(&["b"])];
        assert_eq!(spare(&images, &[stack(&["a", "b"])]), BTreeSet::from(["a.tar".to_owned()]));
    }
}
