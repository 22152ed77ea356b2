//! A certificate authority for one server: made anew each time, known to nobody else.

use crate::{Failed, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use std::net::Ipv4Addr;

/// Certificates and the server's key, as PEM.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

impl Certificates {
    /// For `localhost` by name, and for the loopback address only where `address` says so.
    pub(crate) fn make(address: bool) -> Result<Self> {
        Self::try_make(address).map_err(|error| Failed::new(format!("no certificates could be made: {error}")))
    }

    fn try_make(address: bool) -> std::result::Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "authority of one test");
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "server of one test");
        if address {
            params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        }
        let key = KeyPair::generate()?;
        let server = params.signed_by(&key, &issuer)?;
        Ok(Self { authority: authority.pem(), server: server.pem(), server_key: key.serialize_pem() })
    }
}
