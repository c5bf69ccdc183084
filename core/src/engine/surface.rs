//! The rows of the public API's table for the engine.

use super::Engine;
use crate::surface::{Class, ErasedClass};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![
        Class::<Engine>::new()
            .s1("connect", ["endpoint"], |endpoint: Option<String>| Engine::connect(endpoint.unwrap_or_default()))
            .m0("ping", [], Engine::ping)
            .m0("version", [], Engine::version)
            .boxed(),
    ]
}
