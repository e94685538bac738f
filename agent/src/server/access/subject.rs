//! Who a client certificate speaks for: the common name and the organisations of its subject
//! (RFC 5280 4.1, in the DER of X.690). Nothing else of a certificate is read here; whether it is
//! valid is rustls' to say.

/// The common name: the last one, as the API server takes it, and all organisations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `CN`, the user's name.
    pub name: String,
    /// `O`, the user's groups.
    pub organizations: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0] EXPLICIT`, the version.
const VERSION: u8 = 0xa0;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// `UTF8String`, `PrintableString`, `IA5String`.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// The subject of a certificate; none when it cannot be read or has no common name.
#[must_use]
pub fn subject(certificate: &[u8]) -> Option<Subject> {
    let (outer, _) = take(certificate, SEQUENCE)?;
    let (mut rest, _) = take(outer, SEQUENCE)?;
    if let Some((_, after)) = take(rest, VERSION) {
        rest = after;
    }
    // Serial number, signature's algorithm, issuer, validity.
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
        rest = take(rest, tag)?.1;
    }
    let (mut names, _) = take(rest, SEQUENCE)?;
    let mut subject = Subject::default();
    while !names.is_empty() {
        let (mut set, after) = take(names, SET)?;
        while !set.is_empty() {
            let (pair, after) = take(set, SEQUENCE)?;
            add(&mut subject, pair)?;
            set = after;
        }
        names = after;
    }
    (!subject.name.is_empty()).then_some(subject)
}

fn add(subject: &mut Subject, pair: &[u8]) -> Option<()> {
    let (kind, value) = take(pair, OBJECT_IDENTIFIER)?;
    if kind != COMMON_NAME && kind != ORGANIZATION {
        return Some(());
    }
    let text = TEXTS.into_iter().find_map(|tag| take(value, tag))?.0;
    let text = std::str::from_utf8(text).ok()?.to_owned();
    match kind {
        COMMON_NAME => subject.name = text,
        _ => subject.organizations.push(text),
    }
    Some(())
}

/// An element's content and what follows it, when it has this tag.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first != tag {
        return None;
    }
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in names {
            params.distinguished_name.push(kind.clone(), *text);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_subject_of_a_certificate_is_a_user_and_groups() {
        let der = certificate(&[
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "system:masters"),
            (DnType::CommonName, "kube-apiserver-kubelet-client"),
        ]);
        let expected = Subject {
            name: "kube-apiserver-kubelet-client".into(),
            organizations: vec!["system:masters".into()],
        };
        assert_eq!(subject(&der), Some(expected));
        assert_eq!(subject(&certificate(&[(DnType::OrganizationName, "x")])), None, "nobody in particular");
    }

    #[test]
    fn a_certificate_that_is_cut_or_damaged_does_not_panic() {
        let der = certificate(&[(DnType::CommonName, "a"), (DnType::OrganizationName, "b")]);
        for length in 0..der.len() {
            // What follows the subject is not looked at here, but its length is.
            assert_eq!(subject(&der[..length]), None, "{length}");
        }
        for place in 0..der.len() {
            for bit in 0..8 {
                let mut damaged = der.clone();
                damaged[place] ^= 1 << bit;
                let _ = subject(&damaged);
            }
        }
    }
}
