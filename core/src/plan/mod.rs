//! Plans: what a call is going to do, as steps with causes, before it does anything.
//!
//! A plan is data. It knows no Docker: capabilities observe, make a plan, and give each step's work to [`execute`].

mod execute;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use execute::execute;

use crate::{error::escape, progress::Resource};

/// One field that a step changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// The field, such as `image` or `environment.TAG`.
    pub path: String,
    /// Its value now, absent where there is none. Values of secrets and variables are not shown.
    pub before: Option<String>,
    /// Its value afterwards.
    pub after: Option<String>,
}

/// One atomic step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Step {
    /// The verb: `create`, `start`, `update`, `recreate`, `remove` and the like.
    pub action: String,
    /// What it acts on.
    pub resource: Resource,
    /// Why it is needed.
    pub cause: String,
    /// What it changes, field by field.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Positions in the plan of the steps that must be done before.
    #[serde(default)]
    pub after: Vec<usize>,
}

/// The steps that lead from what is to what is wanted.
///
/// Applying a plan observes the world again and refuses, with `conflict`, when the steps would now be others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plan {
    /// What is planned, such as `app shop: up`.
    pub title: String,
    /// The steps; `after` holds positions in this list.
    pub steps: Vec<Step>,
    /// Whether there is nothing to do.
    pub is_empty: bool,
    /// The plan as a table for a person.
    pub text: String,
    /// The options that the plan was made with, for applying it.
    #[serde(default)]
    pub options: serde_json::Value,
}

impl Plan {
    /// A plan of `steps`.
    #[must_use]
    pub fn new(title: impl Into<String>, steps: Vec<Step>, options: serde_json::Value) -> Self {
        let title = title.into();
        let text = table(&title, &steps);
        Self { title, is_empty: steps.is_empty(), steps, text, options }
    }

    /// The plan as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn table(title: &str, steps: &[Step]) -> String {
    if steps.is_empty() {
        return format!("{}: nothing to do", escape(title));
    }
    let rows: Vec<[String; 4]> = steps
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let mut cause = s.cause.clone();
            for c in &s.changes {
                let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "none".to_owned());
                cause.push_str(&format!("{}{}: {} -> {}", if cause.is_empty() { "" } else { "; " }, c.path, show(&c.before), show(&c.after)));
            }
            [(i + 1).to_string(), s.action.clone(), s.resource.to_string(), escape(&cause).into_owned()]
        })
        .collect();
    let width = |n: usize| rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    let mut out = format!("{}: {} steps", escape(title), steps.len());
    for [n, action, resource, cause] in &rows {
        out.push_str(format!("\n  {n:>a$}  {action:<b$}  {resource:<c$}  {cause}").trim_end());
    }
    out
}
