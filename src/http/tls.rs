//! TLS by rustls: the provider of its arithmetic, and the server's certificate.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::config::Http;

/// Says what computes for TLS in this process. It must be said before the first client is made; saying it again is nothing.
pub fn provide() {
    drop(ring::default_provider().install_default());
}

/// What makes connections secure, where the configuration names a certificate.
///
/// # Errors
/// A file that does not read, or a key that is not the certificate's.
pub fn acceptor(config: &Http) -> anyhow::Result<Option<TlsAcceptor>> {
    let (certificate, key) = (&config.tls_certificate, &config.tls_key);
    if certificate.as_os_str().is_empty() && key.as_os_str().is_empty() {
        return Ok(None);
    }
    let chain = chain(certificate).with_context(|| format!("http.tls_certificate {}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("http.tls_key {}", key.display()))?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn chain(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "has no certificate");
    Ok(chain)
}
