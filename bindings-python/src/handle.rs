//! Objects of the core, held by Python.

use dockerkit::surface::{self, AnyHandle};
use pyo3::prelude::*;

/// An object of the core. Its class is known to the Python layer.
#[pyclass(frozen, module = "dockerkit._native")]
pub(crate) struct Handle {
    pub(crate) inner: AnyHandle,
}

#[pymethods]
impl Handle {
    /// Lets go of what it holds for later calls.
    fn close(&self) {
        surface::close(self.inner.clone());
    }
}
