//! Keys and certificates of one lab, and the kubeconfigs that use them.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use k8s_openapi::ByteString;
use labkit::base::LabError;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::json;

/// The authority of one lab, and the directory with what the control plane reads. Every certificate outlives the lab.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    authority: Issuer<'static, KeyPair>,
    certificate: String,
}

/// Writes a fresh key for logging in by SSH to `path`, and returns its public half as a line of `authorized_keys`.
pub fn ssh_key(path: &Path) -> Result<String, LabError> {
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(LabError::because("a key for SSH"))?;
    write(path, &key.serialize_pem())?;
    // RFC 8709: a word and the key, each behind its length.
    let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20", key.public_key_raw()].concat();
    Ok(format!("ssh-ed25519 {}\n", json!(ByteString(blob)).as_str().unwrap_or_default()))
}

/// A key with its certificate, as PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Pki {
    /// Makes an authority and the key that signs service account tokens, and writes what of them is read from files to
    /// `dir`.
    pub fn create(dir: &Path) -> Result<Self, LabError> {
        std::fs::create_dir_all(dir).map_err(LabError::file(dir))?;
        let make = || -> Result<_, rcgen::Error> {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "berth-lab");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?.pem();
            // The API server takes an elliptic key for signing tokens, but not from the same file for checking them.
            let accounts = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
            Ok((Issuer::new(params, key), certificate, accounts.serialize_pem()))
        };
        let (authority, certificate, accounts) =
            make().map_err(LabError::because("certificate of the lab's authority"))?;
        let pki = Self { dir: dir.to_owned(), authority, certificate };
        write(&pki.certificate("ca"), &pki.certificate)?;
        write(&pki.key("service-accounts"), &accounts)?;
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

    /// Writes a server certificate for these addresses and host names, and its key.
    pub fn server(&self, name: &str, hosts: &[&str]) -> Result<(), LabError> {
        let params = CertificateParams::new(hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>());
        let params = params.map_err(LabError::because(format!("certificate of {name}")))?;
        self.keep(name, &self.issue(params, name, "", ExtendedKeyUsagePurpose::ServerAuth)?)
    }

    /// Writes a client certificate for a user in a group (empty: none), and its key.
    pub fn client(&self, user: &str, group: &str) -> Result<(), LabError> {
        self.keep(user, &self.issue_client(user, group)?)
    }

    /// A kubeconfig for a user in a group (empty: none), with a fresh client certificate and everything else inside.
    pub fn kubeconfig(&self, user: &str, group: &str, server: &str) -> Result<String, LabError> {
        let Identity { certificate, key } = self.issue_client(user, group)?;
        let inline = |pem: &str| ByteString(pem.as_bytes().to_vec());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": {
                "server": server, "certificate-authority-data": inline(&self.certificate) } }],
            "users": [{ "name": user, "user": {
                "client-certificate-data": inline(&certificate), "client-key-data": inline(&key) } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": user } }],
        });
        Ok(config.to_string())
    }

    /// The same as the file `NAME.kubeconfig`; returns its path.
    pub fn kubeconfig_file(&self, name: &str, user: &str, group: &str, server: &str) -> Result<PathBuf, LabError> {
        let path = self.dir.join(format!("{name}.kubeconfig"));
        write(&path, &self.kubeconfig(user, group, server)?)?;
        Ok(path)
    }

    fn issue_client(&self, user: &str, group: &str) -> Result<Identity, LabError> {
        self.issue(CertificateParams::default(), user, group, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        name: &str,
        group: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, LabError> {
        params.distinguished_name.push(DnType::CommonName, name);
        if !group.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let make = || -> Result<_, rcgen::Error> {
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &self.authority)?.pem();
            Ok(Identity { certificate, key: key.serialize_pem() })
        };
        make().map_err(LabError::because(format!("certificate of {name}")))
    }

    fn keep(&self, name: &str, identity: &Identity) -> Result<(), LabError> {
        write(&self.certificate(name), &identity.certificate)?;
        write(&self.key(name), &identity.key)
    }
}

/// Writes a file that its owner alone may read.
fn write(path: &Path, text: &str) -> Result<(), LabError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(LabError::file(path))
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use kube::config::Kubeconfig;
    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::WebPkiClientVerifier,
    };

    use super::*;

    /// Whether TLS peers that know the lab's authority take a certificate for that of a server called `name`, and of a client.
    fn taken(pki: &Pki, certificate: &CertificateDer<'_>, name: &'static str) -> (bool, bool) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.certificate("ca")).unwrap()).unwrap();
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build().unwrap();
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
        let (name, now) = (ServerName::try_from(name).unwrap(), UnixTime::now());
        (
            server.verify_server_cert(certificate, &[], &name, &[], now).is_ok(),
            client.verify_client_cert(certificate, &[], now).is_ok(),
        )
    }

    #[test]
    fn a_server_is_known_by_its_addresses_and_names_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path()).unwrap();
        pki.server("kube-apiserver", &["10.77.0.1", "kubernetes"]).unwrap();
        let der = CertificateDer::from_pem_file(pki.certificate("kube-apiserver")).unwrap();
        for (name, serves) in [("10.77.0.1", true), ("kubernetes", true), ("10.77.0.2", false)] {
            assert_eq!(taken(&pki, &der, name), (serves, false), "{name}");
        }
        let other = Pki::create(&dir.path().join("other")).unwrap();
        assert_eq!(taken(&other, &der, "10.77.0.1"), (false, false), "another lab's authority must not do");
    }

    #[test]
    fn a_kubeconfig_holds_a_certificate_of_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path()).unwrap();
        let url = "https://10.77.0.1:6443";
        let path = pki.kubeconfig_file("admin", "kubernetes-admin", "system:masters", url).unwrap();
        let config = Kubeconfig::read_from(path).unwrap();
        assert_eq!(config.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some(url));
        let user = config.auth_infos[0].auth_info.clone().unwrap();
        let ByteString(pem) = serde_json::from_value(json!(user.client_certificate_data)).unwrap();
        let der = CertificateDer::from_pem_slice(&pem).unwrap();
        assert_eq!(taken(&pki, &der, "kubernetes-admin"), (false, true));
        for words in ["kubernetes-admin", "system:masters"] {
            assert!(der.windows(words.len()).any(|part| part == words.as_bytes()), "{words}");
        }
    }

    #[test]
    fn tokens_are_signed_by_an_rsa_key_that_others_may_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = Pki::create(dir.path()).unwrap().key("service-accounts");
        let key = fs::read_to_string(&path).unwrap();
        assert_eq!(KeyPair::from_pem(&key).unwrap().algorithm(), &PKCS_RSA_SHA256);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
