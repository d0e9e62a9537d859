//! The certificate that a server shows: a TLS handshake that accepts whatever comes, since judging it is the point.
//!
//! Nothing is ever sent over the connection. Invariant: what is given back was shown by whoever holds the key, or the handshake failed
//! after it was shown, as it does where clients need a certificate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::pki::provider;

type Chain = Vec<CertificateDer<'static>>;

/// What the server behind a stream shows for this name.
pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, limit: Duration) -> Result<Chain, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name of a server"))?;
    let seen = Arc::new(Shown { chain: Mutex::default(), provider: provider() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    // As the API server does.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let result = timeout(limit, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let chain = seen.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match result {
        _ if !chain.is_empty() => Ok(chain),
        Ok(Ok(_)) => Err("it shows none".to_owned()),
        Ok(Err(error)) => Err(format!("the TLS handshake failed: {error}")),
        Err(_) => Err(format!("the TLS handshake was not over within {limit:?}")),
    }
}

/// What the server at an address shows.
pub async fn at(host: &str, port: u16, limit: Duration) -> Result<Chain, String> {
    let stream = timeout(limit, TcpStream::connect((host, port))).await;
    let stream = stream.map_err(|_| format!("no connection within {limit:?}"))?;
    over(stream.map_err(|error| error.to_string())?, host, limit).await
}

/// Keeps what it is shown.
#[derive(Debug)]
struct Shown {
    chain: Mutex<Chain>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
