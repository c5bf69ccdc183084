//! A program and the libraries that it needs, found by reading its ELF headers: nothing is run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use goblin::elf::Elf;

use crate::error::{Error, Result};

/// Where the dynamic linker looks besides what it is told.
const USUAL: [&str; 6] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib", "/usr/local/lib64"];

/// Files that a set of programs needs: the path they are needed at, and the file to take.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    folders: Vec<PathBuf>,
    /// By the path inside of the image.
    pub(crate) files: BTreeMap<PathBuf, PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Closure {
    pub(crate) fn new() -> Self {
        let mut folders = configured(Path::new("/etc/ld.so.conf"), 0);
        folders.extend(USUAL.map(PathBuf::from));
        Self { folders, ..Self::default() }
    }

    /// Adds what `program` needs to run; the program itself is the caller's.
    pub(crate) fn add(&mut self, program: &Path) -> Result<()> {
        let data = std::fs::read(program).map_err(|e| Error::file(program, e))?;
        let Ok(elf) = Elf::parse(&data) else {
            return Ok(());
        };
        if let Some(interpreter) = elf.interpreter {
            self.take(Path::new(interpreter))?;
        }
        let own: Vec<PathBuf> = elf
            .runpaths
            .iter()
            .chain(&elf.rpaths)
            .flat_map(|p| p.split(':'))
            .map(|p| PathBuf::from(p.replace("$ORIGIN", &program.parent().unwrap_or(Path::new("/")).display().to_string())))
            .collect();
        for library in &elf.libraries {
            let found = own.iter().chain(&self.folders).map(|f| f.join(library)).find(|p| fits(p, &elf));
            let Some(found) = found else {
                return Err(Error::not_found(format!("{} needs {library}, which is not on this host", program.display())).hint("give the driver an image"));
            };
            self.take(&found)?;
        }
        Ok(())
    }

    fn take(&mut self, file: &Path) -> Result<()> {
        if !self.seen.insert(file.to_owned()) {
            return Ok(());
        }
        let real = std::fs::canonicalize(file).map_err(|e| Error::file(file, e))?;
        // Where /lib is a link to /usr/lib, both names are the same place in the image too.
        let folder = file.parent().and_then(|p| std::fs::canonicalize(p).ok()).unwrap_or_default();
        let place = folder.join(file.file_name().unwrap_or_default());
        self.files.insert(place, real.clone());
        self.add(&real)
    }
}

/// Whether a library is there, and of the same kind of machine.
fn fits(path: &Path, program: &Elf<'_>) -> bool {
    let Ok(data) = std::fs::read(path) else { return false };
    Elf::parse(&data).is_ok_and(|e| e.header.e_machine == program.header.e_machine && e.is_64 == program.is_64)
}

/// The folders that ld.so.conf names, those of the files that it includes too.
fn configured(file: &Path, depth: usize) -> Vec<PathBuf> {
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let Some(pattern) = line.strip_prefix("include ").map(str::trim) else {
            out.push(PathBuf::from(line));
            continue;
        };
        let folder = Path::new(pattern).parent().unwrap_or(Path::new("/etc/ld.so.conf.d"));
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "conf")).collect();
        files.sort();
        if depth < 4 {
            out.extend(files.iter().flat_map(|f| configured(f, depth + 1)));
        }
    }
    out
}
