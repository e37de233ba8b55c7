//! Keys and certificates of one lab, made with the `openssl` program, and the kubeconfigs that use them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::base::{LabError, Tool};

/// Days that a lab's certificates are valid.
const DAYS: &str = "3650";

/// A directory of keys and certificates, filled on demand.
#[derive(Debug, Clone)]
pub struct Pki {
    dir: PathBuf,
}

impl Pki {
    /// Opens `dir`, making the authority and the key that signs service account tokens when they are missing.
    pub fn open(dir: &Path) -> Result<Self, LabError> {
        fs::create_dir_all(dir).map_err(LabError::file(dir))?;
        let pki = Self { dir: dir.to_owned() };
        if !pki.certificate("ca").exists() {
            let mut words = vec!["req", "-x509", "-noenc", "-days", DAYS, "-subj", "/CN=berth-lab"];
            words.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
            words.extend(["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]);
            openssl(&words, &[("-keyout", pki.key("ca")), ("-out", pki.certificate("ca"))])?;
        }
        if !pki.key("service-accounts").exists() {
            let words = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
            openssl(&words, &[("-out", pki.key("service-accounts"))])?;
        }
        Ok(pki)
    }

    /// Path of a certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    /// Path of a private key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// A server certificate for these names, each `DNS:…` or `IP:…`.
    pub fn server(&self, name: &str, names: &[&str]) -> Result<(), LabError> {
        self.issue(name, &format!("/CN={name}"), &format!("subjectAltName={}", names.join(",")), "serverAuth")
    }

    /// A client certificate for a user in a group (empty: none).
    pub fn client(&self, name: &str, user: &str, group: &str) -> Result<(), LabError> {
        let group = if group.is_empty() { String::new() } else { format!("/O={group}") };
        self.issue(name, &format!("{group}/CN={user}"), "keyUsage=digitalSignature", "clientAuth")
    }

    /// Issues a client certificate and writes a kubeconfig with everything inside; returns its path.
    pub fn kubeconfig(&self, name: &str, user: &str, group: &str, server: &str) -> Result<PathBuf, LabError> {
        self.client(name, user, group)?;
        let path = self.dir.join(format!("{name}.kubeconfig"));
        let inline = |file: PathBuf| Tool::new("base64").arg("-w0").arg(file).output();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": {
                "server": server, "certificate-authority-data": inline(self.certificate("ca"))? } }],
            "users": [{ "name": user, "user": {
                "client-certificate-data": inline(self.certificate(name))?,
                "client-key-data": inline(self.key(name))? } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": user } }],
        });
        fs::write(&path, config.to_string()).map_err(LabError::file(&path))?;
        Ok(path)
    }

    fn issue(&self, name: &str, subject: &str, extension: &str, usage: &str) -> Result<(), LabError> {
        if self.certificate(name).exists() {
            return Ok(());
        }
        let usage = format!("extendedKeyUsage={usage}");
        let mut words = vec!["req", "-x509", "-noenc", "-days", DAYS, "-subj", subject];
        words.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        words.extend(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", extension, "-addext", &usage]);
        openssl(
            &words,
            &[
                ("-CA", self.certificate("ca")),
                ("-CAkey", self.key("ca")),
                ("-keyout", self.key(name)),
                ("-out", self.certificate(name)),
            ],
        )
    }
}

fn openssl(words: &[&str], files: &[(&str, PathBuf)]) -> Result<(), LabError> {
    let files = files.iter().flat_map(|(flag, path)| [flag.into(), path.clone().into_os_string()]);
    Tool::new("openssl").args(words).args(files.collect::<Vec<std::ffi::OsString>>()).output().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_signed_by_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        pki.server("kube-apiserver", &["IP:10.77.0.1", "DNS:kubernetes"]).unwrap();
        let config = pki.kubeconfig("admin", "kubernetes-admin", "system:masters", "https://10.77.0.1:6443").unwrap();
        for name in ["kube-apiserver", "admin"] {
            let verify = Tool::new("openssl").args(["verify", "-CAfile"]).arg(pki.certificate("ca"));
            verify.arg(pki.certificate(name)).output().unwrap();
        }
        let text = Tool::new("openssl").args(["x509", "-noout", "-subject", "-in"]).arg(pki.certificate("admin"));
        assert!(text.output().unwrap().contains("O = system:masters"));
        let parsed: serde_json::Value = serde_json::from_str(&fs::read_to_string(config).unwrap()).unwrap();
        assert_eq!(parsed["clusters"][0]["cluster"]["server"], "https://10.77.0.1:6443");
    }
}
