//! Certificates, made with openssl.

use std::path::{Path, PathBuf};

use super::output;

/// A certificate authority, with its files in a folder.
pub struct Authority {
    folder: PathBuf,
    pub name: &'static str,
}

impl Authority {
    pub fn new(folder: &Path, name: &'static str) -> Self {
        let at = |end: &str| folder.join(format!("{name}{end}")).display().to_string();
        let args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=ca"];
        output("openssl", &[&args[..], &["-keyout", &at("-key.pem"), "-out", &at(".pem")]].concat(), &[]);
        Self { folder: folder.to_owned(), name }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// Signs a certificate for these names, from one day to another, counted from now.
    pub fn sign(&self, file: &str, names: &str, days: (i64, i64)) {
        let at = |end: &str| self.path(&format!("{file}{end}")).display().to_string();
        let args = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-addext"];
        output("openssl", &[&args[..], &[&format!("subjectAltName={names}"), "-keyout", &at("-key.pem"), "-out", &at(".csr")]].concat(), &[]);
        let time = |days: i64| output("date", &["-u", "-d", &format!("{days} days"), "+%y%m%d%H%M%SZ"], &[]).trim().to_owned();
        let index = self.path("index");
        std::fs::write(&index, "").unwrap();
        std::fs::write(self.path("serial"), format!("{:08x}", rand::random::<u32>() | 0x1000_0000)).unwrap();
        let config = self.path("ca.cnf");
        let text = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={0}/index\nnew_certs_dir={0}\nserial={0}/serial\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\nCN=supplied\n",
            self.folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let (cert, key) = (self.path(&format!("{}.pem", self.name)), self.path(&format!("{}-key.pem", self.name)));
        output(
            "openssl",
            &[
                "ca",
                "-batch",
                "-notext",
                "-config",
                config.to_str().unwrap(),
                "-cert",
                cert.to_str().unwrap(),
                "-keyfile",
                key.to_str().unwrap(),
                "-in",
                &at(".csr"),
                "-out",
                &at(".pem"),
                "-startdate",
                &time(days.0),
                "-enddate",
                &time(days.1),
            ],
            &[],
        );
    }
}
