//! The rows of the public API's table for Compose.

use super::{Project, project::Files};
use crate::surface::{Class, ErasedClass};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![
        Class::<Project>::new()
            .s1("load", ["files"], |files: Option<Files>| Project::load(files.unwrap_or_default()))
            .s1("parse", ["text"], |text: String| Project::parse(text))
            .m0("config", [], Project::config)
            .m0("to_json", [], Project::to_json)
            .m0("hashes", [], Project::hashes)
            .boxed(),
    ]
}
