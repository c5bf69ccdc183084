//! What the fuzz targets call, and the replay of their corpus. Each takes any bytes, and must come to an end without a panic.

use std::path::Path;

use super::{LoadOptions, Policy, dotenv, interpolate, short};

/// A whole file, loaded within the policy `untrusted`, written and loaded again.
pub fn loader(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = LoadOptions {
        clear_env: true,
        project_dir: Some("/nonexistent".into()),
        policy: Policy::Untrusted,
        name: Some("fuzz".into()),
        ..LoadOptions::default()
    };
    let Ok(first) = super::load(&[], Some(text), &options) else { return };
    let mut source = first.model.to_source();
    crate::compose::write::double_dollars(&mut source);
    let written = crate::compose::write::yaml(&source);
    let _ = super::load(&[], Some(&written), &options).map(|second| second.model.to_value());
}

fn variable(name: &str) -> Option<String> {
    match name {
        "A" => Some("a".to_owned()),
        "E" => Some(String::new()),
        "D" => Some("$A${A}".to_owned()),
        _ => None,
    }
}

/// A text with variables.
pub fn interpolation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = interpolate::text(text, &variable, &mut |_| {});
}

/// A file of variables, in both formats.
pub fn dotenv_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = dotenv::parse(text, &variable, &mut |_| {});
    let _ = dotenv::parse_raw(text, &variable);
}

/// A text in each short syntax.
pub fn short_syntax(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = short::port_parts(text);
    let _ = short::volume_parts(text);
    let _ = short::words(text);
    let _ = super::form::size(text);
    let _ = super::form::duration(text);
    let _ = super::paths::absolute(Path::new("/x"), text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_replayed() {
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 4] =
            [("loader", super::loader), ("interpolation", super::interpolation), ("dotenv", super::dotenv_file), ("short", super::short_syntax)];
        for (name, target) in targets {
            let mut count = 0;
            for entry in std::fs::read_dir(top.join(name)).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count >= 10, "{name} has {count} inputs");
        }
    }
}
