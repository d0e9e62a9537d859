//! A call to ourselves: the last check before readiness, that what clients will reach is us, with our certificate.
//!
//! Any answer counts, an alert too: under a client CA we refuse ourselves, but not before we have shown our certificate. It is
//! neither logged nor counted as a request.
//! Invariant: only the very certificate that we serve is accepted, so this client can be fooled by nobody else on the port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pki::provider;

/// Something that the server answers without a look at any pod.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Calls the server that listens on `address` and expects it to have the certificate `leaf`.
pub async fn self_call(address: SocketAddr, leaf: CertificateDer<'static>) -> io::Result<()> {
    let verifier = Arc::new(OurCertificate { leaf, is_proven: AtomicBool::new(false), provider: provider() });
    match call(address, Arc::clone(&verifier)).await {
        Err(error) if is_alert(&error) && verifier.is_proven.load(Ordering::Relaxed) => Ok(()),
        result => result,
    }
}

async fn call(address: SocketAddr, verifier: Arc<OurCertificate>) -> io::Result<()> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let address = reachable(address);
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    stream.read_u8().await.map(drop)
}

/// Whether the other side has told us, by TLS, that it does not want us.
fn is_alert(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    matches!(cause, Some(Error::AlertReceived(_)))
}

/// One cannot call "any address".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Accepts one certificate, by its bytes.
#[derive(Debug)]
struct OurCertificate {
    leaf: CertificateDer<'static>,
    /// Whether the other side has its key.
    is_proven: AtomicBool,
    provider: Arc<CryptoProvider>,
}

impl OurCertificate {
    fn proven(&self, valid: HandshakeSignatureValid) -> HandshakeSignatureValid {
        self.is_proven.store(true, Ordering::Relaxed);
        valid
    }
}

impl ServerCertVerifier for OurCertificate {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *leaf == self.leaf {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
            .map(|valid| self.proven(valid))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
            .map(|valid| self.proven(valid))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
