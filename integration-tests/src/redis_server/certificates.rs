//! Certificates for a server and its clients.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// An authority of a server's own, and what it has signed, as PEM files. That of another server is
/// a stranger here.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in a folder: for a server at 127.0.0.1, which is `localhost` too, and a client.
    pub(super) fn make(folder: &Path) -> Self {
        let certificates = Certificates { folder: folder.to_owned() };
        certificates.write().expect("keys are made, and a temporary folder takes files");
        certificates
    }

    /// The authority, which clients are to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The certificate of a client.
    #[must_use]
    pub fn client(&self) -> PathBuf {
        self.folder.join("client.pem")
    }

    /// Its key.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }

    /// What `redis.conf` is to say of them. Clients are not asked for theirs; a later
    /// `tls-auth-clients optional`, or `yes`, changes that.
    pub(super) fn config(folder: &Path) -> String {
        let folder = folder.display();
        format!(
            "tls-cert-file {folder}/server.pem\n\
             tls-key-file {folder}/server.key\n\
             tls-ca-cert-file {folder}/authority.pem\n\
             tls-auth-clients no\n"
        )
    }

    fn write(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut authority = named("authority of a test", &[])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        std::fs::write(self.authority(), authority.pem())?;
        for (name, hosts) in [("server", &["127.0.0.1", "localhost"][..]), ("client", &[])] {
            let key = KeyPair::generate()?;
            let certificate = named(name, hosts)?.signed_by(&key, &authority)?;
            std::fs::write(self.folder.join(format!("{name}.pem")), certificate.pem())?;
            std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(())
    }
}

fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let hosts: Vec<String> = hosts.iter().map(|it| (*it).to_owned()).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
