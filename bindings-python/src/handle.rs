//! Objects of the core, held by Python.

use dockerkit::surface::AnyHandle;
use pyo3::prelude::*;

/// An object of the core. Its class is known to the Python layer.
#[pyclass(frozen, module = "dockerkit._native")]
pub(crate) struct Handle {
    pub(crate) inner: AnyHandle,
}

#[pymethods]
impl Handle {
    /// The name of its class.
    #[getter]
    fn class_name(&self) -> &'static str {
        self.inner.class()
    }
}
