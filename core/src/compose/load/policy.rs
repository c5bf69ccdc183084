//! What files may reach: two policies that have names, and those that a caller makes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    call::{Set, options},
    units::Size,
};

/// What files may reach: `trusted`, `untrusted`, or a [`LoadPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Policy {
    /// Any regular file that this process can read, as with docker compose. Files of up to 8 MiB, 128 MiB together.
    #[default]
    Trusted,
    /// Files in the project folder only, whatever way they are named: nothing outside is read, mounted, built or watched
    /// by way of the file, and links are followed before they are judged. Build contexts of other hosts, devices, the
    /// engine's socket, keys of the SSH agent and programs that provide services are refused, too. Files of up to 1 MiB,
    /// 4 MiB together. Variables of this process are given to the file unless they are left out.
    Untrusted,
    /// As it says.
    Custom(Box<LoadPolicy>),
}

options! {
    /// What files may reach, where neither `trusted` nor `untrusted` fits. Links are followed before a path is judged.
    pub struct LoadPolicy {
        /// Folders beside the project's own that files may be read from, and that services may mount, build and watch. An
        /// empty list leaves the project folder; without a list, any place may be reached. Where there is a list, devices,
        /// the engine's socket, keys of the SSH agent and programs that provide services are refused, too.
        pub roots: Option<Vec<PathBuf>>,
        /// Whether files may name absolute paths, and those that begin with `~`; default: yes.
        pub absolute: Option<bool>,
        /// Whether services may be built from contexts of other hosts (git, HTTP), which the engine fetches; default: yes.
        /// `include` and `extends` never fetch anything.
        pub remotes: Option<bool>,
        /// The largest file that is read; default and most 8 MiB.
        pub max_file: Option<Size>,
        /// How much is read in all; default and most 128 MiB.
        pub max_total: Option<Size>,
        /// How many files are read; default and most 2,000.
        pub max_files: Option<u32>,
    }
}

impl PartialEq for LoadPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.roots == other.roots
            && (self.absolute, self.remotes, self.max_files) == (other.absolute, other.remotes, other.max_files)
            && (self.max_file, self.max_total) == (other.max_file, other.max_total)
    }
}

impl Eq for LoadPolicy {}

impl From<LoadPolicy> for Policy {
    fn from(policy: LoadPolicy) -> Self {
        Self::Custom(Box::new(policy))
    }
}

impl Set<Policy> for LoadPolicy {
    fn set(self) -> Policy {
        self.into()
    }
}

/// The policies by their names, or one that is made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    Trusted,
    Untrusted,
}

impl Serialize for Policy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Trusted => Named::Trusted.serialize(serializer),
            Self::Untrusted => Named::Untrusted.serialize(serializer),
            Self::Custom(policy) => policy.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, so that a wrong option of a policy is told as such.
        let value = serde_json::Value::deserialize(deserializer)?;
        let wrong = <D::Error as serde::de::Error>::custom;
        if value.is_object() {
            return LoadPolicy::deserialize(value).map(Self::from).map_err(wrong);
        }
        Named::deserialize(value).map(|named| if matches!(named, Named::Trusted) { Self::Trusted } else { Self::Untrusted }).map_err(wrong)
    }
}

impl schemars::JsonSchema for Policy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Policy".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let made = generator.subschema_for::<LoadPolicy>();
        schemars::json_schema!({"anyOf": [{"type": "string", "enum": ["trusted", "untrusted"]}, made]})
    }
}

/// A policy, with all that it leaves open filled in.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Folders beside the project's own; none takes any place.
    pub(crate) roots: Option<Vec<PathBuf>>,
    pub(crate) absolute: bool,
    pub(crate) remotes: bool,
    pub(crate) file: u64,
    pub(crate) total: u64,
    pub(crate) files: usize,
}

/// So many files are read for one project.
const FILES: usize = 2_000;
const TOTAL: u64 = 128 << 20;

impl Rules {
    /// The rules of a policy; `more` are folders that the caller names beside it.
    pub(crate) fn new(policy: &Policy, more: &[PathBuf]) -> Self {
        let open = Self { roots: None, absolute: true, remotes: true, file: super::yaml::BYTES as u64, total: TOTAL, files: FILES };
        match policy {
            Policy::Trusted => open,
            Policy::Untrusted => Self { roots: Some(more.to_vec()), remotes: false, file: 1 << 20, total: 4 << 20, ..open },
            Policy::Custom(p) => Self {
                roots: p.roots.as_ref().map(|r| r.iter().chain(more).cloned().collect()),
                absolute: p.absolute.unwrap_or(true),
                remotes: p.remotes.unwrap_or(true),
                file: p.max_file.map_or(open.file, |s| s.0.min(open.file)),
                total: p.max_total.map_or(TOTAL, |s| s.0.min(TOTAL)),
                files: p.max_files.map_or(FILES, |n| (n as usize).min(FILES)),
            },
        }
    }

    /// Without any limit but those of every file: for what the caller names.
    pub(crate) fn trusted() -> Self {
        Self::new(&Policy::Trusted, &[])
    }
}
