//! Changing a project from code: each change makes a new project, checked as a file is.

use serde_json::{Map, Value};

use super::{Project, load, project::Inner};
use crate::{
    call::{Call, NoOptions},
    error::{Error, Result, escape},
};

/// One step of a key path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Project {
    /// A project in which a part says something else: `services.web.image`, `services.web.ports[0]`,
    /// `services["a.b"].labels`.
    ///
    /// The value is what a Compose file says there, in short or long form; `$` is a dollar. Mappings on the way are made, and
    /// an item one beyond the end of a list is added. This project stays as it is.
    ///
    /// # Errors
    /// `invalid_input` for a path that cannot be followed, `invalid_compose` when the project would not hold together.
    pub fn set(&self, path: impl Into<String>, value: impl Into<Value>) -> Call<NoOptions, Project> {
        let (path, value) = (path.into(), value.into());
        self.edit("project.set", move |whole| {
            let steps = steps(&path)?;
            set(whole, &steps, value, &path)
        })
    }

    /// A project without a part, such as `services.web.ports` or `volumes.data`. This project stays as it is.
    ///
    /// # Errors
    /// `not_found` when the part is not there, `invalid_compose` when the project would not hold together.
    pub fn remove(&self, path: impl Into<String>) -> Call<NoOptions, Project> {
        let path = path.into();
        self.edit("project.remove", move |whole| {
            let steps = steps(&path)?;
            let missing = || Error::not_found(format!("the project has no `{}`", escape(&path)));
            let (last, way) = steps.split_last().ok_or_else(missing)?;
            let mut here = whole;
            for step in way {
                here = match step {
                    Step::Key(name) => here.get_mut(name),
                    Step::Index(at) => here.get_mut(at),
                }
                .ok_or_else(missing)?;
            }
            match (last, here) {
                (Step::Key(name), Value::Object(map)) => map.remove(name).map(drop).ok_or_else(missing),
                (Step::Index(at), Value::Array(list)) if *at < list.len() => {
                    list.remove(*at);
                    Ok(())
                }
                _ => Err(missing()),
            }
        })
    }

    /// A project with one more service, or with another one in its place. The definition is what a Compose file says below
    /// the service's name. This project stays as it is.
    ///
    /// # Errors
    /// `invalid_compose` with diagnostics when the definition is wrong, or the project would not hold together.
    pub fn with_service(&self, name: impl Into<String>, definition: Map<String, Value>) -> Call<NoOptions, Project> {
        let name = name.into();
        self.edit("project.with_service", move |whole| set(whole, &[Step::Key("services".into()), Step::Key(name.clone())], Value::Object(definition), &name))
    }

    fn edit(&self, operation: &'static str, change: impl FnOnce(&mut Value) -> Result<()> + Send + 'static) -> Call<NoOptions, Project> {
        let me = self.clone();
        Call::new(operation, move |_, _| async move {
            super::project::blocking(move || {
                let inner = me.inner();
                let mut whole = source(inner);
                change(&mut whole)?;
                load::reload(&whole, inner.settings.clone())
            })
            .await
        })
    }
}

/// The whole of a project: what is used and what is not.
fn source(inner: &Inner) -> Value {
    let mut whole = inner.model.to_source();
    let unused = inner.unused.to_source();
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        for (name, value) in unused.get(section).and_then(Value::as_object).into_iter().flatten() {
            let Some(whole) = whole.as_object_mut() else { continue };
            if let Some(map) = whole.entry(section).or_insert_with(|| Value::Object(Map::new())).as_object_mut() {
                map.insert(name.clone(), value.clone());
            }
        }
    }
    whole
}

fn steps(path: &str) -> Result<Vec<Step>> {
    let wrong = || Error::invalid(format!("`{}` is not a key path", escape(path))).hint("write it as services.web.ports[0] or services[\"a.b\"].image");
    let mut out = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if let Some(quoted) = inner.strip_prefix('"') {
                let (name, after) = quoted.split_once("\"]").ok_or_else(wrong)?;
                out.push(Step::Key(name.to_owned()));
                rest = after;
            } else {
                let (number, after) = inner.split_once(']').ok_or_else(wrong)?;
                out.push(Step::Index(number.parse().map_err(|_| wrong())?));
                rest = after;
            }
            rest = match rest.strip_prefix('.') {
                Some("") => return Err(wrong()),
                Some(after) => after,
                None if rest.is_empty() || rest.starts_with('[') => rest,
                None => return Err(wrong()),
            };
            continue;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err(wrong());
        }
        out.push(Step::Key(name.to_owned()));
        rest = match after.strip_prefix('.') {
            Some("") => return Err(wrong()),
            Some(after) => after,
            None => after,
        };
    }
    if out.is_empty() { Err(wrong()) } else { Ok(out) }
}

fn set(here: &mut Value, steps: &[Step], value: Value, path: &str) -> Result<()> {
    let Some((first, rest)) = steps.split_first() else {
        *here = value;
        return Ok(());
    };
    let wrong = |expected: &str| Err(Error::invalid(format!("`{}` leads through something that is no {expected}", escape(path))));
    if here.is_null() {
        *here = if matches!(first, Step::Key(_)) { Value::Object(Map::new()) } else { Value::Array(Vec::new()) };
    }
    match (first, here) {
        (Step::Key(name), Value::Object(map)) => set(map.entry(name.clone()).or_insert(Value::Null), rest, value, path),
        (Step::Index(at), Value::Array(list)) => {
            if *at == list.len() {
                list.push(Value::Null);
            }
            match list.get_mut(*at) {
                Some(item) => set(item, rest, value, path),
                None => Err(Error::invalid(format!("`{}` is beyond the end of the list", escape(path)))),
            }
        }
        (Step::Key(_), _) => wrong("mapping"),
        (Step::Index(_), _) => wrong("list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_every_form() {
        let key = |k: &str| Step::Key(k.to_owned());
        assert_eq!(steps("services.web.ports[0].target").unwrap(), [key("services"), key("web"), key("ports"), Step::Index(0), key("target")]);
        assert_eq!(steps("services[\"a.b\"].image").unwrap(), [key("services"), key("a.b"), key("image")]);
        for wrong in ["", ".", "a.", "a..b", "a[", "a[x]", "a[\"b", "a[0]b"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_put_where_the_path_leads() {
        let mut whole = serde_json::json!({"a": {"l": [1]}});
        set(&mut whole, &steps("a.l[1]").unwrap(), 2.into(), "").unwrap();
        set(&mut whole, &steps("b.c").unwrap(), 3.into(), "").unwrap();
        assert_eq!(whole, serde_json::json!({"a": {"l": [1, 2]}, "b": {"c": 3}}));
        assert!(set(&mut whole, &steps("a.l[5]").unwrap(), 2.into(), "").is_err());
        assert!(set(&mut whole, &steps("b.c.d").unwrap(), 2.into(), "").is_err());
    }
}
