//! Which variables a text was made of, and whether it may be shown.

use std::rc::Rc;

/// The variables that a text was made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// As `$A, $B`.
    pub(crate) names: String,
    /// Those that have no value and no default.
    unset: Vec<String>,
    /// Whether the value of one of them may stand in the text: such a text is never shown. Else all of it stands in the file.
    pub(crate) hidden: bool,
}

impl Filled {
    pub(crate) fn new(names: &[String], unset: Vec<String>, hidden: bool) -> Rc<Self> {
        let mut names: Vec<String> = names.iter().map(|n| format!("${n}")).collect();
        names.dedup();
        Rc::new(Self { names: names.join(", "), unset, hidden })
    }

    /// A text that is the value of one variable.
    pub(crate) fn value_of(name: &str) -> Rc<Self> {
        Self::new(&[name.to_owned()], Vec::new(), true)
    }

    /// Which of the variables are not set, in words.
    pub(crate) fn missing(&self) -> Option<String> {
        const MOST: usize = 10;
        let names: Vec<String> = self.unset.iter().take(MOST).map(|n| format!("`{n}`")).collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("the variable {one} is not set")),
            [first @ .., last] => Some(format!("the variables {} and {last} are not set", first.join(", "))),
        }
    }
}
