//! Tar as engines write and read it: a reader whose memory is bounded whatever comes, and a writer of headers.
//!
//! The reader knows ustar, PAX and GNU's long names. It takes nothing on trust: a length that lies costs no memory, and an
//! archive without its end is an error, so that a copy is never short without a word.

use std::io::{Read, Write};

use crate::error::{Error, ErrorKind, Result};

/// The size of a block.
pub(super) const BLOCK: usize = 512;
/// How long the long name or the PAX records of one entry may be. No system takes longer names.
const LONGEST: u64 = 1 << 20;
/// How many headers may stand before an entry that only add to it.
const EXTRA: usize = 8;
/// How much may follow the end of an archive before the rest is left unread.
const PADDING: u64 = 1 << 20;
/// The extended attribute that holds the capabilities of a program.
const CAPABILITIES: &str = "SCHILY.xattr.security.capability";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Folder,
    Fifo,
    /// Something else, by its letter.
    Other(u8),
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Folder => b'5',
            Self::Fifo => b'6',
            Self::Other(letter) => letter,
        }
    }

    /// A file whose name ends with a slash was how the oldest archives wrote a folder.
    fn read(letter: u8, name: &[u8]) -> Self {
        match letter {
            b'0' | 0 | b'7' if name.ends_with(b"/") => Self::Folder,
            b'0' | 0 | b'7' => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' => Self::CharDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Folder,
            b'6' => Self::Fifo,
            other => Self::Other(other),
        }
    }
}

/// One entry without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Unix seconds.
    pub(super) mtime: i64,
    pub(super) nanos: u32,
    /// Major and minor number of a device.
    pub(super) device: (u64, u64),
    /// The capabilities of a program, as Linux keeps them.
    pub(super) capabilities: Option<Vec<u8>>,
}

impl Entry {
    pub(super) fn new(kind: Kind, name: &[u8]) -> Self {
        Self { name: name.to_vec(), link: Vec::new(), kind, size: 0, mode: 0o644, uid: 0, gid: 0, mtime: 0, nanos: 0, device: (0, 0), capabilities: None }
    }
}

fn broken(what: &str) -> Error {
    Error::invalid(format!("the archive cannot be read: {what}"))
}

/// An error that came through a reader: this crate's own where there is one inside.
pub(super) fn read_error(e: std::io::Error) -> Error {
    let text = e.to_string();
    match e.into_inner().map(|inner| inner.downcast::<Error>()) {
        Some(Ok(own)) => *own,
        _ => Error::new(ErrorKind::Io, text),
    }
}

/// Reads entries, one after the other.
pub(super) struct Reader<R> {
    inner: R,
    /// What is left of the entry's content.
    left: u64,
    /// What fills the entry's last block.
    fill: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, left: 0, fill: 0 }
    }

    /// The next entry; none at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        self.skip()?;
        let mut records = Records::default();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..EXTRA {
            let Some(block) = self.block()? else { return Ok(None) };
            let header = Header(&block);
            header.check()?;
            let size = header.size()?;
            match header.at(156) {
                b'L' => long_name = Some(until_nul(&self.whole(size)?)),
                b'K' => long_link = Some(until_nul(&self.whole(size)?)),
                b'x' => records = Records::parse(&self.whole(size)?)?,
                // What it says of all entries is no more than a comment in the archives of engines, which leave it unheeded too.
                b'g' => drop(self.whole(size)?),
                letter => {
                    let name = records.path.take().or(long_name).unwrap_or_else(|| header.name());
                    let kind = Kind::read(letter, &name);
                    let size = if matches!(kind, Kind::File | Kind::Other(_)) { records.size.unwrap_or(size) } else { 0 };
                    if records.sparse {
                        return Err(broken("it holds a sparse file").hint("make the archive without sparse files"));
                    }
                    (self.left, self.fill) = (size, padding(size));
                    let (mtime, nanos) = match records.mtime {
                        Some(time) => time,
                        None => (header.number(136, 12)?, 0),
                    };
                    let device = |at: usize| header.number(at, 8).unwrap_or_default().unsigned_abs();
                    return Ok(Some(Entry {
                        kind,
                        name,
                        link: records.link.take().or(long_link).unwrap_or_else(|| until_nul(header.field(157, 100))),
                        size,
                        mode: u32::try_from(header.number(100, 8)? & 0o7777).unwrap_or_default(),
                        uid: records.uid.unwrap_or(header.number(108, 8)?.unsigned_abs()),
                        gid: records.gid.unwrap_or(header.number(116, 8)?.unsigned_abs()),
                        mtime,
                        nanos,
                        device: (device(329), device(337)),
                        capabilities: records.capabilities.take(),
                    }));
                }
            }
        }
        Err(broken("an entry has too many headers"))
    }

    /// Reads from the content of the entry; 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.part(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(ended());
        }
        self.left -= count as u64;
        Ok(count)
    }

    /// Reads what may follow the end of the archive, so that the connection under it can be used again.
    pub(super) fn finish(&mut self) -> Result<()> {
        let mut buffer = [0u8; 8192];
        let mut seen = 0;
        while seen < PADDING {
            match self.part(&mut buffer)? {
                0 => break,
                count => seen += count as u64,
            }
        }
        Ok(())
    }

    fn part(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => return other.map_err(read_error),
            }
        }
    }

    /// Leaves the rest of the entry out.
    fn skip(&mut self) -> Result<()> {
        let mut buffer = [0u8; 8192];
        let mut rest = self.left.saturating_add(self.fill);
        while rest > 0 {
            let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            match self.part(buffer.get_mut(..most).unwrap_or_default())? {
                0 => return Err(ended()),
                count => rest -= count as u64,
            }
        }
        (self.left, self.fill) = (0, 0);
        Ok(())
    }

    /// The next block that is a header; none at the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0u8; BLOCK];
        self.exactly(&mut block)?;
        Ok(if block.iter().all(|b| *b == 0) { None } else { Some(block) })
    }

    fn exactly(&mut self, mut rest: &mut [u8]) -> Result<()> {
        while !rest.is_empty() {
            match self.part(rest)? {
                0 => return Err(ended()),
                count => rest = rest.get_mut(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// The whole content of a header that adds to the next one.
    fn whole(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LONGEST {
            return Err(broken("a name is too long"));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or_default()];
        self.exactly(&mut data)?;
        (self.left, self.fill) = (0, padding(size));
        self.skip()?;
        Ok(data)
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Unreachable, "the archive ended in the middle").hint("the same call can be made again")
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

/// Whether a block can be the first of an uncompressed tar.
pub(super) fn begins_tar(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|b| *b == 0) || Header(block).check().is_ok()
}

struct Header<'a>(&'a [u8; BLOCK]);

impl Header<'_> {
    fn field(&self, at: usize, length: usize) -> &[u8] {
        self.0.get(at..at + length).unwrap_or_default()
    }

    fn at(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// The sum of the bytes, in which those of the sum count as spaces. Some old programs took them as signed.
    fn check(&self) -> Result<()> {
        let value = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *byte };
        let plain: i64 = self.0.iter().enumerate().map(|p| i64::from(value(p))).sum();
        let signed: i64 = self.0.iter().enumerate().map(|p| i64::from(value(p).cast_signed())).sum();
        let said = self.number(148, 8).map_err(|_| broken("this is no tar"))?;
        if said == plain || said == signed { Ok(()) } else { Err(broken("a header is damaged")) }
    }

    /// A number in octal digits, or in GNU's form for large ones.
    fn number(&self, at: usize, length: usize) -> Result<i64> {
        let field = self.field(at, length);
        let first = field.first().copied().unwrap_or_default();
        if first & 0x80 != 0 {
            let mut value: i64 = if first & 0x40 != 0 { -1 } else { 0 };
            for (n, byte) in field.iter().enumerate() {
                let byte = if n == 0 && first & 0x40 == 0 { byte & 0x7f } else { *byte };
                let shifted = value.checked_mul(256).ok_or_else(|| broken("a number is too large"))?;
                value = shifted | i64::from(byte);
            }
            return Ok(value);
        }
        let text = field.split(|b| *b == 0).next().unwrap_or_default().trim_ascii();
        text.iter().try_fold(0i64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8).map(|v| v + i64::from(digit - b'0')).ok_or_else(|| broken("a number is too large")),
            _ => Err(broken("a header holds no number where one belongs")),
        })
    }

    fn size(&self) -> Result<u64> {
        u64::try_from(self.number(124, 12)?).map_err(|_| broken("a size is negative"))
    }

    fn name(&self) -> Vec<u8> {
        let name = until_nul(self.field(0, 100));
        let prefix = if self.field(257, 6) == b"ustar\0" { until_nul(self.field(345, 155)) } else { Vec::new() };
        if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
    }
}

/// What PAX records say of the next entry.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    capabilities: Option<Vec<u8>>,
    sparse: bool,
}

impl Records {
    /// Each is `LENGTH KEY=VALUE` and a line's end; the length is that of all of it.
    fn parse(mut rest: &[u8]) -> Result<Self> {
        let wrong = || broken("a PAX record is damaged");
        let mut out = Self::default();
        while !rest.is_empty() {
            let space = rest.iter().position(|b| *b == b' ').ok_or_else(wrong)?;
            let length: usize = number(rest.get(..space).unwrap_or_default()).ok_or_else(wrong)?;
            let record = rest.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(wrong)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(wrong)?;
            let (key, value) = (record.get(..equals).unwrap_or_default(), record.get(equals + 1..).unwrap_or_default());
            match key {
                b"path" => out.path = Some(value.to_vec()).filter(|v| !v.is_empty()),
                b"linkpath" => out.link = Some(value.to_vec()).filter(|v| !v.is_empty()),
                b"size" => out.size = Some(number(value).ok_or_else(wrong)?),
                b"uid" => out.uid = Some(number(value).ok_or_else(wrong)?),
                b"gid" => out.gid = Some(number(value).ok_or_else(wrong)?),
                b"mtime" => out.mtime = Some(time(value).ok_or_else(wrong)?),
                key if key == CAPABILITIES.as_bytes() => out.capabilities = Some(value.to_vec()),
                key if key.starts_with(b"GNU.sparse.") => out.sparse = true,
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(out)
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with a fraction, as whole seconds and nanoseconds that are never negative.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
    Some(if whole.starts_with('-') && nanos > 0 { (seconds.checked_sub(1)?, 1_000_000_000 - nanos) } else { (seconds, nanos) })
}

/// Writes the header of an entry, and before it a PAX header for what it cannot hold.
pub(super) fn write_header(out: &mut impl Write, entry: &Entry) -> std::io::Result<()> {
    let mut records = Vec::new();
    let mut record = |key: &str, value: &[u8]| {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        records.extend_from_slice(format!("{length} {key}=").as_bytes());
        records.extend_from_slice(value);
        records.push(b'\n');
    };
    if entry.name.len() > 100 {
        record("path", &entry.name);
    }
    if entry.link.len() > 100 {
        record("linkpath", &entry.link);
    }
    for (key, value, most) in [("size", entry.size, 1 << 33), ("uid", entry.uid, 1 << 21), ("gid", entry.gid, 1 << 21)] {
        if value >= most {
            record(key, value.to_string().as_bytes());
        }
    }
    if !(0..1 << 33).contains(&entry.mtime) {
        record("mtime", entry.mtime.to_string().as_bytes());
    }
    if let Some(value) = &entry.capabilities {
        record(CAPABILITIES, value);
    }
    if !records.is_empty() {
        let mut extra = Entry::new(Kind::Other(b'x'), b"pax");
        extra.size = records.len() as u64;
        out.write_all(&block(&extra))?;
        out.write_all(&records)?;
        write_padding(out, extra.size)?;
    }
    out.write_all(&block(entry))
}

/// Fills the last block of a content of `size`.
pub(super) fn write_padding(out: &mut impl Write, size: u64) -> std::io::Result<()> {
    let fill = usize::try_from(padding(size)).unwrap_or_default();
    out.write_all([0u8; BLOCK].get(..fill).unwrap_or_default())
}

/// Writes the end of an archive.
pub(super) fn write_end(out: &mut impl Write) -> std::io::Result<()> {
    out.write_all(&[0; BLOCK * 2])
}

fn block(entry: &Entry) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, value: &[u8], most: usize| {
        let value = value.get(..most).unwrap_or(value);
        if let Some(place) = block.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    // A number that does not fit stands in a record, and as 0 here.
    let octal = |value: u64, digits: usize| {
        let text = format!("{value:0digits$o}");
        if text.len() > digits { "0".repeat(digits) } else { text }
    };
    put(0, &entry.name, 100);
    put(100, octal(u64::from(entry.mode), 7).as_bytes(), 7);
    put(108, octal(entry.uid, 7).as_bytes(), 7);
    put(116, octal(entry.gid, 7).as_bytes(), 7);
    put(124, octal(entry.size, 11).as_bytes(), 11);
    put(136, octal(u64::try_from(entry.mtime).unwrap_or_default(), 11).as_bytes(), 11);
    put(156, &[entry.kind.letter()], 1);
    put(157, &entry.link, 100);
    put(257, b"ustar\x0000", 8);
    put(329, octal(entry.device.0, 7).as_bytes(), 7);
    put(337, octal(entry.device.1, 7).as_bytes(), 7);
    put(148, b"        ", 8);
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    block
}
