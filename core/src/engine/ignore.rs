//! `.dockerignore`: which files of a folder stay out of a build's context.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};

/// The rules of one file; the last one that matches decides.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    glob: GlobMatcher,
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
            let pattern = clean(pattern);
            if pattern.is_empty() {
                continue;
            }
            let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
            let glob = glob.map_err(|e| Error::invalid(format!(".dockerignore: `{pattern}`: {}", e.kind())).hint("mend the pattern"))?;
            rules.push(Rule { glob: glob.compile_matcher(), include });
        }
        Ok(Self { rules })
    }

    /// Whether `path`, relative to the context, stays out. A rule for a folder holds for all that is in it.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        let mut out = false;
        for rule in &self.rules {
            if rule.include == out && path.ancestors().filter(|a| !a.as_os_str().is_empty()).any(|a| rule.glob.is_match(a)) {
                out = !rule.include;
            }
        }
        out
    }

    /// Whether a rule may take back something below a folder that stays out.
    pub(crate) fn may_include_under(&self, _folder: &Path) -> bool {
        self.rules.iter().any(|r| r.include)
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
}
