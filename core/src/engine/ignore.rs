//! `.dockerignore`: which files of a folder stay out of a build's context.

use std::path::Path;

use crate::error::{Error, Result};

/// The rules of one file; the last one that matches decides.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    include: bool,
}

impl Ignore {
    /// Reads the rules: one a line, `#` begins a comment, `!` takes back.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut rules = Vec::new();
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (include, pattern) = line.strip_prefix('!').map_or((false, line), |p| (true, p.trim()));
            let text = clean(pattern);
            if text.is_empty() {
                continue;
            }
            let Some(pattern) = Pattern::parse(&text) else {
                let shown = crate::error::escape(&text);
                return Err(Error::invalid(format!(".dockerignore: `{shown}`: a `[` is not closed, or has a wrong range")).hint("mend the pattern"));
            };
            rules.push(Rule { pattern, include });
        }
        Ok(Self { rules })
    }

    /// Whether `path`, relative to the context, stays out. A rule for a folder holds for all that is in it.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        let mut out = false;
        // Folders are told apart by slashes, as in the archive.
        let text: Vec<char> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/").chars().collect();
        for rule in &self.rules {
            if rule.include == out && rule.pattern.covers(&text) {
                out = !rule.include;
            }
        }
        out
    }

    /// Whether a rule may take back something below a folder that stays out.
    pub(crate) fn may_take_back(&self) -> bool {
        self.rules.iter().any(|r| r.include)
    }
}

/// A pattern of the file. Docker's are no shell's: braces mean themselves, `**` also stands for no folder, and what is matched
/// is taken with all below it.
#[derive(Debug)]
struct Pattern(Vec<Part>);

#[derive(Debug)]
enum Part {
    One(char),
    /// `?`: one that is no slash.
    Any,
    /// `*`: as many of these as there are.
    Star,
    /// `**`: nothing, or anything up to a slash.
    Folders,
    /// `**` at the end: the rest, whatever it is.
    Rest,
    /// `[a-z]`, `[^a-z]`.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    if chars.peek().is_some() { Part::Folders } else { Part::Rest }
                }
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' => Part::One(chars.next()?),
                '[' => {
                    let not = chars.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    while ranges.is_empty() || chars.peek() != Some(&']') {
                        let from = class_char(&mut chars)?;
                        let to = if chars.next_if_eq(&'-').is_some() { class_char(&mut chars)? } else { from };
                        ranges.push((from <= to).then_some((from, to))?);
                    }
                    chars.next();
                    Part::Class { not, ranges }
                }
                c => Part::One(c),
            });
        }
        Some(Self(parts))
    }

    /// Whether it matches the path or a folder above. All ways of matching go on side by side, so no pattern takes long.
    fn covers(&self, path: &[char]) -> bool {
        let (mut at, mut inside) = (vec![false; self.0.len() + 1], vec![false; self.0.len()]);
        let (mut next, mut next_inside) = (at.clone(), inside.clone());
        self.arrive(0, &mut at);
        for (i, &c) in path.iter().enumerate() {
            if i > 0 && c == '/' && at.last() == Some(&true) {
                return true;
            }
            next.fill(false);
            next_inside.fill(false);
            let mut alive = false;
            for (n, part) in self.0.iter().enumerate() {
                let (here, within) = (at.get(n) == Some(&true), inside.get(n) == Some(&true));
                if !here && !within {
                    continue;
                }
                alive = true;
                match part {
                    Part::One(one) if *one == c => self.arrive(n + 1, &mut next),
                    Part::Any if c != '/' => self.arrive(n + 1, &mut next),
                    Part::Star if c != '/' => self.arrive(n, &mut next),
                    Part::Rest => self.arrive(n, &mut next),
                    Part::Class { not, ranges } if ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *not => self.arrive(n + 1, &mut next),
                    Part::Folders => {
                        if let Some(flag) = next_inside.get_mut(n) {
                            *flag = true;
                        }
                        if c == '/' {
                            self.arrive(n + 1, &mut next);
                        }
                    }
                    _ => {}
                }
            }
            if !alive {
                return false;
            }
            std::mem::swap(&mut at, &mut next);
            std::mem::swap(&mut inside, &mut next_inside);
        }
        at.last() == Some(&true)
    }

    /// Comes to a part, and to those after it as long as they may stand for nothing.
    fn arrive(&self, from: usize, at: &mut [bool]) {
        for n in from..at.len() {
            if let Some(flag) = at.get_mut(n) {
                *flag = true;
            }
            if !matches!(self.0.get(n), Some(Part::Star | Part::Folders | Part::Rest)) {
                return;
            }
        }
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '\\' => chars.next(),
        '-' | ']' => None,
        c => Some(c),
    }
}

/// Drops leading slashes and dots, and resolves `.` and `..`, as Go's `filepath.Clean` does.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            p => parts.push(p),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_docker_reads_them() {
        let ignore = Ignore::parse("# all logs\n*.log\n!keep.log\nnode_modules\n**/tmp\n/dist/\ndocs/*\n!docs/README.md\n").unwrap();
        let out = |p: &str| ignore.excludes(Path::new(p));
        for path in ["a.log", "node_modules", "node_modules/x/y.js", "tmp", "a/b/tmp/c", "dist/app", "docs/x.md"] {
            assert!(out(path), "{path}");
        }
        for path in ["keep.log", "a/b.log", "src/main.rs", "x/node_modules", "docs/README.md", "docs"] {
            assert!(!out(path), "{path}");
        }
    }

    #[test]
    fn patterns_are_those_of_docker() {
        let covers = |pattern: &str, path: &str| Pattern::parse(pattern).unwrap().covers(&path.chars().collect::<Vec<_>>());
        for (pattern, path) in [
            ("a/**", "a/b/c"),
            ("**", "anything/at/all"),
            ("**/*.go", "x.go"),
            ("**/*.go", "a/b/x.go"),
            ("a/**/b", "a/b"),
            ("a/**/b", "a/x/y/b"),
            ("*.{js,ts}", "x.{js,ts}"),
            ("[a-c]x", "bx"),
            ("[^a-c]x", "dx"),
            ("[\\]]", "]"),
            ("\\*", "*"),
            ("f?o", "foo"),
            ("fo*", "foo/deep/file"),
            ("täg*", "täglich"),
        ] {
            assert!(covers(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("*.{js,ts}", "x.js"), ("a/*", "a"), ("f?o", "f/o"), ("[a-c]x", "dx"), ("\\*", "x"), ("a/**/b", "ab"), ("foo", "foobar")] {
            assert!(!covers(pattern, path), "{pattern} {path}");
        }
        for pattern in ["[", "[a", "[]", "[z-a]", "x\\"] {
            assert!(Pattern::parse(pattern).is_none(), "{pattern}");
        }
        // It would take for ever, if it were tried way by way.
        assert!(!covers(&format!("{}c", "**/a/".repeat(30)), &format!("{}b", "a/".repeat(2000))));
    }
}
