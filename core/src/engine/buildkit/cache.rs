//! Where a build takes cached steps from and where it leaves its own, in the spelling of `docker buildx build`.

use super::wire::CacheEntry;
use crate::error::{Error, ErrorKind, Result};

/// What `cache_to` says.
pub(in crate::engine) fn exports(texts: &[String]) -> Result<Vec<CacheEntry>> {
    let mut all = Vec::new();
    for text in texts {
        for entry in entries("cache_to", text)? {
            match entry.kind.as_str() {
                "inline" => {}
                "registry" => has_ref("cache_to", text, &entry)?,
                _ => return Err(unsupported("cache_to", &entry.kind, "type=inline or type=registry,ref=…")),
            }
            all.push(entry);
        }
    }
    Ok(all)
}

/// The references that `cache_from` names.
pub(in crate::engine) fn imports(texts: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for text in texts {
        for mut entry in entries("cache_from", text)? {
            if entry.kind != "registry" {
                return Err(unsupported("cache_from", &entry.kind, "type=registry,ref=…, or an image's name"));
            }
            has_ref("cache_from", text, &entry)?;
            all.extend(entry.attrs.remove("ref"));
        }
    }
    Ok(all)
}

fn unsupported(option: &str, kind: &str, instead: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{option}: a cache of the type `{}` is not supported", crate::error::escape(kind)))
        .hint(format!("use {instead}"))
        .with("option", option)
}

fn wrong(option: &str, text: &str, why: &str) -> Error {
    Error::invalid(format!("{option}: `{}`: {why}", crate::error::escape(text))).hint("write it as type=registry,ref=<reference>").with("option", option)
}

fn has_ref(option: &str, text: &str, entry: &CacheEntry) -> Result<()> {
    if entry.attrs.get("ref").is_some_and(|r| !r.is_empty()) { Ok(()) } else { Err(wrong(option, text, "there is no ref")) }
}

/// One line: references alone, or fields of which one is the type.
fn entries(option: &str, text: &str) -> Result<Vec<CacheEntry>> {
    let fields = fields(text).ok_or_else(|| wrong(option, text, "a quote is open"))?;
    if fields.iter().all(|f| !f.is_empty() && !f.contains('=')) {
        let entry = |name: String| CacheEntry { kind: "registry".to_owned(), attrs: [("ref".to_owned(), name)].into() };
        return Ok(fields.into_iter().map(entry).collect());
    }
    let mut entry = CacheEntry::default();
    for field in fields {
        let (key, value) = field.split_once('=').ok_or_else(|| wrong(option, text, "a field has no value"))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "type" => value.clone_into(&mut entry.kind),
            key => drop(entry.attrs.insert(key.to_owned(), value.to_owned())),
        }
    }
    if entry.kind.is_empty() {
        return Err(wrong(option, text, "there is no type"));
    }
    Ok(vec![entry])
}

/// Fields between commas; one in quotes may hold commas, and two quotes in it are one. None when a quote stays open.
fn fields(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    all.push(field);
    (!quoted).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&t| t.to_owned()).collect()
    }

    #[test]
    fn caches_as_buildx_spells_them() {
        let all = exports(&list(&["type=inline", "type=registry,ref=host:5000/a/b:cache,mode=max", "\"type=registry\",\"ref=a,b\"", "c/d"])).unwrap();
        let told: Vec<String> = all.iter().map(|e| format!("{} {:?}", e.kind, e.attrs)).collect();
        assert_eq!(
            told,
            ["inline {}", r#"registry {"mode": "max", "ref": "host:5000/a/b:cache"}"#, r#"registry {"ref": "a,b"}"#, r#"registry {"ref": "c/d"}"#]
        );
        assert_eq!(imports(&list(&["a:1", "b,c", "type=registry,ref=d"])).unwrap(), ["a:1", "b", "c", "d"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, kind) in [
            ("type=local,dest=/x", ErrorKind::Unsupported),
            ("type=gha", ErrorKind::Unsupported),
            ("type=registry", ErrorKind::InvalidInput),
            ("ref=x", ErrorKind::InvalidInput),
            ("type=registry,x", ErrorKind::InvalidInput),
            ("", ErrorKind::InvalidInput),
            ("\"type=inline", ErrorKind::InvalidInput),
        ] {
            assert_eq!(exports(&list(&[text])).unwrap_err().kind(), kind, "{text}");
        }
        assert_eq!(imports(&list(&["type=inline"])).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
