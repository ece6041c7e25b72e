//! Certificates that live as long as one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::{Error, Result};

/// A certificate with its key, both as PEM text.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// An authority of its own, the certificate of a server on loopback, and one for a client.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) server: Identity,
    pub(crate) client: Identity,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self> {
        Self::try_make().map_err(|error| Error::new(format!("cannot make certificates: {error}")))
    }

    fn try_make() -> std::result::Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "bowline test authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let issue = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
            Ok::<_, rcgen::Error>(Identity {
                certificate: certificate.pem(),
                key: key.serialize_pem(),
            })
        };
        Ok(Self {
            server: issue(&["localhost", "127.0.0.1"])?,
            client: issue(&["client"])?,
            ca: authority.pem(),
        })
    }

    /// The side of a server in this process.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor> {
        let failed = |error: &dyn std::fmt::Display| Error::new(format!("no TLS: {error}"));
        let certificate = CertificateDer::from_pem_slice(self.server.certificate.as_bytes())
            .map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::from_pem_slice(self.server.key.as_bytes())
            .map_err(|error| failed(&error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate], key)
            })
            .map_err(|error| failed(&error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Writes what a server needs into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<Files> {
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
            Ok(path)
        };
        Ok(Files {
            ca: put("ca.pem", &self.ca)?,
            certificate: put("server.pem", &self.server.certificate)?,
            key: put("server.key", &self.server.key)?,
        })
    }
}

/// Where the certificates of a server lie.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}
