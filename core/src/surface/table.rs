//! Every class of the public API. Each capability keeps its own rows in its `surface.rs`.

use std::sync::OnceLock;

use super::class::ErasedClass;

pub(super) fn classes() -> &'static [Box<dyn ErasedClass>] {
    static TABLE: OnceLock<Vec<Box<dyn ErasedClass>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut all = Vec::new();
        all.extend(crate::engine::surface::classes());
        all.extend(crate::cluster::surface::classes());
        all.extend(crate::compose::surface::classes());
        all.extend(crate::machine::surface::classes());
        all.extend(crate::swarm::surface::classes());
        all
    })
}
