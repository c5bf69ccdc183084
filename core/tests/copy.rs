//! Copies in and out of containers, beside `docker cp`, on each engine of the lab.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::{
    collections::BTreeMap,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
    process::Command,
};

use bytes::Bytes;
use dockerkit::{Engine, ErrorKind, engine::Container, units::Data};
use lab::variable;

on_each_engine! {
    copies_in_are_those_of_docker_cp
    copies_out_are_those_of_docker_cp
    archives_go_in_and_out_as_streams
    only_uncompressed_tars_are_sent
    what_is_at_a_path_is_told
    a_large_copy_takes_little_memory_and_stops_when_it_is_given_up
    what_goes_wrong_in_the_middle_is_told
}

/// What is in the container and on the host before each copy.
const SETUP: &str = r#"
set -e
umask 022
mkdir -p w && cd w
mkdir -p src/sub src/empty dst full/src real "with space"
echo one >src/one; echo two >src/sub/two; echo old >full/src/old; echo f >file; echo t >target; echo g >"with space/g"
chmod 750 src/sub; chmod 4755 src/one; chmod 600 file
ln -s one src/link; ln -s ../file src/up; ln -s /etc/hostname src/abs; ln -s nowhere broken; ln -s file to-file; ln -s real to-real; ln -s src to-src
ln -s target to-target; ln -s absent to-absent; ln -s to-src to-to-src; ln -s loop loop
ln src/one src/hard; ln src/sub/two src/hard2
mkfifo src/pipe
touch -d '2020-01-02 03:04:05' src/one src/sub file
mkdir out; echo in >out/src
chown 1234:2345 src/sub/two file || true
"#;

/// What is copied where, from and to the folder that holds all of it, and with which options of `docker cp`.
const CASES: [(&str, &str, &str); 52] = [
    ("file", "dst", ""),
    ("file", "dst/", ""),
    ("file", "dst/.", ""),
    ("file", "new", ""),
    ("file", "new/", ""),
    ("file", "new/.", ""),
    ("file", "target", ""),
    ("file", "target/", ""),
    ("file", "none/new", ""),
    ("file", "target/new", ""),
    ("file", "to-target", ""),
    ("file", "to-absent", ""),
    ("file", "to-real", ""),
    ("file", "to-real/", ""),
    ("file", "to-real/new", ""),
    ("file", "full", ""),
    ("file", "with space/x y", ""),
    ("file", "loop", ""),
    ("file", "full/src", ""),
    ("file/", "dst", ""),
    ("file/.", "dst", ""),
    ("nothing", "dst", ""),
    ("nothing/", "dst", ""),
    ("src", "dst", ""),
    ("src", "dst/", ""),
    ("src/", "dst", ""),
    ("src/.", "dst", ""),
    ("src", "new", ""),
    ("src/", "new/", ""),
    ("src/.", "new", ""),
    ("src/.", "new/", ""),
    ("src/.", "new/.", ""),
    ("src", "new/.", ""),
    ("src", "none/new", ""),
    ("src", "target", ""),
    ("src/.", "target", ""),
    ("src", "full", ""),
    ("src", "out", ""),
    ("src", "to-real", ""),
    ("src", "to-absent", ""),
    ("src", "dst/../real", ""),
    ("src/one", "dst", ""),
    ("with space", "dst", ""),
    ("broken", "dst", ""),
    ("to-file", "dst", ""),
    ("to-file", "new", ""),
    ("to-file", "dst", "-L"),
    ("to-src", "dst", ""),
    ("to-src/", "dst", ""),
    ("to-to-src", "new", "-L"),
    ("to-src/.", "dst", "-L"),
    ("broken", "dst", "-L"),
];

/// A tree as text: a line for each file.
fn tree(folder: &Path, owners: bool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&at).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let what = if kind.is_dir() {
                folders.push(path.clone());
                "folder".to_owned()
            } else if kind.is_symlink() {
                format!("link {}", std::fs::read_link(&path).unwrap().display())
            } else if kind.is_fifo() {
                "pipe".to_owned()
            } else {
                let data = std::fs::read(&path).unwrap();
                format!("file {}", String::from_utf8_lossy(&data[..data.len().min(99)]))
            };
            // Which names are one file counts, not its number; and times only where a copy sets them.
            let same = if meta.nlink() > 1 && !kind.is_dir() { inodes.entry(meta.ino()).or_insert_with(|| name.clone()).clone() } else { String::new() };
            let old = if meta.mtime() < 1_700_000_000 && !kind.is_symlink() { meta.mtime() } else { 0 };
            let owner = if owners { format!("{}:{}", meta.uid(), meta.gid()) } else { String::new() };
            let mode = if kind.is_symlink() { 0 } else { meta.mode() & 0o7777 };
            all.insert(name, format!("{what:?} {mode:o} {owner} {old} {same}"));
        }
    }
    all
}

fn shell(folder: &Path, script: &str) {
    let done = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs `docker cp`.
fn docker_cp(engine: &Engine, options: &str, from: &str, to: &str) -> Result<(), String> {
    let mut command = Command::new("docker");
    command.arg("-H").arg(engine.endpoint().to_string()).arg("cp").args(options.split_whitespace()).arg(from).arg(to);
    let done = command.output().unwrap();
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

async fn sleeper(engine: &Engine, image: &str, name: &str) -> Container {
    engine.containers().run(image, ["sleep", "600"]).name(name).await.unwrap()
}

/// The folder `/w` of a container, as `tar` of the container itself sees it.
async fn tree_of(container: &Container) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let done = container.exec(["tar", "-C", "/", "-cf", "-", "w"]).await.unwrap();
    assert_eq!(done.exit_code, 0, "{}", done.stderr.text());
    let mut archive = tar::Archive::new(&done.stdout[..]);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_unpack_xattrs(false);
    archive.unpack(folder.path()).unwrap();
    tree(&folder.path().join("w"), true)
}

async fn set_up(container: &Container) {
    let done = container.exec(["sh", "-c", &format!("cd / && rm -rf w && {SETUP}")]).await.unwrap();
    assert_eq!(done.exit_code, 0, "{}", done.stderr.text());
}

async fn copies_in_are_those_of_docker_cp(engine: Engine, image: String, name: String) {
    let host = tempfile::tempdir().unwrap();
    shell(host.path(), SETUP);
    let (theirs, ours) = (sleeper(&engine, &image, &format!("{name}-t")).await, sleeper(&engine, &image, &format!("{name}-o")).await);
    let mut wrong = Vec::new();
    for (from, to, options) in CASES {
        set_up(&theirs).await;
        set_up(&ours).await;
        let source = format!("{}/w/{from}", host.path().display());
        let their = docker_cp(&engine, options, &source, &format!("{}:/w/{to}", theirs.name()));
        let our = ours.copy_to(&*source, format!("/w/{to}")).follow_link(options == "-L").await;
        let (their_tree, our_tree) = (tree_of(&theirs).await, tree_of(&ours).await);
        if their.is_ok() != our.is_ok() || (their.is_ok() && their_tree != our_tree) {
            wrong.push(format!("{from} → {to} {options}: {their:?} {our:?}\n{}", difference(&their_tree, &our_tree)));
        }
    }
    theirs.remove().force(true).await.unwrap();
    ours.remove().force(true).await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn copies_out_are_those_of_docker_cp(engine: Engine, image: String, name: String) {
    let container = sleeper(&engine, &image, &name).await;
    set_up(&container).await;
    let mut wrong = Vec::new();
    for (from, to, options) in CASES {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        shell(theirs.path(), SETUP);
        shell(ours.path(), SETUP);
        let their = docker_cp(&engine, options, &format!("{name}:/w/{from}"), &format!("{}/w/{to}", theirs.path().display()));
        let our = container.copy_from(format!("/w/{from}"), format!("{}/w/{to}", ours.path().display())).follow_link(options == "-L").await;
        let (their_tree, our_tree) = (tree(theirs.path(), true), tree(ours.path(), true));
        if their.is_ok() != our.is_ok() || (their.is_ok() && their_tree != our_tree) {
            wrong.push(format!("{from} → {to} {options}: {their:?} {our:?}\n{}", difference(&their_tree, &our_tree)));
        }
    }
    container.remove().force(true).await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(theirs: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> String {
    let lines = |sign: &str, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        a.iter().filter(|(k, v)| b.get(*k) != Some(v)).map(|(k, v)| format!("  {sign} {k}: {v}\n")).collect::<String>()
    };
    lines("docker", theirs, ours) + &lines("ours  ", ours, theirs)
}

/// An archive with one file, written by another library.
fn one_file(name: &str, data: &[u8], owner: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o640);
    header.set_uid(owner);
    header.set_gid(owner);
    tar.append_data(&mut header, name, data).unwrap();
    tar.into_inner().unwrap()
}

async fn says(container: &Container, script: &str) -> String {
    let done = container.exec(["sh", "-c", script]).user("0").await.unwrap();
    assert_eq!(done.exit_code, 0, "{}", done.stderr.text());
    done.stdout.text().trim().to_owned()
}

async fn archives_go_in_and_out_as_streams(engine: Engine, image: String, name: String) {
    let (from, to) =
        (sleeper(&engine, &image, &name).await, engine.containers().run(&*image, ["sleep", "600"]).name(format!("{name}-to")).user("1").await.unwrap());
    says(&from, "mkdir -p /d/e && echo kept >/d/e/f && chown -R 7:8 /d").await;
    // From one container into another, as `docker cp a:/d - | docker cp - b:/tmp` goes.
    to.put_archive_stream("/tmp", from.get_archive("/d").await.unwrap()).await.unwrap();
    assert_eq!(says(&to, "cat /tmp/d/e/f; stat -c %u:%g /tmp/d/e/f").await, "kept\n7:8");
    // In small parts too.
    let parts: Vec<_> = one_file("small", b"parts", 5).into_iter().map(|b| Ok(Data(Bytes::copy_from_slice(&[b])))).collect();
    to.put_archive_stream("/tmp", futures_util::stream::iter(parts)).await.unwrap();
    assert_eq!(says(&to, "cat /tmp/small; stat -c ' %u:%g' /tmp/small").await, "parts 5:5");
    // The owner that is kept is the container's own user, as with `docker cp --archive`.
    to.put_archive("/tmp").data(Data::from(one_file("mine", b"x", 5))).keep_owner(true).await.unwrap();
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("ours"), "x").unwrap();
    std::fs::write(host.path().join("theirs"), "x").unwrap();
    to.copy_to(host.path().join("ours"), "/tmp").archive(true).await.unwrap();
    docker_cp(&engine, "-a", host.path().join("theirs").to_str().unwrap(), &format!("{name}-to:/tmp")).unwrap();
    let owners = says(&to, "stat -c %u:%g /tmp/theirs /tmp/ours /tmp/mine").await;
    let each: Vec<_> = owners.lines().collect();
    assert!(each[0].starts_with("1:") && each[1..] == [each[0]; 2], "{owners}");
    // And out, the numbers of the container where they are asked for.
    from.copy_from("/d", host.path()).archive(true).await.unwrap();
    let meta = std::fs::metadata(host.path().join("d/e/f")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (7, 8));
    // A stream that breaks is its own error, and so is one whose target is none.
    let broken = futures_util::stream::iter([
        Ok(Data(Bytes::from(one_file("x", &[0; 4000], 0)[..1024].to_vec()))),
        Err(dockerkit::Error::new(ErrorKind::Timeout, "it broke")),
    ]);
    let e = to.put_archive_stream("/tmp", broken).await.unwrap_err();
    assert_eq!((e.kind(), e.message()), (ErrorKind::Timeout, "it broke"));
    let e = to.put_archive("/nothing/here").data(Data::from(one_file("x", b"x", 0))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    let e = to.put_archive("/etc/passwd").data(Data::from(one_file("x", b"x", 0))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
    // The whole root, whose names begin with a slash.
    let root = tempfile::tempdir().unwrap();
    from.copy_from("/", root.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(root.path().join("d/e/f")).unwrap(), "kept\n");
    from.remove().force(true).await.unwrap();
    to.remove().force(true).await.unwrap();
}

async fn only_uncompressed_tars_are_sent(engine: Engine, image: String, name: String) {
    let container = sleeper(&engine, &image, &name).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain.tar"), one_file("marker", b"x", 0)).unwrap();
    shell(
        folder.path(),
        "gzip -k plain.tar; bzip2 -k plain.tar 2>/dev/null || cp plain.tar.gz plain.tar.bz2; xz -k plain.tar 2>/dev/null || cp plain.tar.gz plain.tar.xz",
    );
    for file in ["plain.tar.gz", "plain.tar.bz2", "plain.tar.xz"] {
        let path = folder.path().join(file);
        let data = std::fs::read(&path).unwrap();
        let parts: Vec<_> = data.chunks(3).map(|c| Ok(Data(Bytes::copy_from_slice(c)))).collect();
        for e in [
            container.put_archive("/tmp").file(path).await.unwrap_err(),
            container.put_archive("/tmp").data(Data::from(data)).await.unwrap_err(),
            container.put_archive_stream("/tmp", futures_util::stream::iter(parts)).await.unwrap_err(),
        ] {
            assert!(e.kind() == ErrorKind::InvalidInput && e.message().contains("compressed"), "{file}: {e}");
        }
    }
    for nonsense in [&b"hello"[..], &[b'x'; 4096], b""] {
        assert_eq!(container.put_archive("/tmp").data(Data::from(nonsense.to_vec())).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(container.put_archive("/tmp").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    container.put_archive("/tmp").file(folder.path().join("plain.tar")).await.unwrap();
    assert_eq!(says(&container, "cat /tmp/marker").await, "x");
    // A folder in the place of a file is refused where that is asked for.
    says(&container, "mkdir /tmp/taken").await;
    let e = container.put_archive("/tmp").data(Data::from(one_file("taken", b"x", 0))).no_overwrite(true).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    container.remove().force(true).await.unwrap();
}

async fn what_is_at_a_path_is_told(engine: Engine, image: String, name: String) {
    let container = sleeper(&engine, &image, &name).await;
    says(&container, "mkdir /d && echo four >/d/f && chmod 4750 /d/f && ln -s ../d/f /d/l && ln -s l /d/ll && mkfifo /d/p").await;
    let file = container.stat_path("/d/f").await.unwrap();
    assert_eq!((&*file.name, &*file.kind, file.size, file.mode, &*file.link_target), ("f", "file", 5, 0o4750, ""));
    assert!(file.modified.starts_with("20"), "{file:?}");
    let link = container.stat_path("d/ll").await.unwrap();
    assert_eq!((&*link.kind, &*link.link_target), ("link", "/d/f"));
    for (path, kind) in [("/d", "folder"), ("/", "folder"), ("/d/p", "fifo")] {
        assert_eq!(container.stat_path(path).await.unwrap().kind, kind, "{path}");
    }
    let e = container.stat_path("/d/none").await.unwrap_err();
    assert_eq!((e.kind(), e.context()["path"].as_str()), (ErrorKind::NotFound, "/d/none"));
    container.remove().force(true).await.unwrap();
    let e = container.stat_path("/d/f").await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.message().to_lowercase().contains("no such container"), "{e}");
    for e in [container.copy_to("/etc/hostname", "/").await.unwrap_err(), container.copy_from("/etc", "/tmp").await.unwrap_err()] {
        assert!(e.kind() == ErrorKind::NotFound && e.message().to_lowercase().contains("no such container"), "{e}");
    }
}

/// The memory of this process in KiB: what it holds now.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn a_large_copy_takes_little_memory_and_stops_when_it_is_given_up(engine: Engine, image: String, name: String) {
    const MIB: u64 = 1 << 20;
    let container = sleeper(&engine, &image, &name).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("large")).unwrap().set_len(200 * MIB).unwrap();
    let before = resident();
    container.copy_to(folder.path().join("large"), "/large").await.unwrap();
    container.copy_from("/large", folder.path().join("back")).await.unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("back")).unwrap().len(), 200 * MIB);
    // Other tests run beside this one: the bound is loose, and far below what is copied.
    let more = resident().saturating_sub(before);
    assert!(more < 80 << 10, "{more} KiB");
    let e = container.copy_from("/large", folder.path().join("limited")).max_bytes(100 * MIB).await.unwrap_err();
    assert!(e.kind() == ErrorKind::InvalidInput && !folder.path().join("limited").exists(), "{e}");

    // Given up in the middle: the half file goes, and nothing is written any more.
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(40), container.copy_from("/large", folder.path().join("half"))).await;
    assert!(given_up.is_err());
    for _ in 0..100 {
        if !folder.path().join("half").exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!folder.path().join("half").exists());
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(40), container.copy_to(folder.path().join("large"), "/half")).await;
    assert!(given_up.is_err());
    container.copy_to(folder.path().join("large"), "/whole").await.unwrap();
    assert_eq!(container.stat_path("/whole").await.unwrap().size, 200 * MIB);
    container.remove().force(true).await.unwrap();
}

/// Whether this process has read some of a file, and has it open.
fn is_being_read(file: &Path) -> bool {
    let mut open = std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == file));
    let begun = |fd: std::fs::DirEntry| {
        let state = std::fs::read_to_string(Path::new("/proc/self/fdinfo").join(fd.file_name())).unwrap_or_default();
        !state.is_empty() && !state.starts_with("pos:\t0\n")
    };
    open.any(begun)
}

async fn what_goes_wrong_in_the_middle_is_told(engine: Engine, image: String, name: String) {
    let container = sleeper(&engine, &image, &name).await;
    let folder = tempfile::tempdir().unwrap();
    let kind = |r: Result<(), dockerkit::Error>| r.map_err(|e| e.kind());
    // A file that grows small while it is read.
    let file = folder.path().join("shrinks");
    std::fs::File::create(&file).unwrap().set_len(300 << 20).unwrap();
    let shrink = async {
        for _ in 0..20_000 {
            if is_being_read(&file) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        std::fs::File::options().write(true).open(&file).unwrap().set_len(1000).unwrap();
    };
    let (sent, ()) = tokio::join!(container.copy_to(&*file, "/shrinks").into_future(), shrink);
    let e = sent.unwrap_err();
    assert!(e.kind() == ErrorKind::Io && e.message().contains("changed"), "{e:?}");
    // What the engine does not take: a target that cannot be written, with much to send.
    std::fs::File::create(folder.path().join("large")).unwrap().set_len(64 << 20).unwrap();
    says(&container, "mkdir -p /taken/large").await;
    let e = container.copy_to(folder.path().join("large"), "/taken").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    assert_eq!(kind(container.copy_to(folder.path().join("large"), "/none/here").await), Err(ErrorKind::NotFound));
    assert_eq!(kind(container.copy_to(folder.path().join("absent"), "/").await), Err(ErrorKind::NotFound));
    assert_eq!(kind(container.copy_to("", "/").await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(container.copy_to(folder.path(), "").await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(container.copy_from("", folder.path()).await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(container.copy_from("/etc", "/dev/null").await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(container.copy_from("/etc", folder.path().join("none/here")).await), Err(ErrorKind::NotFound));
    let sealed = engine.containers().run(&*image, ["sleep", "600"]).name(format!("{name}-sealed")).read_only(true).await.unwrap();
    let e = sealed.copy_to(folder.path().join("shrinks"), "/").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Forbidden, "{e:?}");
    sealed.remove().force(true).await.unwrap();
    // A device in the container is not made here.
    says(&container, "mkdir /devices && mknod /devices/null c 1 3").await;
    assert_eq!(container.stat_path("/devices/null").await.unwrap().kind, "device");
    assert_eq!(kind(container.copy_from("/devices", folder.path()).await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(container.copy_to(folder.path().join("large"), "/devices/null").await), Err(ErrorKind::InvalidInput));
    // A program keeps its capabilities: here the one to bind low ports, as Linux keeps it. Its engine writes them into an archive.
    let program = folder.path().join("program");
    std::fs::write(&program, "x").unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if rustix::fs::setxattr(&program, "security.capability", &capability, rustix::fs::XattrFlags::empty()).is_ok() {
        container.copy_to(&*program, "/program").await.unwrap();
        let mut archive = Vec::new();
        let mut parts = container.get_archive("/program").await.unwrap();
        while let Some(part) = parts.next().await {
            archive.extend_from_slice(&part.unwrap());
        }
        assert!(archive.windows(20).any(|w| w == capability));
    } else {
        lab::skip("only root may set capabilities of programs");
    }
    // Names that are no text go both ways.
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    std::fs::write(&odd, "kept").unwrap();
    container.copy_to(&*odd, "/").await.unwrap();
    says(&container, "mkdir /odd && mv /odd-* /odd").await;
    container.copy_from("/odd", folder.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("odd").join(odd.file_name().unwrap())).unwrap(), "kept");
    // The container goes while it is read.
    says(&container, "dd if=/dev/zero of=/big bs=1M count=300 2>/dev/null").await;
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        container.remove().force(true).await
    };
    let (copied, removed) = tokio::join!(container.copy_from("/big", folder.path().join("big")).into_future(), end);
    removed.unwrap();
    match copied {
        // The engine may keep the file until it is read.
        Ok(()) => assert_eq!(std::fs::metadata(folder.path().join("big")).unwrap().len(), 300 << 20),
        Err(_) => assert!(!folder.path().join("big").exists()),
    }
}

/// An engine with one container, which answers the request for an archive with these bytes as its body, in chunks; with an end or
/// without one.
async fn hostile(folder: &Path, archive: Vec<u8>, end: bool) -> Engine {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let path = folder.join(lab::name("s"));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let archive = std::sync::Arc::new(archive);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let archive = archive.clone();
            tokio::spawn(async move {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    if head.contains("/archive") {
                        // A folder called d.
                        let stat = "eyJuYW1lIjoiZCIsInNpemUiOjQwOTYsIm1vZGUiOjIxNDc0ODQxNDEsIm10aW1lIjoiIiwibGlua1RhcmdldCI6IiJ9";
                        let start = format!("HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {stat}\r\nTransfer-Encoding: chunked\r\n\r\n");
                        stream.write_all(start.as_bytes()).await.unwrap();
                        for part in archive.chunks(700) {
                            stream.write_all(&[format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await.ok();
                        }
                        if !end {
                            return;
                        }
                        stream.write_all(b"0\r\n\r\n").await.ok();
                        continue;
                    }
                    let body = if head.contains("/json") { r#"{"Id": "c", "Name": "/c"}"# } else { "OK" };
                    let text = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            });
        }
    });
    Engine::connect(format!("unix://{}", path.display())).await.unwrap()
}

/// An archive of the folder d with a file of some length, and one entry more, whose name is written as it is.
fn folder_with(name: &str, kind: tar::EntryType, link: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let entry = |tar: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, link: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, data).unwrap();
    };
    entry(&mut tar, "d/", tar::EntryType::Directory, "", b"");
    entry(&mut tar, "d/first", tar::EntryType::Regular, "", &[b'x'; 3000]);
    entry(&mut tar, name, kind, link, b"");
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn an_engine_that_means_harm_does_none() {
    use tar::EntryType as E;
    let sockets = tempfile::tempdir().unwrap();
    let cases = [
        ("../evil", E::Regular, "", ErrorKind::InvalidInput),
        ("/evil", E::Regular, "", ErrorKind::InvalidInput),
        ("d/../../evil", E::Directory, "", ErrorKind::InvalidInput),
        ("other", E::Regular, "", ErrorKind::InvalidInput),
        ("d/link", E::Symlink, "../../../evil", ErrorKind::InvalidInput),
        ("d/link", E::Link, "d/../../evil", ErrorKind::InvalidInput),
        ("d/null", E::Char, "", ErrorKind::InvalidInput),
        ("d", E::Symlink, "/tmp", ErrorKind::Conflict),
        ("d/first/x", E::Regular, "", ErrorKind::InvalidInput),
    ];
    for (name, kind, link, wanted) in cases {
        for target in ["in", "in/new"] {
            let outside = tempfile::tempdir().unwrap();
            std::fs::create_dir(outside.path().join("in")).unwrap();
            let engine = hostile(sockets.path(), folder_with(name, kind, link), true).await;
            let e = engine.containers().get("c").await.unwrap().copy_from("/d", outside.path().join(target)).await.unwrap_err();
            assert_eq!(e.kind(), wanted, "{name}: {e}");
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "{name}");
            assert_eq!(e.context()["path"], "/d");
        }
    }
    // Cut at any place: with the connection, and with an answer that ends as if it were whole.
    let whole = folder_with("d/last", E::Regular, "");
    for cut in [0, 100, 512, 1024, 2000, 3000, 4608, whole.len() - 1024] {
        for end in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let engine = hostile(sockets.path(), whole[..cut].to_vec(), end).await;
            let e = engine.containers().get("c").await.unwrap().copy_from("/d", folder.path()).await.unwrap_err();
            assert!(e.kind() == ErrorKind::Unreachable && e.is_retryable(), "{cut} {end}: {e}");
            let first = folder.path().join("d/first");
            assert!(!first.exists() || std::fs::metadata(&first).unwrap().len() == 3000, "{cut} {end}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = hostile(sockets.path(), whole, true).await;
    let container = engine.containers().get("c").await.unwrap();
    // The connection is used again after it.
    for _ in 0..2 {
        container.copy_from("/d", folder.path()).await.unwrap();
    }
    assert!(folder.path().join("d/last").exists());
}
