//! What one project may come to, whatever its files say: a file that somebody made to do harm ends in an error, and takes
//! no more than a large honest one.

/// A value costs one, and so does each piece of a text of this length.
pub(crate) const TEXT: usize = 64;
/// So much may all files come to together, with what services extend and aliases written out; see [`EACH_SERVICE`].
pub(crate) const VALUES: usize = 300_000;
/// So much more for each service: projects of many are large, and what a service needs is known.
pub(crate) const EACH_SERVICE: usize = 40;
/// More services are refused, and so are more networks, volumes, secrets, configs or models.
pub(crate) const MOST_NAMED: usize = 15_000;
/// So many values may short forms come to when they are written out.
const WRITTEN: usize = 640_000;
/// So many variables and labels may come from files.
const FOLDED: usize = 300_000;
/// So many bytes may variables bring into texts.
const BYTES: usize = 16 << 20;
/// So many values may be gone over when files are laid over each other.
const WORK: usize = 6_000_000;

/// What is left of the limits while a project is loaded.
pub(crate) struct Left {
    written: usize,
    folded: usize,
    bytes: usize,
    work: usize,
}

impl Default for Left {
    fn default() -> Self {
        Self { written: WRITTEN, folded: FOLDED, bytes: BYTES, work: WORK }
    }
}

/// Takes from what is left; once it does not suffice, nothing does.
fn take(left: &mut usize, count: usize) -> Option<()> {
    let rest = left.checked_sub(count);
    *left = rest.unwrap_or_default();
    rest.map(drop)
}

impl Left {
    /// Takes values of a short form.
    pub(crate) fn write(&mut self, count: usize) -> Result<(), String> {
        take(&mut self.written, count).ok_or_else(|| format!("{WRITTEN} values in all at most when short forms are written out"))
    }

    /// Takes variables or labels of a file.
    pub(crate) fn fold(&mut self, count: usize) -> Result<(), String> {
        take(&mut self.folded, count).ok_or_else(|| format!("the files of variables and labels come to more than {FOLDED} entries"))
    }

    /// A file that is wrong was read all the same: there may not be many large ones.
    pub(crate) fn wrong_file(&mut self, bytes: usize) {
        let _ = take(&mut self.folded, bytes / 30);
    }

    /// Whether another file of variables may be read.
    pub(crate) fn may_fold(&mut self) -> Result<(), String> {
        self.fold(usize::from(self.folded == 0))
    }

    /// Takes bytes that a variable brings.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<(), String> {
        take(&mut self.bytes, count).ok_or_else(|| format!("the project's variables come to more than {} MiB", BYTES >> 20))
    }

    /// Whether variables may bring nothing more.
    pub(crate) fn is_spent(&self) -> bool {
        self.bytes == 0 || self.work == 0
    }

    /// Takes the work of going over so many values.
    pub(crate) fn work(&mut self, count: usize) -> Result<(), String> {
        take(&mut self.work, count).ok_or_else(|| format!("laying the project's files over each other goes over more than {WORK} values"))
    }
}

/// Names in a row, for a message: not all of many.
pub(crate) fn row(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names {
        [first @ .., last] if names.len() > SHOWN => format!("{} -> … -> {last}", first.get(..SHOWN).unwrap_or_default().join(" -> ")),
        _ => names.join(" -> "),
    }
}
