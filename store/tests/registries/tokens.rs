//! A token server: JSON web tokens, signed by openssl, as docker-registry takes them.

use super::fake::{Answer, Asked, Fake};
use super::place::{Place, fed, run};
use base64::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes `signer.crt` with its key, whose tokens a registry is to trust.
pub fn signer(place: &Place) -> PathBuf {
    let (key, certificate) = (place.text("signer.key"), place.text("signer.crt"));
    let files = ["-keyout", &key, "-out", &certificate, "-subj", "/CN=signer"];
    run("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"], &files[..]].concat());
    certificate.into()
}

/// A server that gives `me:secret` what is asked for, and everybody else what reads.
pub fn start(place: &Place) -> Fake {
    let (key, certificate) = (place.text("signer.key"), place.text("signer.crt"));
    let der = BASE64_STANDARD.encode(fed("openssl", &["x509", "-in", &certificate, "-outform", "der"], b""));
    Fake::new(move |asked: &Asked| {
        let known = match asked.header("authorization") {
            Some("Basic bWU6c2VjcmV0") => true,
            Some(_) => return Answer::status(401),
            None => false,
        };
        let scopes = asked.path.split(['?', '&']).filter_map(|pair| pair.strip_prefix("scope="));
        let access: Vec<_> = scopes
            .map(|scope| {
                let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else {
                    panic!("{scope}")
                };
                let actions: Vec<_> =
                    actions.split(',').filter(|action| known || *action == "pull").collect();
                json!({ "type": kind, "name": name, "actions": actions })
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "iss": "test", "sub": "me", "aud": "test", "jti": "1", "access": access,
            "exp": now + 300, "nbf": now - 10, "iat": now });
        let head = json!({ "typ": "JWT", "alg": "RS256", "x5c": [der] });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let signature = fed("openssl", &["dgst", "-sha256", "-sign", &key], text.as_bytes());
        let token = format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        Answer::status(200).body(json!({ "token": token, "expires_in": 300 }).to_string())
    })
}
