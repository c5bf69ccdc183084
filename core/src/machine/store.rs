//! Where machines are kept: docker-machine's folder, with its layout, so that both can read it.
//!
//! A record is written beside the old one and put in its place by a rename, after its bytes and then its folder are on
//! disk. A machine's folder is locked by the kernel while a call works on it: the lock ends with its process.

use std::{fs::File, path::PathBuf, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, ErrorKind, Result},
    host::{home, make_private, try_lock, write_private},
};

/// A folder of machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
}

/// A lock on one machine; it ends when it is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

#[expect(clippy::disallowed_methods, reason = "this is where docker-machine's variable is read")]
fn usual() -> PathBuf {
    if let Some(path) = std::env::var_os("MACHINE_STORAGE_PATH").filter(|p| !p.is_empty()) {
        return path.into();
    }
    home().join(".docker").join("machine")
}

impl Store {
    /// The store at `path`, else at `MACHINE_STORAGE_PATH`, else at `~/.docker/machine`.
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self> {
        let path = path.unwrap_or_else(usual);
        std::path::absolute(&path).map(|path| Self { path }).map_err(|e| Error::file(&path, e))
    }

    /// A short text that tells this store from others.
    pub(crate) fn id(&self) -> String {
        Sha256::digest(self.path.as_os_str().as_encoded_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
    }

    /// Where the objects of a kind are, such as `machines`.
    pub(crate) fn section(&self, kind: &str) -> PathBuf {
        self.path.join(kind)
    }

    pub(crate) fn folder(&self, kind: &str, name: &str) -> PathBuf {
        self.section(kind).join(name)
    }

    /// The names of the objects of a kind, sorted.
    pub(crate) fn names(&self, kind: &str) -> Result<Vec<String>> {
        let folder = self.section(kind);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::file(&folder, e)),
        };
        let mut names: Vec<String> =
            entries.flatten().filter(|e| e.path().join("config.json").is_file()).filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// Reads a record; none when it is not there.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Result<Option<T>> {
        let path = self.folder(kind, name).join("config.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::file(&path, e)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::new(ErrorKind::Io, format!("{}: {e}", path.display()))
                .hint("mend the file, or remove the folder it is in")
                .with("path", path.display().to_string())
        })
    }

    /// Writes a record, all or nothing.
    pub(crate) fn write<T: Serialize>(&self, kind: &str, name: &str, record: &T) -> Result<()> {
        let folder = self.folder(kind, name);
        let text = serde_json::to_vec_pretty(record).map_err(|e| Error::internal(e.to_string()))?;
        write_private(&folder.join("config.json"), &text)
    }

    /// Locks the folder of an object, which is made where it is missing; waits while another call has it.
    pub(crate) async fn lock(&self, kind: &str, name: &str) -> Result<Lock> {
        let folder = self.folder(kind, name);
        loop {
            make_private(&folder)?;
            match try_lock(&folder) {
                Ok(Some(file)) => return Ok(Lock { _file: file }),
                Ok(None) => tokio::time::sleep(Duration::from_millis(50)).await,
                // It was removed meanwhile.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::file(&folder, e)),
            }
        }
    }

    /// Runs `work` while no other call of this store runs one under the same name.
    pub(crate) async fn one_at_a_time<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let _lock = self.lock("locks", name).await?;
        let result = work.await;
        self.remove("locks", name)?;
        result
    }

    /// Removes an object's folder, and the folders above it that are then empty.
    pub(crate) fn remove(&self, kind: &str, name: &str) -> Result<()> {
        let folder = self.folder(kind, name);
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(&folder, e)),
            _ => {}
        }
        // Others may be in them; then they stay.
        std::fs::remove_dir(self.section(kind)).and_then(|()| std::fs::remove_dir(&self.path)).ok();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path().join("machine"))).unwrap();
        (folder, store)
    }

    #[test]
    fn a_record_is_private_and_goes_with_its_folders() {
        let (_folder, store) = store();
        store.write("machines", "a", &serde_json::json!({"x": 1})).unwrap();
        let file = store.folder("machines", "a").join("config.json");
        assert!(!crate::host::may_be_read_by_others(&file.metadata().unwrap()));
        assert_eq!(store.names("machines").unwrap(), ["a"]);
        assert_eq!(store.read::<serde_json::Value>("machines", "a").unwrap().unwrap()["x"], 1);
        store.remove("machines", "a").unwrap();
        assert!(!store.path.exists());
    }

    #[test]
    fn a_record_cut_short_is_an_error_that_names_the_file() {
        let (_folder, store) = store();
        store.write("machines", "a", &1).unwrap();
        std::fs::write(store.folder("machines", "a").join("config.json"), "{").unwrap();
        let e = store.read::<serde_json::Value>("machines", "a").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.message().contains("config.json"));
    }

    #[tokio::test]
    async fn a_lock_is_waited_for() {
        let (_folder, store) = store();
        let first = store.lock("machines", "a").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(120), store.lock("machines", "a")).await;
        assert!(waiting.is_err());
        drop(first);
        store.lock("machines", "a").await.unwrap();
    }
}
