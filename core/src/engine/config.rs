//! docker's own configuration, `config.json`: logins of registries, headers of requests, proxies.
//!
//! It is looked up when it is needed, so that what `docker login` writes counts at once. The format is that of the docker CLI.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, time::Duration};

use base64::Engine as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::RegistryAuth;
use crate::{
    error::{Error, ErrorKind, Result},
    host::{home, variable},
};

/// What Docker Hub is called in the configuration and by helpers.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a credential helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(30);
/// How much it may say.
const HELPER_OUTPUT: u64 = 64 << 10;

/// `DOCKER_CONFIG`, else `~/.docker`.
pub(crate) fn folder() -> PathBuf {
    variable("DOCKER_CONFIG").map_or_else(|| home().join(".docker"), PathBuf::from)
}

/// The configuration of the user, empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config(Value);

impl Config {
    pub(crate) fn read() -> Result<Self> {
        let file = folder().join("config.json");
        match std::fs::read_to_string(&file) {
            Err(_) => Ok(Self::default()),
            // The text may hold logins: the message names the place only.
            Ok(text) => serde_json::from_str(&text).map(Self).map_err(|e| {
                Error::invalid(format!("{} is not JSON, at line {}, column {}", file.display(), e.line(), e.column()))
                    .hint("mend or remove the file")
                    .with("path", file.display().to_string())
            }),
        }
    }

    pub(crate) fn current_context(&self) -> Option<&str> {
        self.0.get("currentContext").and_then(Value::as_str).filter(|n| !n.is_empty())
    }

    /// The same with another current context; none is the default one.
    pub(crate) fn with_context(self, name: Option<&str>) -> Value {
        let mut raw = match self.0 {
            Value::Object(map) => map,
            _ => serde_json::Map::new(),
        };
        match name {
            Some(name) => raw.insert("currentContext".to_owned(), name.into()),
            None => raw.remove("currentContext"),
        };
        Value::Object(raw)
    }

    /// Headers that every request carries.
    pub(crate) fn headers(&self) -> BTreeMap<String, String> {
        let map = self.0.get("HttpHeaders").and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }

    /// The variables of proxies that containers and builds of the engine at `endpoint` get, in both writings.
    pub(crate) fn proxies(&self, endpoint: &str) -> BTreeMap<String, String> {
        let all = self.0.get("proxies");
        let Some(own) = all.and_then(|p| p.get(endpoint).or_else(|| p.get("default"))) else { return BTreeMap::new() };
        let names = [("httpProxy", "HTTP_PROXY"), ("httpsProxy", "HTTPS_PROXY"), ("ftpProxy", "FTP_PROXY"), ("noProxy", "NO_PROXY"), ("allProxy", "ALL_PROXY")];
        let said = names.iter().filter_map(|(key, name)| Some((*name, own.get(key)?.as_str()?)));
        said.flat_map(|(name, value)| [(name.to_owned(), value.to_owned()), (name.to_lowercase(), value.to_owned())]).collect()
    }

    /// The login for the registry of an image, where there is one.
    pub(crate) async fn login_for(&self, image: &str) -> Result<Option<RegistryAuth>> {
        let registry = registry_of(image);
        let helper = self.0.pointer("/credHelpers").and_then(|h| h.get(&registry)).or_else(|| self.0.get("credsStore")).and_then(Value::as_str);
        if let Some(helper) = helper.filter(|h| !h.is_empty())
            && let Some(found) = ask(helper, &registry).await?
        {
            return Ok(Some(found));
        }
        Ok(self.stored(&registry))
    }

    /// The logins that stand in the file itself, by registry.
    fn stored(&self, registry: &str) -> Option<RegistryAuth> {
        let all = self.0.get("auths")?.as_object()?;
        let (_, entry) = all.iter().find(|(name, _)| *name == registry || host_of(name) == host_of(registry))?;
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let mut auth = RegistryAuth::default().server(registry);
        if let Some(token) = text("identitytoken") {
            auth = auth.identity_token(token);
        }
        let both = text("auth").and_then(|a| base64::engine::general_purpose::STANDARD.decode(a).ok()).and_then(|b| String::from_utf8(b).ok());
        if let Some((user, password)) = both.as_deref().and_then(|b| b.split_once(':')) {
            auth = auth.username(user).password(password.trim_end_matches('\0'));
        } else if let (Some(user), Some(password)) = (text("username"), text("password")) {
            auth = auth.username(user).password(password);
        } else if auth.identity_token.is_none() {
            return None;
        }
        Some(auth)
    }

    /// The logins of all registries that stand in the file, as builds send them.
    pub(crate) fn all_logins(&self) -> BTreeMap<String, RegistryAuth> {
        let names = self.0.get("auths").and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
        names.filter_map(|name| Some((name.clone(), self.stored(name)?))).collect()
    }
}

impl super::Engine {
    /// The variables of proxies that containers and builds of this engine get.
    pub(crate) fn proxies(&self) -> Result<BTreeMap<String, String>> {
        Ok(Config::read()?.proxies(self.client.endpoint()))
    }
}

/// The registry that an image's name means, as the configuration writes it.
fn registry_of(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if (host.contains(['.', ':']) || host == "localhost") && !["docker.io", "index.docker.io"].contains(&host) => host.to_owned(),
        _ => HUB.to_owned(),
    }
}

/// A registry without scheme and path.
fn host_of(name: &str) -> &str {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Asks a credential helper, a program of the docker CLI's form, for a login. It gets the registry's name on its standard
/// input and answers with JSON; what else it does is bounded.
async fn ask(helper: &str, registry: &str) -> Result<Option<RegistryAuth>> {
    let name = format!("docker-credential-{helper}");
    let wrong = |why: &str| {
        Error::new(ErrorKind::CommandFailed, format!("the credential helper {} {why}", crate::error::escape(&name)))
            .hint("run it by hand, or give the login with the call")
            .with("registry", registry)
    };
    if !helper.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(wrong("has a name that no program has"));
    }
    let folders = variable("PATH").unwrap_or_default();
    let program = std::env::split_paths(&folders).filter(|f| f.is_absolute()).map(|f| f.join(&name)).find(|f| f.is_file());
    let program = program.ok_or_else(|| wrong("is not in PATH"))?;
    let work = async {
        #[expect(clippy::disallowed_methods, reason = "credential helpers are programs by their nature")]
        let mut command = tokio::process::Command::new(&program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| wrong(&format!("cannot be started: {e}")))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read its input may still answer.
            stdin.write_all(registry.as_bytes()).await.ok();
        }
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(HELPER_OUTPUT + 1).read_to_end(&mut output).await.map_err(|e| wrong(&format!("cannot be read: {e}")))?;
        }
        if output.len() as u64 > HELPER_OUTPUT {
            return Err(wrong("says too much"));
        }
        let status = child.wait().await.map_err(|e| wrong(&format!("cannot be waited for: {e}")))?;
        Ok((status.success(), output))
    };
    let (good, output) = tokio::time::timeout(HELPER_LIMIT, work)
        .await
        .map_err(|_| wrong(&format!("did not answer within {}", crate::units::go_duration(HELPER_LIMIT))).retryable())??;
    if !good {
        let said = String::from_utf8_lossy(&output);
        return if said.contains("credentials not found") { Ok(None) } else { Err(wrong("failed")) };
    }
    let answer: Value = serde_json::from_slice(&output).map_err(|_| wrong("did not answer with JSON"))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let auth = RegistryAuth::default().server(registry);
    Ok(Some(match text("Username") {
        "" => return Ok(None),
        "<token>" => auth.identity_token(text("Secret")),
        user => auth.username(user).password(text("Secret")),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logins_are_found_by_the_registry_of_an_image() {
        let auth = base64::engine::general_purpose::STANDARD.encode("me:a:b");
        let config = Config(
            json!({"auths": {"https://index.docker.io/v1/": {"auth": auth}, "https://old.test/v1/": {"auth": auth}, "r.test:5000": {"identitytoken": "t"},
            "empty.test": {}}}),
        );
        let found = |image: &str| config.stored(&registry_of(image)).map(|a| (a.username.clone(), a.password.reveal().to_owned()));
        let me = Some(("me".to_owned(), "a:b".to_owned()));
        for image in ["busybox", "library/busybox:1", "docker.io/me/x", "old.test/x"] {
            assert_eq!(found(image), me, "{image}");
        }
        assert_eq!(config.stored(&registry_of("r.test:5000/x")).unwrap().identity_token.unwrap().reveal(), "t");
        for image in ["r.test/x", "test/r.test:5000", "empty.test/x", "evil-old.test/x"] {
            assert!(image == "test/r.test:5000" || found(image).is_none(), "{image}");
        }
    }

    #[test]
    fn proxies_are_those_of_the_engine_else_the_default_ones() {
        let config = Config(json!({"proxies": {"default": {"httpProxy": "p:1"}, "tcp://h:2375": {"noProxy": "x"}}}));
        assert_eq!(config.proxies("unix:///s")["http_proxy"], "p:1");
        assert_eq!(config.proxies("tcp://h:2375").into_keys().collect::<Vec<_>>(), ["NO_PROXY", "no_proxy"]);
        assert!(Config::default().proxies("unix:///s").is_empty());
    }
}
