//! The certificate that a server shows: a TLS handshake that accepts whatever comes, since judging it is the point.
//!
//! Nothing is ever sent over the connection. Invariant: what is given back was shown by whoever holds the key, or the handshake failed
//! after it was shown, as it does where clients need a certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::pki::Shown;

type Chain = Vec<CertificateDer<'static>>;

/// What the server behind a stream shows for this name.
pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, limit: Duration) -> Result<Chain, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name of a server"))?;
    let (mut config, shown) = Shown::client().map_err(|error| error.to_string())?;
    // As the API server does.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let result = timeout(limit, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let chain = shown.chain();
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
