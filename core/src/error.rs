//! The one error type of the crate: a kind, the operation, where it happened, and what to do.

use std::{borrow::Cow, collections::BTreeMap, error::Error as StdError, fmt};

use serde::{Deserialize, Serialize};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What went wrong, as far as a program can act on it.
        ///
        /// The texts of [`ErrorKind::as_str`] are stable; message texts are not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[doc = $doc])+ $name,)+ }

        impl ErrorKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)+];

            /// The stable name, such as `not_found`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorKind::$name => $text,)+ }
            }

            /// One sentence on what the kind means.
            #[must_use]
            pub fn describe(self) -> &'static str {
                match self { $(ErrorKind::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

kinds! {
    /// An argument or option is wrong; nothing was changed.
    InvalidInput = "invalid_input",
    /// A Compose file is wrong; the diagnostics say where.
    InvalidCompose = "invalid_compose",
    /// The named object does not exist.
    NotFound = "not_found",
    /// An object of that name exists already.
    AlreadyExists = "already_exists",
    /// The object's state does not allow the call.
    Conflict = "conflict",
    /// The credentials were missing or refused.
    Unauthorized = "unauthorized",
    /// The credentials are good but do not allow the call.
    Forbidden = "forbidden",
    /// A host key or certificate could not be verified.
    Untrusted = "untrusted",
    /// The engine, host or platform cannot do this.
    Unsupported = "unsupported",
    /// No connection could be made, or it was lost.
    Unreachable = "unreachable",
    /// The deadline passed.
    Timeout = "timeout",
    /// The caller ended the call.
    Canceled = "canceled",
    /// A command ran and failed; exit code and the end of stderr are in the context.
    CommandFailed = "command_failed",
    /// The engine answered with an error that no other kind describes.
    Engine = "engine",
    /// Services did not reach the wanted state.
    NotConverged = "not_converged",
    /// A health check failed or never passed.
    Unhealthy = "unhealthy",
    /// Some hosts or services succeeded and some failed.
    Partial = "partial",
    /// Another process holds the lock on the same state.
    StateLocked = "state_locked",
    /// A local file or device could not be used.
    Io = "io",
    /// A defect in this library.
    Internal = "internal",
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the same call may succeed when it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call will fail again until something is changed.
    #[default]
    Never,
    /// The cause may pass by itself; the same call goes on where it stopped.
    Later,
}

/// One problem in a Compose file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// Line, counted from 1; 0 when unknown.
    pub line: u32,
    /// Column, counted from 1; 0 when unknown.
    pub column: u32,
    /// Key path, such as `services.web.ports[0]`.
    pub path: String,
    /// What is wrong. Never holds a value that came from a variable.
    pub message: String,
    /// What was expected, where the problem is a value of another kind.
    pub expected: Option<String>,
    /// The nearest known name, where the problem is an unknown one.
    pub suggestion: Option<String>,
    /// How the value came here: interpolated, included, extended, merged.
    pub chain: Vec<String>,
}

impl Diagnostic {
    /// The first line: the place and what is wrong, without the chain.
    fn head(&self, f: &mut impl fmt::Write) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&escape(&self.file))?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", escape(&self.path))?;
        }
        f.write_str(&escape(&self.message))?;
        if let Some(name) = &self.suggestion {
            write!(f, " (did you mean `{}`?)", escape(name))?;
        }
        Ok(())
    }

    /// How the value came there, a line for each step.
    fn steps(&self, f: &mut impl fmt::Write) -> fmt::Result {
        self.chain.iter().try_for_each(|link| write!(f, "\n  {}", escape(link)))
    }

    /// The text, with a word after the first line on how many others there are: after the chain it would seem to belong to it.
    fn among(&self, others: usize) -> String {
        let mut out = String::new();
        // Writing to a text does not fail.
        let _ = self.head(&mut out);
        match others {
            0 => {}
            1 => out.push_str(" (and 1 more problem)"),
            _ => out.push_str(&format!(" (and {others} more problems)")),
        }
        let _ = self.steps(&mut out);
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.steps(f)
    }
}

#[derive(thiserror::Error)]
struct Inner {
    kind: ErrorKind,
    operation: Cow<'static, str>,
    message: String,
    context: BTreeMap<&'static str, String>,
    retry: Retry,
    hint: Option<Cow<'static, str>>,
    diagnostics: Vec<Diagnostic>,
    failures: Vec<Failure>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// One part of a [`ErrorKind::Partial`] error: what failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Failure {
    /// The host, service or other part that failed.
    pub name: String,
    /// The kind of its error.
    pub kind: ErrorKind,
    /// Its message.
    pub message: String,
}

/// An error: [kind](Error::kind), [operation](Error::operation), [context](Error::context), and a
/// [hint](Error::hint) that says what to do.
///
/// `Display` is one line; `Debug` is many lines with the context and the causes. Neither ever holds a secret.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::StateLocked | ErrorKind::Canceled | ErrorKind::NotConverged | ErrorKind::Unhealthy => {
                Retry::Later
            }
            _ => Retry::Never,
        };
        Self(Box::new(Inner {
            kind,
            operation: Cow::Borrowed(""),
            message: message.into(),
            context: BTreeMap::new(),
            retry,
            hint: None,
            diagnostics: Vec::new(),
            failures: Vec::new(),
            source: None,
        }))
    }

    /// A [`ErrorKind::InvalidInput`] error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// A [`ErrorKind::NotFound`] error.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A [`ErrorKind::Internal`] error: a defect of this crate.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message).hint("this is a defect in dockerkit; please report it with this message")
    }

    /// An error for a local file: not found, forbidden or io by what the system said.
    pub fn file(path: impl AsRef<std::path::Path>, cause: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match cause.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Forbidden,
            _ => ErrorKind::Io,
        };
        let path = path.as_ref().display().to_string();
        let said = cause.to_string();
        // The number of the system's error says nothing that its words do not.
        let said = said.split(" (os error ").next().unwrap_or_default();
        Self::new(kind, format!("{path}: {said}")).with("path", path).source(cause)
    }

    /// A [`ErrorKind::InvalidCompose`] error made of its diagnostics.
    #[must_use]
    pub fn compose(diagnostics: Vec<Diagnostic>) -> Self {
        let message = match diagnostics.as_slice() {
            [] => "invalid Compose file".to_owned(),
            [first, rest @ ..] => first.among(rest.len()),
        };
        let mut error = Self::new(ErrorKind::InvalidCompose, message);
        error.0.diagnostics = diagnostics;
        error
    }

    /// A [`ErrorKind::Partial`] error: `failed` holds each part's name and error.
    #[must_use]
    pub fn partial(done: usize, failed: Vec<(String, Error)>) -> Self {
        let mut text = format!("{} of {} failed", failed.len(), failed.len() + done);
        for (name, error) in &failed {
            text.push_str(&format!("; {name}: {error}"));
        }
        let retry = failed.iter().any(|(_, error)| error.is_retryable());
        let mut out = Self::new(ErrorKind::Partial, text);
        out.0.hint = failed.iter().find_map(|(_, error)| error.0.hint.clone());
        out.0.failures = failed.into_iter().map(|(name, error)| Failure { name, kind: error.kind(), message: error.to_string() }).collect();
        if retry { out.retryable() } else { out }
    }

    /// Names the operation, such as `engine.containers.create`. The innermost name stays.
    #[must_use]
    pub fn op(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        if self.0.operation.is_empty() {
            self.0.operation = operation.into();
        }
        self
    }

    /// Adds one piece of context. The innermost value of a key stays.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.context.entry(key).or_insert_with(|| value.into());
        self
    }

    /// Says what to do about it. The innermost hint stays.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into());
        }
        self
    }

    /// Marks the error as one that may pass by itself.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retry = Retry::Later;
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn source(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(cause.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The call that failed, such as `app.up`.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The message without the operation and the hint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Host, resource, path, status and the like.
    #[must_use]
    pub fn context(&self) -> &BTreeMap<&'static str, String> {
        &self.0.context
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retry == Retry::Later
    }

    /// What to do about it.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The places in Compose files, for [`ErrorKind::InvalidCompose`].
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0.diagnostics
    }

    /// The parts that failed, for [`ErrorKind::Partial`].
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.0.failures
    }

    /// The error as data, in the form that the language bindings carry.
    #[must_use]
    pub fn to_data(&self) -> ErrorData {
        ErrorData {
            kind: self.kind(),
            operation: self.operation().to_owned(),
            message: self.to_string(),
            context: self.context().iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            retryable: self.is_retryable(),
            hint: self.hint_text().map(str::to_owned),
            diagnostics: self.0.diagnostics.clone(),
            failures: self.0.failures.clone(),
        }
    }
}

/// An [`Error`] as plain data.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ErrorData {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The call that failed.
    pub operation: String,
    /// The whole message, one line.
    pub message: String,
    /// Host, resource, path, status and the like.
    pub context: BTreeMap<String, String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What to do about it.
    pub hint: Option<String>,
    /// Places in Compose files.
    pub diagnostics: Vec<Diagnostic>,
    /// The parts that failed.
    pub failures: Vec<Failure>,
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.operation.is_empty() {
            write!(f, "{}: ", self.operation)?;
        }
        f.write_str(&escape(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {}", escape(hint))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self, self.kind)?;
        for (key, value) in &self.context {
            writeln!(f, "  {key}: {}", escape(value))?;
        }
        for diagnostic in &self.diagnostics {
            writeln!(f, "  {diagnostic}")?;
        }
        let mut cause: Option<&(dyn StdError + 'static)> = StdError::source(self);
        while let Some(error) = cause {
            writeln!(f, "  caused by: {}", escape(&error.to_string()))?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Adds operation and context to the error of a result, once, at the edge of a capability.
pub trait ResultExt<T> {
    /// Names the operation.
    ///
    /// # Errors
    /// The error of the result, with the name added.
    fn op(self, operation: impl Into<Cow<'static, str>>) -> Result<T>;
    /// Adds one piece of context.
    ///
    /// # Errors
    /// The error of the result, with the context added.
    fn with(self, key: &'static str, value: impl Into<String>) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn op(self, operation: impl Into<Cow<'static, str>>) -> Result<T> {
        self.map_err(|e| e.op(operation))
    }

    fn with(self, key: &'static str, value: impl Into<String>) -> Result<T> {
        self.map_err(|e| e.with(key, value))
    }
}

/// Makes text from an engine or a file safe for a terminal: control and direction characters are escaped.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    let unsafe_char =
        |c: char| (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    if text.contains(unsafe_char) {
        Cow::Owned(text.chars().map(|c| if unsafe_char(c) { format!("\\u{{{:x}}}", c as u32) } else { c.to_string() }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The nearest of `known` to `name`, when it is near enough to be a slip.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names that somebody made to be long would take long.
    const LONGEST: usize = 100;
    known
        .into_iter()
        .filter(|k| k.len() <= LONGEST && name.len() <= LONGEST)
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= (k.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innermost_context_wins_and_hint_is_shown() {
        let e = Error::not_found("no such container: web").op("containers.get").op("app.up").with("host", "a").with("host", "b");
        let e = e.hint("list the containers");
        assert_eq!(e.to_string(), "containers.get: no such container: web; hint: list the containers");
        assert_eq!(e.context().get("host").map(String::as_str), Some("a"));
    }

    #[test]
    fn terminal_codes_are_escaped() {
        assert_eq!(Error::invalid("a\u{1b}[31mred\u{202e}").to_string(), "a\\u{1b}[31mred\\u{202e}");
    }

    #[test]
    fn nearest_finds_slips_only() {
        assert_eq!(nearest("servics", ["services", "scale"]), Some("services"));
        assert_eq!(nearest("zzz", ["services", "scale"]), None);
    }
}
