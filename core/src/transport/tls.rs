//! A TCP port with TLS: the engine's certificate is checked against a given CA, and ours may be shown.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio_rustls::TlsConnector;

use super::{Connector, Io, tcp};
use crate::{
    call::{BoxFuture, options},
    error::{Error, ErrorKind, Result},
    secret::Secret,
};

options! {
    /// How to speak TLS with an engine. Each part is given as a file or as PEM text.
    pub struct TlsOptions {
        /// File with the certificates of the CA that signed the engine's.
        pub ca_file: Option<PathBuf>,
        /// File with the client's certificate.
        pub cert_file: Option<PathBuf>,
        /// File with the client's key.
        pub key_file: Option<PathBuf>,
        /// PEM text with the CA's certificates.
        pub ca: Option<String>,
        /// PEM text with the client's certificate.
        pub cert: Option<String>,
        /// PEM text with the client's key.
        pub key: Option<Secret>,
        /// The name that the engine's certificate must bear, if not the host's.
        pub server_name: Option<String>,
    }
}

impl TlsOptions {
    /// The options for a folder with `ca.pem`, `cert.pem` and `key.pem`, as `DOCKER_CERT_PATH` names one.
    #[must_use]
    pub fn from_folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { ca_file: Some(folder.join("ca.pem")), cert_file: Some(folder.join("cert.pem")), key_file: Some(folder.join("key.pem")), ..Self::default() }
    }

    /// The options for those of these files that a folder has; none when it has none of them.
    pub(crate) fn found_in(folder: &Path) -> Option<Self> {
        let there = |name: &str| Some(folder.join(name)).filter(|p| p.exists());
        let found = Self { ca_file: there("ca.pem"), cert_file: there("cert.pem"), key_file: there("key.pem"), ..Self::default() };
        (found.ca_file.is_some() || found.cert_file.is_some() || found.key_file.is_some()).then_some(found)
    }

    /// What is given, as PEM texts by the names of docker's files.
    pub(crate) fn parts(&self) -> Result<Vec<(&'static str, Secret)>> {
        let all = [
            ("ca.pem", pem(self.ca.as_deref(), self.ca_file.as_ref())?),
            ("cert.pem", pem(self.cert.as_deref(), self.cert_file.as_ref())?),
            ("key.pem", pem(self.key.as_ref().map(Secret::reveal), self.key_file.as_ref())?),
        ];
        Ok(all.into_iter().filter_map(|(name, text)| Some((name, text?.into()))).collect())
    }
}

pub(super) struct Tls {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({}:{})", self.host, self.port)
    }
}

impl Tls {
    pub(super) fn new(host: &str, port: u16, options: &TlsOptions) -> Result<Self> {
        let bad = |what: &str, e: &dyn std::fmt::Display| Error::invalid(format!("{what}: {e}")).hint("give PEM files as docker's TLS set-up makes them");
        let ca =
            pem(options.ca.as_deref(), options.ca_file.as_ref())?.ok_or_else(|| Error::invalid("TLS needs the CA's certificate").hint("give ca_file or ca"))?;
        let mut roots = rustls::RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(cert.map_err(|e| bad("CA certificate", &e))?).map_err(|e| bad("CA certificate", &e))?;
        }
        if roots.is_empty() {
            return Err(bad("CA certificate", &"there is none in it"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| bad("TLS", &e))?
            .with_root_certificates(roots);
        let cert = pem(options.cert.as_deref(), options.cert_file.as_ref())?;
        let key = pem(options.key.as_ref().map(Secret::reveal), options.key_file.as_ref())?;
        let config = match (cert, key) {
            (Some(cert), Some(key)) => {
                let chain: Vec<_> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<_, _>>().map_err(|e| bad("client certificate", &e))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|_| Error::invalid("the client's key cannot be read").hint("give an unencrypted PEM key"))?;
                builder.with_client_auth_cert(chain, key).map_err(|e| bad("client certificate and key", &e))?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(Error::invalid("a client certificate needs its key, and a key its certificate").hint("give both, or neither")),
        };
        let name = options.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|e| bad("host name", &e))?;
        Ok(Self { host: host.to_owned(), port, name, config: Arc::new(config) })
    }
}

fn pem(text: Option<&str>, file: Option<&PathBuf>) -> Result<Option<String>> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.to_owned())),
        (None, Some(file)) => std::fs::read_to_string(file).map(Some).map_err(|e| Error::file(file, e).hint("give the path of a PEM file")),
        (None, None) => Ok(None),
    }
}

/// The error of an engine that refused our certificate, or that we showed none. Engines say so only when they are first
/// spoken to.
pub(crate) fn refused(e: &(dyn std::error::Error + 'static)) -> Option<Error> {
    use rustls::AlertDescription as Alert;
    let mut cause = Some(e);
    while let Some(c) = cause {
        let inner = c.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref).map(|e| e as &(dyn std::error::Error + 'static));
        let found = c.downcast_ref::<rustls::Error>().or_else(|| inner.and_then(|e| e.downcast_ref::<rustls::Error>()));
        if let Some(rustls::Error::AlertReceived(alert)) = found {
            let ours = matches!(
                alert,
                Alert::CertificateRequired
                    | Alert::BadCertificate
                    | Alert::CertificateUnknown
                    | Alert::CertificateExpired
                    | Alert::CertificateRevoked
                    | Alert::UnsupportedCertificate
                    | Alert::UnknownCA
                    | Alert::AccessDenied
                    | Alert::DecryptError
                    | Alert::HandshakeFailure
            );
            return ours.then(|| {
                Error::new(ErrorKind::Unauthorized, format!("the engine does not take this client certificate: {alert:?}"))
                    .hint("give a certificate and key that the engine's CA signed")
            });
        }
        cause = c.source();
    }
    None
}

impl Connector for Tls {
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>> {
        let (host, port, name, config) = (self.host.clone(), self.port, self.name.clone(), self.config.clone());
        Box::pin(async move {
            let stream = super::seated(tcp::dial(&host, port).await?);
            let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| {
                if let Some(refused) = refused(&e) {
                    return refused.with("endpoint", format!("tcp://{host}:{port}"));
                }
                let untrusted = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).is_some_and(|e| matches!(e, rustls::Error::InvalidCertificate(_)));
                let kind = if untrusted { ErrorKind::Untrusted } else { ErrorKind::Unreachable };
                Error::new(kind, format!("TLS with {host}:{port} failed: {e}"))
                    .hint(if untrusted {
                        "check the CA and the name in the engine's certificate"
                    } else {
                        "check that the port speaks TLS and takes this client certificate"
                    })
                    .with("endpoint", format!("tcp://{host}:{port}"))
                    .source(e)
            })?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}
