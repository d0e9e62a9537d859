//! Reads the certificate that a server presents, by a TLS handshake that accepts every certificate.
//!
//! No request is sent over the connection.
//! Invariant: the chain was presented by the key's owner, or the handshake failed after the server
//! presented it, for example because it requires a client certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::pki::PresentedChain;

type Chain = Vec<CertificateDer<'static>>;

/// The chain that the server behind a stream presents for this name.
pub(super) async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    limit: Duration,
) -> Result<Chain, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is not a valid host name"))?;
    let (mut config, shown) = PresentedChain::client().map_err(|error| error.to_string())?;
    // As the API server does.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let result = timeout(limit, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let chain = shown.chain();
    match result {
        _ if !chain.is_empty() => Ok(chain),
        Ok(Ok(_)) => Err("the server presents none".to_owned()),
        Ok(Err(error)) => Err(format!("the TLS handshake failed: {error}")),
        Err(_) => Err(format!("the TLS handshake did not finish within {limit:?}")),
    }
}

/// The chain that the server at an address presents.
pub(super) async fn at(host: &str, port: u16, limit: Duration) -> Result<Chain, String> {
    let stream = timeout(limit, TcpStream::connect((host, port))).await;
    let stream = stream.map_err(|_| format!("no connection within {limit:?}"))?;
    over(stream.map_err(|error| error.to_string())?, host, limit).await
}
