//! The doc comments of the core's public types and methods, by name.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::{Attribute, Expr, FnArg, ImplItem, Item, Lit, Meta, Pat, Type as SynType, Visibility};

/// Doc comments, and which public methods there are.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    types: HashMap<String, String>,
    methods: HashMap<(String, String), String>,
    /// Fields (`Type`, `field`) and arguments (`Type::method`, `argument`) that are paths.
    paths: HashSet<(String, String)>,
    /// Structs that take in the fields of another one: its name.
    takes_in: HashMap<String, String>,
    /// Public methods that give a `Call`, as `Type::method`.
    pub(crate) calls: Vec<(String, String)>,
}

impl Docs {
    /// Reads every source file under `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let mut out = Self::default();
        out.folder(folder)?;
        out.calls.sort();
        Ok(out)
    }

    fn folder(&mut self, folder: &Path) -> Result<(), String> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", folder.display());
        for entry in fs::read_dir(folder).map_err(|e| at(&e))? {
            let path = entry.map_err(|e| at(&e))?.path();
            if path.is_dir() {
                self.folder(&path)?;
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = fs::read_to_string(&path).map_err(|e| at(&e))?;
                let file = syn::parse_file(&source).map_err(|e| format!("{}: {e}", path.display()))?;
                self.items(&file.items);
            }
        }
        Ok(())
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Struct(s) if public(&s.vis) => {
                    let owner = s.ident.to_string();
                    self.type_doc(&owner, &s.attrs);
                    let paths = s.fields.iter().filter(|f| is_path(&f.ty));
                    // The one field of a wrapper has no name.
                    self.paths.extend(paths.map(|f| (owner.clone(), f.ident.as_ref().map_or_else(String::new, ToString::to_string))));
                    let flat = |f: &&syn::Field| f.attrs.iter().any(|a| a.path().is_ident("serde") && a.to_token_stream().to_string().contains("flatten"));
                    if let Some(inner) = s.fields.iter().find(flat).and_then(|f| type_name(&f.ty)) {
                        self.takes_in.insert(owner, inner);
                    }
                }
                // `options!` holds a struct as it would be written without it.
                Item::Macro(call) if call.mac.path.is_ident("options") => {
                    if let Ok(file) = syn::parse2::<syn::File>(call.mac.tokens.clone()) {
                        self.items(&file.items);
                    }
                }
                Item::Enum(e) if public(&e.vis) => self.type_doc(&e.ident.to_string(), &e.attrs),
                Item::Impl(block) if block.trait_.is_none() => self.methods_of(block),
                Item::Mod(module) => self.items(module.content.as_ref().map(|(_, items)| items.as_slice()).unwrap_or_default()),
                _ => {}
            }
        }
    }

    fn type_doc(&mut self, name: &str, attrs: &[Attribute]) {
        let doc = doc(attrs);
        if !doc.is_empty() {
            self.types.entry(name.to_owned()).or_insert(doc);
        }
    }

    fn methods_of(&mut self, block: &syn::ItemImpl) {
        let Some(owner) = type_name(&block.self_ty) else { return };
        for item in &block.items {
            let ImplItem::Fn(method) = item else { continue };
            if !public(&method.vis) {
                continue;
            }
            let name = method.sig.ident.to_string();
            if let syn::ReturnType::Type(_, result) = &method.sig.output
                && type_name(result).as_deref() == Some("Call")
                && owner != "Call"
            {
                self.calls.push((owner.clone(), name.clone()));
            }
            for argument in &method.sig.inputs {
                if let FnArg::Typed(argument) = argument
                    && let Pat::Ident(pattern) = &*argument.pat
                    && is_path(&argument.ty)
                {
                    self.paths.insert((format!("{owner}::{name}"), pattern.ident.to_string()));
                }
            }
            self.methods.insert((owner.clone(), name), doc(&method.attrs));
        }
    }

    /// Whether a field of a type is a path.
    pub(crate) fn is_path(&self, owner: &str, field: &str) -> bool {
        let own = self.paths.contains(&(owner.to_owned(), field.to_owned()));
        own || self.takes_in.get(owner).is_some_and(|inner| self.is_path(inner, field))
    }

    /// Whether an argument of a method is a path.
    pub(crate) fn is_path_argument(&self, owner: &str, method: &str, argument: &str) -> bool {
        self.is_path(&format!("{owner}::{}", method.trim_end_matches('_')), argument)
    }

    /// The doc of a type, empty when there is none.
    pub(crate) fn of_type(&self, name: &str) -> String {
        self.types.get(name).map(|d| plain(d)).unwrap_or_default()
    }

    /// The doc of a method; a name that is a keyword in another language ends with `_` in the table.
    pub(crate) fn of_method(&self, owner: &str, name: &str) -> String {
        let find = |name: &str| self.methods.get(&(owner.to_owned(), name.to_owned()));
        find(name).or_else(|| find(name.trim_end_matches('_'))).map(|d| plain(d)).unwrap_or_default()
    }
}

/// The name of a type whose texts are paths. Of a map, these are the values: the last text that it names.
pub(crate) fn with_paths(kind: &str, text: &str, path: &str) -> String {
    match kind.rsplit_once(text) {
        Some((before, after)) => format!("{before}{path}{after}"),
        None => kind.to_owned(),
    }
}

fn public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether a type is made of paths: `PathBuf`, `Option<PathBuf>`, `Vec<PathBuf>`, `impl AsRef<Path>`.
fn is_path(kind: &SynType) -> bool {
    kind.to_token_stream().into_iter().any(|token| mentions_path(&token))
}

fn mentions_path(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(name) => name == "Path" || name == "PathBuf",
        TokenTree::Group(group) => group.stream().into_iter().any(|token| mentions_path(&token)),
        _ => false,
    }
}

fn type_name(kind: &SynType) -> Option<String> {
    match kind {
        SynType::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()),
        _ => None,
    }
}

fn doc(attrs: &[Attribute]) -> String {
    let lines: Vec<String> = attrs
        .iter()
        .filter(|a| a.path().is_ident("doc"))
        .filter_map(|a| match &a.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(lit) => match &lit.lit {
                    Lit::Str(text) => {
                        let text = text.value();
                        Some(text.strip_prefix(' ').map(str::to_owned).unwrap_or(text))
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

/// A Rust doc comment as plain text that suits every language: links to Rust items become names in code quotes, and
/// Rust examples are left out.
pub(crate) fn plain(doc: &str) -> String {
    let mut out = String::new();
    let mut rest = doc;
    while let Some(start) = rest.find('[') {
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        match link(tail) {
            Some((name, after)) => {
                out.push_str(&name);
                rest = after;
            }
            None => {
                out.push('[');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    let mut lines = Vec::new();
    let mut in_code = false;
    for line in out.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line.trim_end());
        }
    }
    lines.join("\n").trim().to_owned()
}

/// `` [`Type::name`](target) rest `` as the name and the rest, where `text` starts with a link.
fn link(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('[')?;
    let (label, mut after) = inner.split_once(']')?;
    if label.contains('\n') {
        return None;
    }
    let has_target = after.starts_with('(');
    if has_target {
        let (_, tail) = after.split_once(')')?;
        after = tail;
    }
    let name = label.strip_prefix('`').and_then(|l| l.strip_suffix('`'));
    match name {
        Some(name) => Some((format!("`{}`", name.replace("::", ".").trim_end_matches("()")), after)),
        None if has_target => Some((label.to_owned(), after)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_names() {
        assert_eq!(plain("Options of [`Engine::connect`]."), "Options of `Engine.connect`.");
        assert_eq!(plain("a [kind](Error::kind), ports[0] and [1]"), "a kind, ports[0] and [1]");
        assert_eq!(plain("Does it.\n\n```\nlet x = 1;\n```\nThen."), "Does it.\n\nThen.");
    }
}
