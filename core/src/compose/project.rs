//! A project: what was loaded from Compose files.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    hash,
    load::{self, LoadOptions, Loaded, Settings},
    model::Model,
    write,
};
use crate::{
    call::{Call, NoOptions},
    error::{Diagnostic, Error, Result},
    surface::{Handle, handle},
};

/// A Compose project. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Project(Arc<Inner>);

pub(super) struct Inner {
    pub(super) model: Model,
    /// What no active service uses.
    pub(super) unused: Model,
    warnings: Vec<Diagnostic>,
    hashes: BTreeMap<String, String>,
    pub(super) settings: Settings,
}

impl std::fmt::Debug for Inner {
    /// The variables stay out: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project")
            .field("name", &self.model.name)
            .field("folder", &self.settings.folder)
            .field("files", &self.settings.files)
            .finish_non_exhaustive()
    }
}

/// What a [`Project`] shows without a call.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProjectProperties {
    /// Its name.
    pub name: String,
    /// The names of its active services.
    pub services: Vec<String>,
    /// Its folder.
    pub folder: String,
    /// Its files.
    pub files: Vec<String>,
    /// What is worth a word, with places.
    pub warnings: Vec<Diagnostic>,
}

/// Files to load: one path or a list of them; an empty list looks for the usual names, upwards from here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Files(pub Vec<PathBuf>);

impl From<&str> for Files {
    fn from(path: &str) -> Self {
        Self(if path.is_empty() { Vec::new() } else { vec![path.into()] })
    }
}

impl From<PathBuf> for Files {
    fn from(path: PathBuf) -> Self {
        Self(vec![path])
    }
}

impl<const N: usize> From<[&str; N]> for Files {
    fn from(paths: [&str; N]) -> Self {
        Self(paths.iter().map(PathBuf::from).collect())
    }
}

impl From<Vec<PathBuf>> for Files {
    fn from(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }
}

impl Project {
    /// Loads a project from Compose files, each laid over the one before.
    ///
    /// Without files, `COMPOSE_FILE` names them, else the usual names are looked for here and above, with their overrides.
    /// All that is wrong is reported at once, with file, line and column.
    ///
    /// # Errors
    /// `not_found` for a missing file, `invalid_compose` with diagnostics, `forbidden` for a file that the policy does not allow.
    pub fn load(files: impl Into<Files>) -> Call<LoadOptions, Project> {
        let files = files.into();
        Call::new("project.load", move |o: LoadOptions, _| async move { blocking(move || load::load(&files.0, None, &o)).await })
    }

    /// Loads a project from a text.
    ///
    /// # Errors
    /// `invalid_compose` with diagnostics.
    pub fn parse(text: impl Into<String>) -> Call<LoadOptions, Project> {
        let text = text.into();
        Call::new("project.parse", move |o: LoadOptions, _| async move { blocking(move || load::load(&[], Some(&text), &o)).await })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.model.name
    }

    /// The value of a variable that the project was loaded with.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.0.settings.variables.get(name).cloned()
    }

    /// What no active service uses.
    pub(crate) fn unused(&self) -> &Model {
        &self.0.unused
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The model itself.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// What is worth a word.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.0.warnings
    }

    /// The model as docker compose prints it with `config --format json`, with `$` as it is.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn config(&self) -> Call<NoOptions, Value> {
        let me = self.clone();
        Call::new("project.config", move |_, _| async move { Ok(me.model().to_value()) })
    }

    /// The project as JSON text, with every `$` doubled, so that loading it again gives the same project.
    ///
    /// It holds what [`config`](Self::config) says, and beside it services that no profile selects, models and `x-` keys.
    /// Files and variables are in it already: it needs none beside it.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn to_json(&self) -> Call<NoOptions, String> {
        let me = self.clone();
        Call::new("project.to_json", move |_, _| async move {
            let mut json = me.model().to_source();
            write::double_dollars(&mut json);
            serde_json::to_string_pretty(&json).map_err(|e| Error::internal(e.to_string()))
        })
    }

    /// The project as YAML text, with every `$` doubled, so that loading it again gives the same project: see
    /// [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn to_yaml(&self) -> Call<NoOptions, String> {
        let me = self.clone();
        Call::new("project.to_yaml", move |_, _| async move {
            let mut json = me.model().to_source();
            write::double_dollars(&mut json);
            Ok(write::yaml(&json))
        })
    }

    /// docker compose's hash of every service, as `config --hash '*'` prints them: of the moment before files of variables
    /// are folded in.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn hashes(&self) -> Call<NoOptions, BTreeMap<String, String>> {
        let me = self.clone();
        Call::new("project.hashes", move |_, _| async move { Ok(me.0.hashes.clone()) })
    }

    /// docker compose's hash of every network.
    #[must_use]
    pub fn network_hashes(&self) -> BTreeMap<String, String> {
        self.model().networks.iter().map(|(name, n)| (name.clone(), hash::network(n))).collect()
    }

    /// docker compose's hash of every volume.
    #[must_use]
    pub fn volume_hashes(&self) -> BTreeMap<String, String> {
        self.model().volumes.iter().map(|(name, v)| (name.clone(), hash::volume(v))).collect()
    }
}

pub(super) async fn blocking(work: impl FnOnce() -> Result<Loaded> + Send + 'static) -> Result<Project> {
    let loaded = tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal(e.to_string()))??;
    let Loaded { model, unused, warnings, hashes, settings } = loaded;
    Ok(Project(Arc::new(Inner { model, unused, warnings, hashes, settings })))
}

impl Handle for Project {
    const CLASS: &'static str = "Project";
    type Properties = ProjectProperties;

    fn properties(&self) -> ProjectProperties {
        ProjectProperties {
            name: self.name().to_owned(),
            services: self.model().services.keys().cloned().collect(),
            folder: self.0.settings.folder.display().to_string(),
            files: self.0.settings.files.iter().map(|p| p.display().to_string()).collect(),
            warnings: self.0.warnings.clone(),
        }
    }
}

handle!(Project);
