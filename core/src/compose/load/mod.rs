//! Loading a project, phase by phase.
//!
//! For each document of each file, in this order:
//!
//! 1. `yaml` with `scalar`: text to a tree with places; scalars as go-yaml reads them
//! 2. `interpolate` with `casts`: variables, and the types of texts at typed places
//! 3. `extends`, then `include`
//! 4. `merge` over what is there, with `!reset` and `!override`; `unique`: lists whose items have an identity
//! 5. `schema` with `schema_table`: what may stand where
//! 6. `canonical` with `short`: every short form becomes its long form
//!
//! For each set of files (those of the project, and those of each include): `validate` (defaults, and what the schema
//! cannot say), and `paths`. For the project as a whole:
//!
//! 7. `normalize`: implicit networks and dependencies, names
//! 8. `form` with `attributes`: every value gets its type; `de`: the typed model
//! 9. `select`: profiles; `consistency`: references, exclusions and circles; `reach`: what the policy allows
//! 10. `environment_files` are folded in, and what nothing uses is left out
//!
//! All problems of a project are gathered and reported at once: a wrong value is told and broken, and the phases after
//! pass over it. `discover` finds files, variables and profiles before; `files` reads, within the policy.

mod attributes;
mod canonical;
mod casts;
mod consistency;
mod de;
mod discover;
pub(crate) mod dotenv;
mod environment_files;
mod extends;
mod files;
mod filled;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod include;
pub(crate) mod interpolate;
mod limits;
mod merge;
mod node;
mod normalize;
mod paths;
mod policy;
#[cfg(test)]
mod properties;
mod reach;
mod scalar;
mod schema;
mod schema_table;
mod select;
pub(crate) mod short;
mod trail;
mod unique;
mod validate;
mod yaml;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::model::Model;
use crate::{
    call::options,
    error::{Diagnostic, Error, ErrorKind, Result},
};
use node::{Node, Yaml};
pub use policy::{LoadPolicy, Policy};
use trail::Trail;

options! {
    /// Options of [`Project::load`](crate::Project::load) and [`Project::parse`](crate::Project::parse).
    pub struct LoadOptions {
        /// The project folder; default: that of the first file.
        pub project_dir: Option<PathBuf>,
        /// Files of variables in place of `.env`.
        pub env_files: Vec<PathBuf>,
        /// Variables that go before those of the process and of files.
        pub env: BTreeMap<String, String>,
        /// Leaves the variables of this process out, and `PWD`, which is else its working folder where it has none.
        pub clear_env: bool,
        /// Active profiles in place of those of `COMPOSE_PROFILES`; `*` is all.
        pub profiles: Vec<String>,
        /// The project's name in place of the file's.
        pub name: Option<String>,
        /// What files may reach. `trusted`, the default: any regular file that this process can read, as with docker compose.
        /// `untrusted`: the project folder only, whatever way a path is written; nothing outside is read, mounted, built or
        /// watched by way of the file, and links are followed before they are judged. Or a policy made for the purpose.
        /// Variables of this process are given to files in any case, unless `clear_env` leaves them out.
        pub policy: Policy,
        /// Folders that the policy allows beside the project's own and those that it names itself.
        pub roots: Vec<PathBuf>,
    }
}

/// More problems of one kind are not told: nobody reads them, and they cost time and memory.
const MOST_PROBLEMS: usize = 1_000;

/// A bounded list of problems.
#[derive(Default)]
pub(crate) struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(crate) fn push(&mut self, d: Diagnostic) {
        if !self.is_full() {
            self.0.push(d);
        }
    }

    pub(crate) fn extend(&mut self, all: impl IntoIterator<Item = Diagnostic>) {
        all.into_iter().for_each(|d| self.push(d));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MOST_PROBLEMS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut Diagnostic> {
        self.0.last_mut()
    }
}

/// What is wrong, and what is only worth a word.
#[derive(Default)]
pub(crate) struct Problems {
    pub(crate) errors: Diagnostics,
    pub(crate) warnings: Diagnostics,
    /// A file or a document is missing from the whole: what refers to it cannot be judged.
    partial: bool,
    pub(crate) left: limits::Left,
}

impl Problems {
    /// Notes why a file could not be read, at the place that names it.
    fn unreadable(&mut self, e: &Error, node: &Node, trail: &Trail<'_>) {
        self.partial = true;
        if e.diagnostics().is_empty() {
            self.errors.push(node.problem(trail, e.message().to_owned()));
        } else {
            self.errors.extend(e.diagnostics().iter().cloned());
        }
    }

    /// The error of all that is wrong, in the order of files and lines, each once.
    fn error(self) -> Error {
        let mut errors = self.errors.0;
        let mut order: Vec<String> = Vec::new();
        for d in &errors {
            if !order.contains(&d.file) {
                order.push(d.file.clone());
            }
        }
        errors.sort_by_key(|d| (order.iter().position(|f| *f == d.file), d.line, d.column));
        let mut seen = HashSet::new();
        errors.retain(|d| seen.insert((d.file.clone(), d.line, d.column, d.path.clone(), d.message.clone())));
        Error::compose(errors)
    }
}

/// A project that was loaded.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// What no active service uses.
    pub(crate) unused: Model,
    pub(crate) warnings: Vec<Diagnostic>,
    /// docker compose's hash of every service, of the moment before files of variables are folded in.
    pub(crate) hashes: BTreeMap<String, String>,
    pub(crate) settings: Settings,
}

/// What a project was loaded with, as far as changing it needs it.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    profiles: Vec<String>,
    policy: policy::Rules,
    home: Option<String>,
    /// Variables that secrets and configs are made of, and no others.
    pub(crate) variables: BTreeMap<String, String>,
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[expect(clippy::disallowed_methods, reason = "Compose files take variables of the process")]
fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// What files are loaded with.
pub(crate) struct Scope<'a> {
    env: &'a BTreeMap<String, String>,
    /// A number for these variables, that no others have.
    variables: usize,
    folder: &'a Path,
    /// The files that include these, the outermost first.
    chain: Vec<PathBuf>,
}

/// Loads files for the phases.
pub(crate) struct Loader<'a> {
    files: files::Files,
    home: Option<&'a str>,
    /// Files that services extend, by path and by the variables that they were loaded with.
    bases: RefCell<HashMap<(PathBuf, usize), Node>>,
    secrets: RefCell<BTreeMap<String, String>>,
    variables: Cell<usize>,
    /// How many values files and extended services have come to, and how many they may.
    values: Cell<usize>,
    most_values: Cell<usize>,
}

impl Loader<'_> {
    /// A number for variables that an included file has of its own.
    fn new_variables(&self) -> usize {
        self.variables.set(self.variables.get() + 1);
        self.variables.get()
    }

    /// Takes the values of a tree off what is left, or says that there are too many.
    fn spend(&self, node: &Node) -> std::result::Result<(), String> {
        self.values.set(self.values.get().saturating_add(node.count()));
        let most = self.most_values.get();
        let (base, each) = (limits::VALUES, limits::EACH_SERVICE);
        if self.values.get() > most {
            return Err(format!("the project has more than {base} values and {each} for each service, with aliases and what services extend written out"));
        }
        Ok(())
    }

    /// Takes the values of a file.
    fn spend_document(&self, document: &Node) -> Result<()> {
        let services = document.get("services").and_then(Node::entries).map_or(0, node::Entries::len).min(limits::MOST_NAMED);
        let most = self.most_values.get() + services * limits::EACH_SERVICE;
        self.most_values.set(most.min(yaml::NODES));
        self.spend(document).map_err(|message| Error::compose(vec![document.largest(message)]))
    }

    pub(crate) fn text(&self, path: &Path) -> Result<String> {
        self.files.text(path)
    }

    /// The documents of a file.
    fn documents(&self, path: &Path) -> Result<Vec<Node>> {
        let text = self.text(path)?;
        let documents = yaml::parse(&path.display().to_string(), &text).map_err(|d| Error::compose(vec![*d]))?;
        documents.iter().try_for_each(|d| self.spend_document(d))?;
        Ok(documents)
    }

    /// A file that a service extends: merged and canonical, with its paths made absolute.
    fn base(&self, path: &Path, folder: &Path, at: &Node, trail: &Trail<'_>, scope: &Scope<'_>, problems: &mut Problems) -> Option<Node> {
        let key = (path.to_owned(), scope.variables);
        if let Some(known) = self.bases.borrow().get(&key) {
            return Some(known.clone());
        }
        let documents = self.documents(path).map_err(|e| problems.unreadable(&e, at, trail)).ok()?;
        let mut whole: Option<Node> = None;
        for mut document in documents {
            if !is_mapping(&document, problems) {
                continue;
            }
            interpolate::tree(&mut document, scope.env, problems);
            // `!reset` and `!override` stay: a service here may extend another one.
            match &mut whole {
                None => whole = Some(document),
                Some(base) => merge::merge(base, document, &Trail::ROOT, true, problems),
            }
            if let Some(whole) = &mut whole {
                if let Err(message) = problems.left.work(whole.count()) {
                    problems.errors.push(at.problem(trail, message));
                    return None;
                }
                unique::enforce(whole, problems);
                canonical::file(whole, problems);
                canonical::omit_empty(whole);
                unique::enforce(whole, problems);
            }
        }
        let Some(mut whole) = whole else {
            problems.errors.push(at.problem(trail, format!("{} is empty", path.display())));
            return None;
        };
        reach::written(&whole, &self.files, problems);
        paths::Resolver { folder, home: self.home }.file(&mut whole);
        self.bases.borrow_mut().insert(key, whole.clone());
        Some(whole)
    }

    /// Keeps a file with the services that were resolved in it.
    fn keep_base(&self, path: &Path, scope: &Scope<'_>, file: Node) {
        self.bases.borrow_mut().insert((path.to_owned(), scope.variables), file);
    }

    /// The values of secrets and configs that an included file takes from its own variables.
    fn remember_secrets(&self, file: Option<&Node>, env: &BTreeMap<String, String>) {
        let mut known = self.secrets.borrow_mut();
        for section in ["secrets", "configs"] {
            for (_, object) in file.and_then(|f| f.get(section)).into_iter().flat_map(Node::each) {
                if let Some((name, value)) = object.str("environment").and_then(|n| env.get_key_value(n)) {
                    known.insert(name.clone(), value.clone());
                }
            }
        }
    }

    /// Files that are named by another one.
    fn model(&self, files: &[(PathBuf, &Node)], trail: &Trail<'_>, scope: &Scope<'_>, problems: &mut Problems) -> Option<Node> {
        let mut all = Vec::new();
        for (path, at) in files {
            match self.documents(path) {
                Ok(documents) => all.push((path.clone(), documents)),
                Err(e) => problems.unreadable(&e, at, trail),
            }
        }
        self.whole(all, scope, problems)
    }

    /// Files laid over each other.
    fn whole(&self, files: Vec<(PathBuf, Vec<Node>)>, scope: &Scope<'_>, problems: &mut Problems) -> Option<Node> {
        let mut whole: Option<Node> = None;
        for (path, documents) in files {
            for mut document in documents {
                if !is_mapping(&document, problems) {
                    continue;
                }
                interpolate::tree(&mut document, scope.env, problems);
                extends::resolve(&mut document, &path, self, scope, problems);
                include::resolve(&mut document, &path, self, scope, problems);
                let place = document.place.clone();
                lay(&mut whole, document, problems);
                if let Some(whole) = &mut whole {
                    if let Err(message) = problems.left.work(whole.count()) {
                        problems.errors.push(place.diagnostic("services", message));
                        problems.partial = true;
                        return None;
                    }
                    self.document(whole, problems);
                }
            }
        }
        let mut whole = whole?;
        self.complete(&mut whole, scope, problems);
        Some(whole)
    }

    /// What follows each document that is laid over the ones before.
    fn document(&self, whole: &mut Node, problems: &mut Problems) {
        unique::enforce(whole, problems);
        schema::check(whole, schema_table::FILE, problems);
        if let Some(version) = whole.remove("version") {
            problems.warnings.push(version.problem(&Trail::ROOT.key("version"), "`version` is obsolete and has no effect"));
        }
        canonical::file(whole, problems);
        canonical::omit_empty(whole);
        unique::enforce(whole, problems);
    }

    /// What follows a set of files.
    fn complete(&self, whole: &mut Node, scope: &Scope<'_>, problems: &mut Problems) {
        validate::defaults(whole);
        validate::check(whole, problems);
        reach::written(whole, &self.files, problems);
        paths::Resolver { folder: scope.folder, home: self.home }.file(whole);
        normalize::environment(whole, scope.env, problems);
    }
}

fn is_mapping(document: &Node, problems: &mut Problems) -> bool {
    if document.entries().is_none() {
        problems.errors.push(document.unexpected(&Trail::ROOT, "a mapping"));
        problems.partial = true;
    }
    document.entries().is_some()
}

/// Lays a document over what is there.
fn lay(whole: &mut Option<Node>, mut document: Node, problems: &mut Problems) {
    match whole {
        None => {
            merge::sweep(&mut document);
            *whole = Some(document);
        }
        Some(base) => merge::merge(base, document, &Trail::ROOT, false, problems),
    }
}

/// Numbers that JSON does not know cannot be printed; docker compose fails on them, too.
fn unprintable(whole: &Node, problems: &mut Problems) {
    fn walk(node: &Node, trail: &Trail<'_>, problems: &mut Problems) {
        match &node.value {
            Yaml::Float(f) if !f.is_finite() => problems.errors.push(node.unexpected(trail, "a number that ends")),
            Yaml::List(items) => items.iter().enumerate().for_each(|(i, n)| walk(n, &trail.index(i), problems)),
            Yaml::Map(map) => map.iter().for_each(|(k, v)| walk(v, &trail.key(&k.name), problems)),
            _ => {}
        }
    }
    for (key, value) in whole.each().filter(|(k, _)| k.name.starts_with("x-")) {
        walk(value, &Trail::ROOT.key(&key.name), problems);
    }
}

/// The name that files give the project: the last one counts.
fn own_name(files: &[(PathBuf, Vec<Node>)], env: &BTreeMap<String, String>) -> Option<String> {
    let name = files.iter().flat_map(|(_, documents)| documents).filter_map(|d| d.str("name").filter(|n| !n.is_empty())).next_back()?;
    // What is wrong with it is told when the file is filled in.
    interpolate::text(name, &|n| env.get(n).cloned(), &mut |_| {}).map(|o| o.text).ok()
}

/// Loads a project from files, or from a text.
pub(crate) fn load(files: &[PathBuf], text: Option<&str>, options: &LoadOptions) -> Result<Loaded> {
    let rules = policy::Rules::new(&options.policy, &options.roots);
    let reader = |folder: &Path| files::Files::new(&rules, folder);
    // Files of variables that the caller names are the caller's own affair.
    let read = |file: &Path, folder: &Path| {
        if options.env_files.is_empty() { reader(folder).text(file) } else { files::Files::new(&policy::Rules::trusted(), folder).text(file) }
    };
    let mut found = discover::discover(files, text.is_some(), options, &read)?;
    let mut problems = Problems { warnings: Diagnostics(std::mem::take(&mut found.warnings)), ..Problems::default() };
    let home = found.env.get(crate::host::HOME).cloned();
    let loader = Loader {
        files: reader(&found.folder),
        home: home.as_deref(),
        bases: RefCell::default(),
        secrets: RefCell::default(),
        variables: Cell::default(),
        values: Cell::default(),
        most_values: Cell::new(limits::VALUES),
    };
    let mut sources: Vec<(PathBuf, Vec<Node>)> = Vec::new();
    for path in &found.files {
        match loader.documents(path) {
            Ok(documents) => sources.push((path.clone(), documents)),
            // A folder, or what is too large: as wrong as a text can be.
            Err(e) if e.diagnostics().is_empty() && e.kind() == ErrorKind::InvalidInput => {
                problems.partial = true;
                let file = path.display().to_string();
                problems.errors.push(Diagnostic { file, line: 1, column: 1, message: e.message().to_owned(), ..Diagnostic::default() });
            }
            Err(e) if e.diagnostics().is_empty() => return Err(e),
            Err(e) => {
                problems.partial = true;
                problems.errors.extend(e.diagnostics().iter().cloned());
            }
        }
    }
    if let Some(text) = text {
        let documents = yaml::parse("compose.yaml", text).map_err(|d| Error::compose(vec![*d]));
        match documents.and_then(|all| all.iter().try_for_each(|d| loader.spend_document(d)).map(|()| all)) {
            Ok(documents) => sources.push((PathBuf::from("compose.yaml"), documents)),
            Err(e) => {
                problems.partial = true;
                problems.errors.extend(e.diagnostics().iter().cloned());
            }
        }
    }
    let name = discover::project_name(found.name.as_deref(), own_name(&sources, &found.env).as_deref(), &found.folder);
    if let Ok(name) = &name {
        found.env.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    }
    let scope = Scope { env: &found.env, variables: 0, folder: &found.folder, chain: Vec::new() };
    let first = sources.first().map(|(path, _)| path.display().to_string());
    let whole = loader.whole(sources, &scope, &mut problems);
    let whole = whole.filter(|w| w.entries().is_some_and(|e| !e.is_empty()));
    if whole.is_none() && problems.errors.is_empty() {
        let expected = Some("a mapping with `services`".to_owned());
        let (file, path) = (first.unwrap_or_default(), "services".to_owned());
        problems.errors.push(Diagnostic { file, line: 1, column: 1, path, message: "the file is empty".to_owned(), expected, ..Diagnostic::default() });
    }
    let Some(whole) = whole.filter(|_| !problems.partial) else { return Err(problems.error()) };
    let name = match name {
        Ok(name) => name,
        Err(e) if problems.errors.is_empty() => return Err(e),
        Err(_) => return Err(problems.error()),
    };
    let settings = Settings {
        folder: found.folder.clone(),
        files: found.files,
        profiles: found.profiles,
        policy: rules.clone(),
        home: home.clone(),
        variables: BTreeMap::new(),
    };
    finish(whole, &name, &found.env, &loader, settings, problems)
}

/// Makes a project of a value that was changed: a dollar is a dollar, and all else is checked as in a file.
pub(crate) fn reload(value: &serde_json::Value, settings: Settings) -> Result<Loaded> {
    let mut problems = Problems::default();
    let mut whole = Node::from_json(value, &node::Place::default());
    interpolate::typed(&mut whole, &mut problems);
    let files = files::Files::new(&settings.policy, &settings.folder);
    let home = settings.home.clone();
    let loader = Loader {
        files,
        home: home.as_deref(),
        bases: RefCell::default(),
        secrets: RefCell::new(settings.variables.clone()),
        variables: Cell::default(),
        values: Cell::default(),
        most_values: Cell::new(limits::VALUES),
    };
    loader.document(&mut whole, &mut problems);
    let env = settings.variables.clone();
    let folder = settings.folder.clone();
    loader.complete(&mut whole, &Scope { env: &env, variables: 0, folder: &folder, chain: Vec::new() }, &mut problems);
    let own = whole.str("name").map(str::to_owned);
    let name = discover::project_name(own.as_deref(), None, &folder)?;
    finish(whole, &name, &env, &loader, settings, problems)
}

/// The phases of the project as a whole.
fn finish(mut whole: Node, name: &str, env: &BTreeMap<String, String>, loader: &Loader<'_>, settings: Settings, mut problems: Problems) -> Result<Loaded> {
    for section in ["services", "networks", "volumes", "secrets", "configs", "models"] {
        if let Some(named) = whole.get(section).filter(|s| s.entries().is_some_and(|e| e.len() > limits::MOST_NAMED)) {
            problems.errors.push(named.problem(&Trail::ROOT.key(section), format!("a project may have {} {section} at most", limits::MOST_NAMED)));
            return Err(problems.error());
        }
    }
    unprintable(&whole, &mut problems);
    normalize::normalize(&mut whole, name, env, &mut problems);
    form::apply(&mut whole, attributes::FILE, &Trail::ROOT, &mut problems);
    let mut model = match select::typed(&whole, name) {
        Ok(model) => model,
        Err(e) if problems.errors.is_empty() => return Err(e),
        Err(_) => return Err(problems.error()),
    };
    select::select(&mut model, &settings.profiles);
    consistency::check(&model, &whole, &mut problems);
    reach::check(&model, &whole, loader, &mut problems);
    consistency::settle(&mut model);
    environment_files::labels(&mut model, &whole, loader, &mut problems);
    let hashes = if problems.errors.is_empty() { model.services.iter().map(|(n, s)| (n.clone(), super::hash::service(s))).collect() } else { BTreeMap::new() };
    environment_files::variables(&mut model, &whole, loader, env, &mut problems);
    if !problems.errors.is_empty() {
        return Err(problems.error());
    }
    let unused = select::take_unused(&mut model);
    let mut variables = loader.secrets.borrow().clone();
    let named = model.secrets.values().chain(model.configs.values()).chain(unused.secrets.values()).chain(unused.configs.values()).map(|o| &o.environment);
    for (name, value) in named.filter_map(|n| env.get_key_value(n)) {
        variables.insert(name.clone(), value.clone());
    }
    Ok(Loaded { model, unused, hashes, warnings: problems.warnings.0, settings: Settings { variables, ..settings } })
}
