//! Writes `api.json` and the generated files of the language layers from the core's table of calls.
//!
//! `cargo run -p dockerkit-codegen` writes the files; with `--check` it fails when one of them is not what it would
//! write.

mod api;
mod docs;
mod node;
mod python;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// A file to write: its path from the top of the repository, and its text.
pub(crate) type Output = (PathBuf, String);

fn outputs(top: &Path) -> Result<Vec<Output>, String> {
    let docs = docs::Docs::read(&top.join("core/src"))?;
    let api = api::Api::read(&dockerkit::surface::describe::describe(), &docs)?;
    let mut json = serde_json::to_value(&api).map_err(|e| e.to_string())?;
    if let Some(object) = json.as_object_mut() {
        let calls = docs.calls.iter().map(|(owner, name)| format!("{owner}::{name}").into()).collect();
        object.insert("rust_calls".into(), serde_json::Value::Array(calls));
    }
    let text = serde_json::to_string_pretty(&json).map_err(|e| e.to_string())?;
    let mut out = vec![("core/api.json".into(), text + "\n")];
    out.extend(python::outputs(&api)?);
    out.extend(node::outputs(&api));
    Ok(out)
}

fn run() -> Result<bool, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let check = std::env::args().any(|a| a == "--check");
    let mut fresh = true;
    for (path, text) in outputs(&top)? {
        let full = top.join(&path);
        if fs::read_to_string(&full).is_ok_and(|there| there == text) {
            continue;
        }
        let at = |e: std::io::Error| format!("{}: {e}", path.display());
        fresh = false;
        let verb = if check { "out of date" } else { "written" };
        writeln!(std::io::stderr(), "{}: {verb}", path.display()).map_err(at)?;
        if !check {
            fs::create_dir_all(full.parent().unwrap_or(&top)).map_err(at)?;
            fs::write(&full, text).map_err(at)?;
        }
    }
    Ok(fresh || !check)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "{e}");
            ExitCode::FAILURE
        }
    }
}
