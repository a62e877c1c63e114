//! What TLS needs from files.

use std::path::Path;

use redis::{ClientTlsConfig, ConnectionAddr, TlsCertificates};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::ConnectError;
use crate::RedisConfig;

/// How to speak TLS: whom to trust, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// The client gives its type of parameters no name, so they are kept inside an address.
    template: ConnectionAddr,
}

impl Tls {
    /// Reads the certificates and the key that the configuration names, once. The system's roots are
    /// trusted if it names none.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub(crate) fn load(config: &RedisConfig) -> Result<Self, ConnectError> {
        // Rustls cannot tell by itself which implementation to use if the program has several.
        if CryptoProvider::get_default().is_none() {
            // An error means that another thread was first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let roots = config.tls_ca.as_deref().map(roots).transpose()?;
        let client = match (config.tls_cert.as_deref(), config.tls_key.as_deref()) {
            (Some(cert), Some(key)) => Some(client(cert, key)?),
            _ => None,
        };
        let certificates = TlsCertificates { client_tls: client, root_cert: roots };
        let made = redis::Client::build_with_tls("rediss://localhost", certificates)
            .map_err(|error| ConnectError::hopeless(format!("cannot use TLS: {error}")))?;
        Ok(Tls { template: made.get_connection_info().addr().clone() })
    }

    /// The address of another server that is spoken with in the same way.
    pub(crate) fn address(&self, to_host: &str, to_port: u16) -> ConnectionAddr {
        let mut address = self.template.clone();
        if let ConnectionAddr::TcpTls { host, port, .. } = &mut address {
            *host = to_host.to_owned();
            *port = to_port;
        }
        address
    }
}

fn roots(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let pem = read("tls_ca", path)?;
    let mut store = RootCertStore::empty();
    for certificate in certificates("tls_ca", path, &pem)? {
        store.add(certificate).map_err(|error| unusable("tls_ca", path, &error.to_string()))?;
    }
    Ok(pem)
}

fn client(cert_path: &Path, key_path: &Path) -> Result<ClientTlsConfig, ConnectError> {
    let (cert, key) = (read("tls_cert", cert_path)?, read("tls_key", key_path)?);
    let chain = certificates("tls_cert", cert_path, &cert)?;
    let parsed = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        unusable(
            "tls_key",
            key_path,
            "there is no private key in it, as PEM and without passphrase",
        )
    })?;
    rustls::ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, parsed)
        .map_err(|error| {
            unusable("tls_key", key_path, &format!("it does not go with redis.tls_cert: {error}"))
        })?;
    Ok(ClientTlsConfig { client_cert: cert, client_key: key })
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|error| unusable(setting, path, &error.to_string()))
}

fn certificates(
    setting: &str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(setting, path, &error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(setting, path, "there is no certificate in it, as PEM"));
    }
    Ok(found)
}

fn unusable(setting: &str, path: &Path, why: &str) -> ConnectError {
    ConnectError::hopeless(format!("cannot use redis.{setting}, {}: {why}", path.display()))
}
