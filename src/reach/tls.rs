//! TLS as a client: whom to trust, and what to say when we do not.
//!
//! rustls with the ring provider, chosen explicitly. The system's certificates take over half a megabyte, so
//! they are read when the first check needs them, and then kept; a `ca_file` is read in every run, so that
//! a renewed one is trusted at once. Sessions are not resumed: every run is a first visit.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::blocking::Blocking;
use super::{described, lowered};

/// The certificates the system trusts, once read.
#[derive(Default)]
pub struct Trust {
    roots: OnceLock<Arc<RootCertStore>>,
    /// Held by whoever reads them, so that many checks that start together read them once.
    reading: Mutex<()>,
}

impl Trust {
    fn read(&self) -> Result<Arc<RootCertStore>, String> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = self.roots.get() {
            return Ok(Arc::clone(roots));
        }
        let roots = Arc::new(from_system()?);
        Ok(Arc::clone(self.roots.get_or_init(|| roots)))
    }
}

/// Reads certificates and makes the client's side of a handshake.
pub struct Tls {
    verify: bool,
    ca_file: Option<PathBuf>,
    trust: Arc<Trust>,
    read: Blocking<Result<Arc<RootCertStore>, String>>,
}

impl Tls {
    /// Trusts those in `ca_file`, or else those in `trust`; with `verify` off anybody.
    pub fn new(verify: bool, ca_file: Option<PathBuf>, trust: Arc<Trust>) -> Self {
        Self { verify, ca_file, trust, read: Blocking::default() }
    }

    /// Whom to trust in this run.
    pub async fn connector(&mut self) -> Result<TlsConnector, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.verify {
            let roots = self.roots().await?;
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| format!("no certificate to trust: {error}"))?
        } else {
            Arc::new(Unverified(Arc::clone(&provider)))
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn roots(&mut self) -> Result<Arc<RootCertStore>, String> {
        if let Some(path) = self.ca_file.clone() {
            return self.read.run(move || from_file(&path).map(Arc::new)).await?;
        }
        if let Some(roots) = self.trust.roots.get() {
            return Ok(Arc::clone(roots));
        }
        let trust = Arc::clone(&self.trust);
        self.read.run(move || trust.read()).await?
    }
}

/// Shakes hands over `stream` with a server that is to be `name`: an address, or a host name without a port.
pub async fn handshake(
    connector: &TlsConnector,
    stream: TcpStream,
    name: &str,
) -> Result<TlsStream<TcpStream>, String> {
    let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let server =
        ServerName::try_from(bare).map_err(|_| format!("'{name}' cannot be the name in a certificate"))?;
    connector.connect(server, stream).await.map_err(|error| refused(&error, name))
}

fn refused(error: &io::Error, name: &str) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "connection closed during the TLS handshake".to_owned(),
            _ => format!("TLS handshake: {}", lowered(error)),
        };
    };
    match inner {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "the certificate is signed by an unknown authority".to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate is not for '{name}'")
            }
            other => format!("the certificate is not accepted: {other}"),
        },
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        other => format!("TLS handshake: {other}"),
    }
}

fn from_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
    Err(format!("cannot read the system's trusted certificates: {why}"))
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let failed = |why: &str| format!("cannot read the certificates in {}: {why}", path.display());
    let mut pem = Vec::new();
    let file = File::open(path).map_err(|error| failed(&described(&error)))?;
    file.take(CA_FILE + 1).read_to_end(&mut pem).map_err(|error| failed(&described(&error)))?;
    if u64::try_from(pem.len()).is_ok_and(|len| len > CA_FILE) {
        return Err(failed("it is larger than 1 MiB"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(&error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(&error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("it has none in PEM form")) } else { Ok(roots) }
}

/// The bound on a `ca_file`.
const CA_FILE: u64 = 1 << 20;

/// Takes any certificate, but still wants the server to have its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    /// A server's side of TLS, as `www.example.org` and 127.0.0.1, with a certificate of the tests' own authority.
    pub(crate) fn acceptor() -> TlsAcceptor {
        let certificate = include_bytes!("../../tests/tls/server.pem");
        let key = include_bytes!("../../tests/tls/server.key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate).unwrap()],
                PrivateKeyDer::from_pem_slice(key).unwrap(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
