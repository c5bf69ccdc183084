//! Archives that no honest engine sends.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use proptest::prelude::*;

use super::{
    super::super::{
        Limits,
        place::Spot,
        tar::{write_end, write_header, write_padding},
    },
    *,
};

const MIB: u64 = 1 << 20;

/// An archive that is written raw: nothing here refuses what a hostile container sends.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn entry(mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Entry), data: &[u8]) -> Self {
        let mut entry = Entry::new(kind, name.as_bytes());
        entry.size = data.len() as u64;
        change(&mut entry);
        write_header(&mut self.0, &entry).unwrap();
        self.0.extend_from_slice(data);
        write_padding(&mut self.0, data.len() as u64).unwrap();
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(Kind::File, name, |_| {}, data)
    }

    fn folder(self, name: &str) -> Self {
        self.entry(Kind::Folder, name, |e| e.mode = 0o755, b"")
    }

    fn link(self, kind: Kind, name: &str, to: &str) -> Self {
        self.entry(kind, name, |e| e.link = to.into(), b"")
    }

    /// A header that adds to the next one.
    fn extra(self, letter: u8, data: &[u8]) -> Self {
        self.entry(Kind::Other(letter), "extra", |_| {}, data)
    }

    fn end(mut self) -> Vec<u8> {
        write_end(&mut self.0).unwrap();
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..rest + 8).find(|l| *l == rest + l.to_string().len()).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A target in a folder of its own, beside which nothing may appear.
struct Lab {
    _dir: tempfile::TempDir,
    outside: PathBuf,
    target: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (outside, target) = (dir.path().join("outside"), dir.path().join("target"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "as it was").unwrap();
        std::fs::create_dir(&target).unwrap();
        Self { _dir: dir, outside, target }
    }

    fn plan(&self) -> Plan {
        let spot = Spot { folder: self.target.to_str().unwrap().into(), name: None };
        Plan { spot, base: None, keep_owner: false, limits: Limits { bytes: 64 * MIB, entries: 10_000 } }
    }

    fn unpack(&self, data: &[u8]) -> Result<()> {
        unpack(data, &self.plan())
    }

    /// Nothing but the target and what was outside before is there.
    fn check(&self) {
        let names = |p: &Path| {
            let mut all: Vec<_> = std::fs::read_dir(p).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            all.sort();
            all
        };
        assert_eq!(names(self.target.parent().unwrap()), ["outside", "target"]);
        assert_eq!(names(&self.outside), ["kept"]);
        let kept = self.outside.join("kept");
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "as it was");
        let meta = std::fs::metadata(&kept).unwrap();
        assert_eq!((meta.nlink(), meta.mode() & 0o7777), (1, 0o644 & !umask()));
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.target.join(name)).unwrap()
    }

    fn refuses(&self, data: &[u8], kind: ErrorKind) {
        let got = self.unpack(data).map_err(|e| e.kind());
        assert_eq!(got, Err(kind), "{}", String::from_utf8_lossy(data.get(..100).unwrap_or_default()));
        self.check();
    }
}

fn umask() -> u32 {
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("x");
    std::fs::write(&path, "").unwrap();
    0o666 & !std::fs::metadata(path).unwrap().mode()
}

#[test]
fn a_tree_comes_as_it_was() {
    let lab = Lab::new();
    let times = |e: &mut Entry| (e.mode, e.mtime, e.nanos) = (0o4750, 1_000_000_000, 0);
    let data = Archive::default()
        .folder("./")
        .entry(Kind::Folder, "d/", |e| (e.mode, e.mtime) = (0o555, 1_100_000_000), b"")
        .entry(Kind::File, "d/f", times, b"hello")
        .link(Kind::Symlink, "d/l", "f")
        .link(Kind::HardLink, "h", "d/f")
        .link(Kind::Symlink, "from-root", "/etc/passwd")
        .entry(Kind::Fifo, "pipe", |e| e.mode = 0o622, b"")
        .file("implied/deep/x", b"y")
        .end();
    lab.unpack(&data).unwrap();
    lab.check();
    assert_eq!((lab.read("d/f"), lab.read("implied/deep/x")), ("hello".into(), "y".into()));
    let meta = |name: &str| std::fs::symlink_metadata(lab.target.join(name)).unwrap();
    assert_eq!((meta("d/f").mode() & 0o7777, meta("d/f").mtime(), meta("d/f").nlink()), (0o4750, 1_000_000_000, 2));
    assert_eq!((meta("d").mode() & 0o7777, meta("d").mtime()), (0o555, 1_100_000_000));
    assert_eq!(meta("pipe").mode() & 0o170_777, 0o010_622);
    assert_eq!(std::fs::read_link(lab.target.join("from-root")).unwrap(), Path::new("/etc/passwd"));
    std::fs::set_permissions(lab.target.join("d"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../evil", "a/../../evil", "a/b/../../../evil", "..", "./../evil", "a/.."] {
        Lab::new().refuses(&Archive::default().file(name, b"x").end(), ErrorKind::InvalidInput);
        Lab::new().refuses(&Archive::default().extra(b'L', &[name.as_bytes(), b"\0"].concat()).file("fine", b"x").end(), ErrorKind::InvalidInput);
        Lab::new().refuses(&Archive::default().extra(b'x', &record("path", name.as_bytes())).file("fine", b"x").end(), ErrorKind::InvalidInput);
    }
    // Where a folder was asked for by name, a name from the root is none of it; the root's own are.
    let lab = Lab::new();
    let plan = Plan { base: Some(b"d".to_vec()), ..lab.plan() };
    for name in ["/evil", "/d/evil", "other/evil", "dd/evil", "evil"] {
        let data = Archive::default().file(name, b"x").end();
        assert_eq!(unpack(&data[..], &plan).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    lab.check();
    let plan = Plan { base: Some(Vec::new()), ..lab.plan() };
    unpack(&Archive::default().folder("/").file("/etc/x", b"inside").end()[..], &plan).unwrap();
    assert_eq!(lab.read("etc/x"), "inside");
    lab.check();
}

#[test]
fn links_are_never_followed() {
    let lab = Lab::new();
    let outside = lab.outside.to_str().unwrap();
    let kept = format!("{outside}/kept");
    let cases = [
        // Through a link to a folder outside, by way of a file, a folder, a link and one more link.
        Archive::default().link(Kind::Symlink, "l", outside).file("l/evil", b"x"),
        Archive::default().link(Kind::Symlink, "l", outside).folder("l/evil"),
        Archive::default().link(Kind::Symlink, "l", outside).link(Kind::Symlink, "l/evil", "x"),
        Archive::default().link(Kind::Symlink, "l", outside).link(Kind::HardLink, "l/evil", "l"),
        Archive::default().link(Kind::Symlink, "l", outside).link(Kind::HardLink, "stolen", "l/kept"),
        Archive::default().link(Kind::Symlink, "a", "b").link(Kind::Symlink, "b", outside).file("a/evil", b"x"),
        Archive::default().folder("d").link(Kind::Symlink, "d/up", "..").file("d/up/d/up/evil", b"x"),
        // Links that lead out by their text.
        Archive::default().link(Kind::Symlink, "l", "../outside"),
        Archive::default().folder("d").link(Kind::Symlink, "d/l", "../../outside/kept"),
        Archive::default().extra(b'K', b"../outside\0").link(Kind::Symlink, "l", "fine"),
        Archive::default().extra(b'x', &record("linkpath", b"../outside")).link(Kind::Symlink, "l", "fine"),
        Archive::default().link(Kind::HardLink, "l", "../outside/kept"),
        Archive::default().extra(b'x', &record("linkpath", b"../outside/kept")).link(Kind::HardLink, "l", "fine"),
        // A link that is inside where it is, and would lead out from where a hard link puts it.
        Archive::default().folder("a").link(Kind::Symlink, "a/l", "../x").link(Kind::HardLink, "l", "a/l"),
        Archive::default().link(Kind::Symlink, "l", "a\0b"),
        Archive::default().link(Kind::Symlink, "l", ""),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let inner = Lab { _dir: tempfile::tempdir().unwrap(), outside: lab.outside.clone(), target: lab.target.join(n.to_string()) };
        std::fs::create_dir(&inner.target).unwrap();
        let empty = n == 14; // The header's own link ends at its zero byte.
        let kind = inner.unpack(&case.end()).map_err(|e| e.kind());
        assert!(if empty { kind.is_ok() } else { kind == Err(ErrorKind::InvalidInput) }, "case {n}: {kind:?}");
        lab.check();
    }
    // What takes a link's place is new: the link's target stays as it is.
    for make in [Archive::file as fn(Archive, &str, &[u8]) -> Archive, |a, n, _| a.entry(Kind::Fifo, n, |e| e.mode = 0o777, b"")] {
        let data = make(Archive::default().link(Kind::Symlink, "l", &kept), "l", b"x").end();
        lab.unpack(&data).unwrap();
        assert!(!std::fs::symlink_metadata(lab.target.join("l")).unwrap().is_symlink());
        lab.check();
    }
    // And one that was there before.
    symlink(&lab.outside, lab.target.join("before")).unwrap();
    lab.refuses(&Archive::default().file("before/evil", b"x").end(), ErrorKind::InvalidInput);
    lab.refuses(&Archive::default().folder("before").file("before/evil", b"x").end(), ErrorKind::Conflict);
    // A hard link to a link is one more link, and neither is written through.
    lab.unpack(&Archive::default().link(Kind::Symlink, "s", &kept).link(Kind::HardLink, "t", "s").file("t", b"new").end()).unwrap();
    assert_eq!(lab.read("t"), "new");
    lab.check();
}

#[test]
fn a_folder_is_not_replaced_in_the_middle() {
    let lab = Lab::new();
    let outside = lab.outside.to_str().unwrap();
    for kind in [Kind::Symlink, Kind::HardLink, Kind::File, Kind::Fifo] {
        let data = Archive::default().folder("d").file("d/x", b"1").entry(kind, "d", |e| e.link = outside.into(), b"").file("d/evil", b"2").end();
        lab.refuses(&data, ErrorKind::Conflict);
    }
    lab.refuses(&Archive::default().file("f", b"1").folder("f").end(), ErrorKind::Conflict);
    lab.refuses(&Archive::default().file("f", b"1").file("f/x", b"2").end(), ErrorKind::InvalidInput);
}

#[test]
fn special_files_and_unknown_ones_are_refused() {
    for kind in [Kind::CharDevice, Kind::BlockDevice, Kind::Other(b'S'), Kind::Other(b'V'), Kind::Other(b's'), Kind::Other(b'Z')] {
        let data = Archive::default().entry(kind, "special", |e| e.device = (1, 3), b"").end();
        Lab::new().refuses(&data, ErrorKind::InvalidInput);
    }
    let sparse = [record("GNU.sparse.major", b"1"), record("GNU.sparse.minor", b"0"), record("GNU.sparse.name", b"../evil")].concat();
    Lab::new().refuses(&Archive::default().extra(b'x', &sparse).file("fine", b"0\n").end(), ErrorKind::InvalidInput);
}

#[test]
fn names_that_no_system_takes_are_refused() {
    let deep = "d/".repeat(1500);
    for name in ["n".repeat(256), format!("a/{}", "n".repeat(256)), format!("{deep}x"), "n/".repeat(3000), "a\0b".to_owned()] {
        let data = Archive::default().extra(b'x', &record("path", name.as_bytes())).file("fine", b"x").end();
        Lab::new().refuses(&data, ErrorKind::InvalidInput);
    }
    // Longest names are fine, in each form.
    let lab = Lab::new();
    let (long, other) = (format!("d/{}", "n".repeat(255)), "m".repeat(200));
    lab.unpack(&Archive::default().file(&long, b"1").extra(b'L', &[other.as_bytes(), b"\0"].concat()).file("short", b"2").end()).unwrap();
    assert_eq!((lab.read(&long), lab.read(&other)), ("1".into(), "2".into()));
    // Names that are no text are names.
    let lab = Lab::new();
    lab.unpack(&Archive::default().entry(Kind::File, "", |e| e.name = b"\xff\xfe".to_vec(), b"x").end()).unwrap();
    assert_eq!(std::fs::read(lab.target.join(to_path(b"\xff\xfe"))).unwrap(), b"x");
}

#[test]
fn the_last_of_one_name_stays() {
    let lab = Lab::new();
    let data = Archive::default().file("f", b"first, and longer").file("f", b"last").folder("d").file("d/x", b"").folder("d").end();
    lab.unpack(&data).unwrap();
    assert_eq!(lab.read("f"), "last");
    assert!(lab.target.join("d/x").exists());
}

#[test]
fn names_that_differ_in_case_stay_inside() {
    let lab = Lab::new();
    let outside = lab.outside.to_str().unwrap();
    // Where case counts, these are two; where it does not, the second goes through a link and is refused.
    let done = lab.unpack(&Archive::default().link(Kind::Symlink, "dir", outside).file("DIR/x", b"1").end());
    assert!(done.is_ok() || done.unwrap_err().kind() == ErrorKind::InvalidInput);
    lab.check();
}

#[test]
fn an_archive_that_ends_early_is_an_error() {
    let whole = Archive::default().folder("d").file("d/a", &[b'a'; 1300]).file("d/b", b"b").end();
    let full = whole.len() - 1024;
    for cut in (0..=full).step_by(100).chain([full]) {
        let lab = Lab::new();
        lab.refuses(&whole[..cut], ErrorKind::Unreachable);
        // Half of a file is none.
        assert!(!lab.target.join("d/a").exists() || lab.read("d/a").len() == 1300, "{cut}");
    }
    Lab::new().unpack(&whole[..full + 512]).unwrap();
}

#[test]
fn sizes_that_lie_cost_nothing() {
    // More than there is, in the header, in a record and in GNU's form.
    let lie = |e: &mut Entry| e.size = 3 * MIB;
    Lab::new().refuses(&Archive::default().entry(Kind::File, "f", lie, b"x").end(), ErrorKind::Unreachable);
    let data = Archive::default().extra(b'x', &record("size", b"99999999999999999")).file("f", b"x").end();
    Lab::new().refuses(&data, ErrorKind::InvalidInput);
    for size in ["-1", "", "1e3", "0x10", "99999999999999999999999999"] {
        Lab::new().refuses(&Archive::default().extra(b'x', &record("size", size.as_bytes())).file("f", b"x").end(), ErrorKind::InvalidInput);
    }
    for letter in [b'L', b'K', b'x', b'g'] {
        let data = Archive::default().entry(Kind::Other(letter), "extra", |e| e.size = 1 << 32, b"x").end();
        Lab::new().refuses(&data, ErrorKind::InvalidInput);
    }
    for bad in [&b"5 path"[..], b"99 path=x\n", b"0 path=x\n", b"9 path=xy", b"x path=y\n", b"18446744073709551615 a=b\n", b"7 pathx\n"] {
        Lab::new().refuses(&Archive::default().extra(b'x', bad).file("f", b"x").end(), ErrorKind::InvalidInput);
    }
    let many = (0..20).fold(Archive::default(), |a, _| a.extra(b'x', &record("path", b"x")));
    Lab::new().refuses(&many.file("f", b"x").end(), ErrorKind::InvalidInput);
    // A size of what has no content is nothing: the next header follows at once.
    let lab = Lab::new();
    lab.unpack(&Archive::default().entry(Kind::Folder, "d", |e| (e.mode, e.size) = (0o755, 512), b"").file("f", b"x").end()).unwrap();
    assert_eq!(lab.read("f"), "x");
}

#[test]
fn headers_that_are_damaged_are_refused() {
    let whole = Archive::default().file("f", b"x").end();
    for at in [0, 100, 124, 148, 156, 200, 300, 511] {
        let mut data = whole.clone();
        data[at] = data[at].wrapping_add(1);
        Lab::new().refuses(&data, ErrorKind::InvalidInput);
    }
    Lab::new().refuses(&[0x1f; 2048], ErrorKind::InvalidInput);
}

#[test]
fn limits_hold() {
    let lab = Lab::new();
    let plan = Plan { limits: Limits { bytes: 100, entries: 3 }, ..lab.plan() };
    let kind = |data: Vec<u8>| unpack(&data[..], &plan).map_err(|e| (e.kind(), e.hint_text().unwrap().contains("max_")));
    assert_eq!(kind(Archive::default().file("a", &[0; 60]).file("b", &[0; 41]).end()), Err((ErrorKind::InvalidInput, true)));
    assert!(!lab.target.join("b").exists());
    assert_eq!(kind(Archive::default().file("a", &[0; 60]).file("b", &[0; 40]).end()), Ok(()));
    assert_eq!(kind((0..4).fold(Archive::default(), |a, n| a.folder(&n.to_string())).end()), Err((ErrorKind::InvalidInput, true)));
    // A great many entries take no more memory than their folders.
    let many = (0..9_999).fold(Archive::default(), |a, n| a.file(&format!("f{}", n % 10), b"")).end();
    lab.unpack(&many).unwrap();
    assert_eq!(lab.unpack(&(0..10_001).fold(Archive::default(), |a, _| a.file("x", b"")).end()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn owners_are_kept_when_asked_for() {
    let lab = Lab::new();
    let data = Archive::default().entry(Kind::File, "f", |e| (e.uid, e.gid, e.mode) = (1234, 2345, 0o6755), b"x").end();
    lab.unpack(&data).unwrap();
    let own = std::fs::metadata(&lab.target).unwrap();
    let meta = |name: &str| std::fs::symlink_metadata(lab.target.join(name)).unwrap();
    assert_eq!(meta("f").uid(), own.uid());
    let result = unpack(&data[..], &Plan { keep_owner: true, ..lab.plan() });
    if own.uid() == 0 {
        result.unwrap();
        assert_eq!((meta("f").uid(), meta("f").gid(), meta("f").mode() & 0o7777), (1234, 2345, 0o6755));
    } else {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Forbidden);
    }
}

#[test]
fn a_process_that_changes_the_target_leads_nowhere() {
    let lab = Lab::new();
    let done = AtomicBool::new(false);
    let data = (0..50)
        .fold(Archive::default(), |a, n| a.folder("d").file(&format!("d/e/{n}"), b"x").link(Kind::HardLink, &format!("d/e/h{n}"), &format!("d/e/{n}")))
        .end();
    let (d, hidden) = (lab.target.join("d"), lab.target.join("hidden"));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // A folder becomes a link to another and a folder again, as fast as it goes.
            while !done.load(Ordering::Relaxed) {
                if std::fs::rename(&d, &hidden).is_ok() {
                    symlink(&lab.outside, &d).ok();
                    std::fs::remove_file(&d).ok();
                    std::fs::rename(&hidden, &d).ok();
                }
                if d.is_symlink() {
                    std::fs::remove_file(&d).ok();
                }
            }
        });
        for _ in 0..300 {
            lab.unpack(&data).ok();
            lab.check();
        }
        done.store(true, Ordering::Relaxed);
    });
    lab.check();
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abc]", 1 => Just("..".to_owned()), 1 => Just(".".to_owned()), 1 => Just(String::new()), 1 => Just("outside".to_owned())]
}

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(part(), 1..5).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_stays_inside(entries in proptest::collection::vec((0u8..7, name(), name(), any::<bool>()), 1..12), base in any::<bool>()) {
        let lab = Lab::new();
        symlink(&lab.outside, lab.target.join("c")).unwrap();
        let data = entries.iter().fold(Archive::default(), |archive, (kind, name, link, out)| {
            let link = if *out { lab.outside.join(link).display().to_string() } else { link.clone() };
            let kind = [Kind::File, Kind::Folder, Kind::Symlink, Kind::HardLink, Kind::Symlink, Kind::Fifo, Kind::File][usize::from(*kind)];
            archive.entry(kind, name, |e| (e.link, e.mode) = (link.into(), 0o777), b"")
        }).end();
        let plan = Plan { base: base.then(|| b"a".to_vec()), ..lab.plan() };
        unpack(&data[..], &plan).ok();
        lab.check();
        // Each relative link that is there ends inside.
        let mut folders = vec![lab.target.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap()) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_symlink() {
                    let to = std::fs::read_link(entry.path()).unwrap();
                    let end = clean(format!("{}/{}", folder.display(), to.display()).as_bytes());
                    prop_assert!(to.is_absolute() || to_path(&end).starts_with(&lab.target), "{to:?}");
                }
            }
        }
    }

    #[test]
    fn no_bytes_break_the_reader(mut data in proptest::collection::vec(any::<u8>(), 0..3000), fix in any::<bool>()) {
        // With a right sum, so that more than the first check is reached.
        if fix && data.len() >= 512 {
            data[148..156].fill(b' ');
            let sum: u32 = data[..512].iter().map(|b| u32::from(*b)).sum();
            data[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let lab = Lab::new();
        lab.unpack(&data).ok();
        lab.check();
    }

    #[test]
    fn headers_come_back_as_they_were_written(
        name in "[a-z/]{1,300}", link in "[a-z/.]{0,300}", size in 0u64..1 << 40, owner in any::<u32>(), mtime in -1i64 << 35..1 << 35, mode in 0u32..0o10000,
    ) {
        let mut entry = Entry::new(Kind::Symlink, format!("x{name}x").as_bytes());
        (entry.link, entry.uid, entry.gid, entry.mtime, entry.mode) = (link.into(), owner.into(), owner.into(), mtime, mode);
        let mut data = Vec::new();
        write_header(&mut data, &entry).unwrap();
        prop_assert_eq!(Reader::new(&data[..]).next().unwrap().unwrap(), entry.clone());
        // Another program reads the same.
        let mut others = tar::Archive::new(&data[..]);
        let other = others.entries().unwrap().next().unwrap().unwrap();
        prop_assert_eq!(&*other.path_bytes(), &entry.name[..]);
        entry.kind = Kind::File;
        entry.size = size;
        let mut data = Vec::new();
        write_header(&mut data, &entry).unwrap();
        prop_assert_eq!(Reader::new(&data[..]).next().unwrap().unwrap().size, size);
    }
}
