//! Records the certificate chain that a TLS server presents, without judging it.
//!
//! Only for clients that send nothing secret.
//! Invariant: [`PresentedChain::proven_leaf`] returns a certificate only if the server has proved
//! to have its key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::provider;

/// A certificate verifier that accepts and records every chain.
#[derive(Debug)]
pub struct PresentedChain {
    chain: Mutex<Vec<CertificateDer<'static>>>,
    is_proven: AtomicBool,
    provider: Arc<CryptoProvider>,
}

impl PresentedChain {
    /// The configuration of a client without a certificate, and the recorder of the chain it is
    /// presented.
    pub fn client() -> Result<(ClientConfig, Arc<Self>), Error> {
        let presented =
            Arc::new(Self { chain: Mutex::default(), is_proven: AtomicBool::new(false), provider: provider() });
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&presented) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok((config, presented))
    }

    /// The chain, leaf first; empty if none was presented.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The leaf, if the server has proved to have its key.
    pub fn proven_leaf(&self) -> Option<CertificateDer<'static>> {
        self.is_proven.load(Ordering::Relaxed).then(|| self.chain().into_iter().next()).flatten()
    }

    fn record_proof(&self, valid: HandshakeSignatureValid) -> HandshakeSignatureValid {
        self.is_proven.store(true, Ordering::Relaxed);
        valid
    }
}

impl ServerCertVerifier for PresentedChain {
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
            .map(|valid| self.record_proof(valid))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
            .map(|valid| self.record_proof(valid))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
