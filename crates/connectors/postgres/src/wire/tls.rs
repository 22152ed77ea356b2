//! TLS by rustls with ring: whom a certificate must be from, and for.

use super::error::WireError;
use crate::settings::Roots;
use std::path::Path;
use std::sync::Arc;
use tidewater_core::env::read_text_max;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// A file of authorities is short; the public ones together take about 200 kB.
const ROOTS_BYTES_MAX: u64 = 4 << 20;

/// How much of a certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing.
    Anybody,
    /// Who signed it, but not for whom.
    AnyName,
    /// Who signed it, and for whom.
    Verified,
}

/// Encrypts a connection.
pub(super) async fn handshake(
    tcp: TcpStream,
    host: &str,
    trust: Trust,
    roots: &Roots,
) -> Result<TlsStream<TcpStream>, WireError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| WireError::Tls(format!("{host} is not a name that a certificate can be for")))?;
    let connector = TlsConnector::from(Arc::new(config(trust, roots)?));
    connector.connect(name, tcp).await.map_err(|error| {
        // Where TLS itself failed, rustls wraps its own error.
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<Error>());
        if is_tls { WireError::Tls(error.to_string()) } else { WireError::io("the TLS handshake")(error) }
    })
}

fn config(trust: Trust, roots: &Roots) -> Result<ClientConfig, WireError> {
    let provider = Arc::new(ring::default_provider());
    let failed = |error: &dyn std::fmt::Display| WireError::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
    if trust == Trust::Verified {
        return Ok(builder.with_root_certificates(store(roots)?).with_no_client_auth());
    }
    let chain = if trust == Trust::AnyName {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store(roots)?), provider.clone()).build();
        Some(verifier.map_err(|error| failed(&error))?)
    } else {
        None
    };
    let verifier = Arc::new(Lenient { chain, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn store(roots: &Roots) -> Result<RootCertStore, WireError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Public => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::File(path) => read(path, &mut store).map_err(|why| {
            let shown = path.display();
            WireError::Tls(format!("the authorities in {shown} (sslrootcert) cannot be used: {why}"))
        })?,
    }
    Ok(store)
}

fn read(path: &Path, store: &mut RootCertStore) -> Result<(), String> {
    let text = read_text_max(path, ROOTS_BYTES_MAX).map_err(|error| error.to_string())?;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(()) }
}

/// Verifies less than it could: where `chain` is there, who signed; otherwise nothing but that the other side has the
/// key of the certificate that it shows.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last, after who signed.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
