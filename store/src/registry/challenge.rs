//! What a registry wants to see before it answers: `WWW-Authenticate` (RFC 9110, 11.6.1).

/// One of the ways that a registry offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user name and a password.
    Basic,
    /// A token that another server gives (Docker's "Token Authentication Specification").
    Bearer {
        /// URL of that server.
        realm: String,
        /// What it should be asked for.
        service: Option<String>,
        /// What it should be asked for, several separated by blanks.
        scope: Option<String>,
    },
}

/// Reads one header; what is neither Basic nor Bearer is passed over.
pub(crate) fn read(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() && after.is_empty() {
            break;
        }
        match (after.trim_start().strip_prefix('='), found.last_mut()) {
            (Some(after), Some((_, parameters))) => {
                let (value, after) = value(after.trim_start());
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            // A parameter of nothing.
            (Some(after), None) => rest = after,
            (None, _) => {
                found.push((word.to_ascii_lowercase(), Vec::new()));
                rest = after;
            }
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
        }
        _ => None,
    }
}

/// A quoted string or a bare word, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (word.to_owned(), rest);
    };
    let (mut value, mut letters) = (String::new(), quoted.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn what_registries_send_is_read() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push""#;
        assert_eq!(
            read(docker),
            [bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/nginx:pull,push")
            )]
        );
        assert_eq!(
            read(r#"basic realm="a \"b\", c", BEARER realm=https://x/t , Negotiate"#),
            [Challenge::Basic, bearer("https://x/t", None, None)]
        );
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for header in
            ["", ",,,", "=", "realm=\"x\"", "Bearer service=x", "Bearer realm", "\"\"", "Digest a=\"b"]
        {
            assert_eq!(read(header), [], "{header}");
        }
    }
}
