//! What is read from certificates (RFC 5280): the hash that `kubeadm` pins an authority by, and how
//! long a certificate holds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a PEM text (RFC 7468), each as DER.
///
/// # Errors
/// There is none, or one is damaged.
pub fn from_pem(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for part in text.split(BEGIN).skip(1) {
        let (body, _) = part.split_once(END).ok_or("a certificate in PEM that does not end")?;
        let body: String = body.split_whitespace().collect();
        found.push(STANDARD.decode(body).map_err(|error| format!("a certificate in PEM: {error}"))?);
    }
    if found.is_empty() { Err("no certificate in PEM".to_owned()) } else { Ok(found) }
}

/// `sha256:HEX` of the public key (SubjectPublicKeyInfo) of a certificate, as `kubeadm token create
/// --print-join-command` prints it.
///
/// # Errors
/// It is no certificate.
pub fn pin(der: &[u8]) -> Result<String, String> {
    let certificate = parse(der)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let key = key.to_der().map_err(|error| format!("a certificate's key: {error}"))?;
    let hex: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

/// Certificates in PEM (RFC 7468).
pub fn to_pem(all: &[Vec<u8>]) -> String {
    let one = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    };
    all.iter().map(one).collect()
}

/// Whom a certificate is about: the common name of its subject, if it has one.
///
/// # Errors
/// It is no certificate.
pub fn common_name(der: &[u8]) -> Result<Option<String>, String> {
    let certificate = parse(der)?;
    let name = certificate.tbs_certificate().subject().common_name();
    let name = name.map_err(|error| format!("a certificate's subject: {error}"))?;
    Ok(name.map(|name| name.value().into_owned()))
}

/// The names and addresses that a server's certificate is for (`subjectAltName`), as text.
///
/// # Errors
/// It is no certificate.
pub fn names(der: &[u8]) -> Result<BTreeSet<String>, String> {
    let certificate = parse(der)?;
    let all = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let all = all.map_err(|error| format!("a certificate's names: {error}"))?;
    let text = |name: GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|own| IpAddr::from(own).to_string()),
        },
        _ => None,
    };
    Ok(all.into_iter().flat_map(|(_, all)| all.0).filter_map(text).collect())
}

/// Nobody has signed a certificate but who shows it.
///
/// # Errors
/// It is no certificate.
pub fn is_self_signed(der: &[u8]) -> Result<bool, String> {
    let certificate = parse(der)?;
    let own = certificate.tbs_certificate();
    Ok(own.issuer() == own.subject())
}

/// When a certificate begins to hold and when it ends.
///
/// # Errors
/// It is no certificate.
pub fn validity(der: &[u8]) -> Result<(SystemTime, SystemTime), String> {
    let certificate = parse(der)?;
    let validity = certificate.tbs_certificate().validity();
    Ok((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
}

/// When a certificate is to be replaced: at a point in 70 to 90 % of its life, which `share`, from 0 to 1, chooses; in what is
/// left of it when all of that has passed, as it has at once in a short life that was dated back.
pub fn rotation((from, until): (SystemTime, SystemTime), now: SystemTime, share: f64) -> SystemTime {
    let after = |from: SystemTime, share: f64| {
        from + until.duration_since(from).unwrap_or_default().mul_f64(0.7 + 0.2 * share.clamp(0.0, 1.0))
    };
    if after(from, 1.0) > now { after(from, share).max(now) } else { after(now, share) }
}

/// From 0 to 1, another for each certificate, and the same whenever one is looked at.
pub fn share(der: &[u8]) -> f64 {
    let hash = Sha256::digest(der);
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX)
}

/// A number from 0 to 1 that is another each time.
pub fn random() -> f64 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    f64::from(nanoseconds ^ std::process::id().rotate_left(16) & 0x3fff_ffff) / f64::from(1 << 30)
}

/// How long until a moment; nothing once it has passed.
pub fn until(moment: SystemTime) -> Duration {
    moment.duration_since(SystemTime::now()).unwrap_or_default()
}

fn parse(der: &[u8]) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|error| format!("a certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    #[test]
    fn a_pin_is_of_the_public_key() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        let hex: String =
            Sha256::digest(key.subject_public_key_info()).iter().map(|b| format!("{b:02x}")).collect();
        let der = from_pem(&format!("words\n{}{}", certificate.pem(), certificate.pem())).unwrap();
        assert_eq!((der.len(), pin(&der[1]).unwrap()), (2, format!("sha256:{hex}")));
        let (from, until) = validity(&der[0]).unwrap();
        assert!(from < until);
        assert!(pin(b"no").is_err() && from_pem("no").is_err());
        assert!(from_pem(&format!("{BEGIN}\nAAAA\n")).unwrap_err().contains("does not end"));
    }

    #[test]
    fn a_certificate_is_replaced_late_in_its_life() {
        let life = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1000));
        let at = |now, random| {
            let moment = rotation(life, UNIX_EPOCH + Duration::from_secs(now), random);
            moment.duration_since(UNIX_EPOCH).unwrap().as_secs()
        };
        assert_eq!((at(0, 0.0), at(0, 1.0), at(0, 7.0)), (700, 900, 900));
        assert_eq!((at(800, 0.0), at(800, 1.0), at(900, 0.0), at(2000, 0.0)), (800, 900, 970, 2000));
        assert!((0.0..=1.0).contains(&random()) && (0.0..=1.0).contains(&share(b"a")));
        assert_ne!(share(b"a"), share(b"b"));
    }
}
