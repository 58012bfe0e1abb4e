//! Comparing issuers.

use outbound::WebUrl;

/// Whether two issuers are the same: byte by byte, one trailing slash on either aside. Nothing
/// else is folded: neither case nor percent-encoding nor a default port.
pub fn same_issuer(a: &str, b: &str) -> bool {
    without_slash(a) == without_slash(b)
}

/// Whether a configured issuer is this server under another spelling (case of the host, default
/// port, trailing slash). Wider than [`same_issuer`], because here a match is what gets refused.
pub fn is_own_issuer(candidate: &str, own: &str) -> bool {
    if same_issuer(candidate, own) {
        return true;
    }
    match (WebUrl::parse(candidate), WebUrl::parse(own)) {
        (Ok(candidate), Ok(own)) => {
            candidate.origin() == own.origin() && same_issuer(candidate.path(), own.path())
        }
        _ => false,
    }
}

fn without_slash(issuer: &str) -> &str {
    issuer.strip_suffix('/').unwrap_or(issuer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_is_folded_and_nothing_else() {
        assert!(same_issuer("https://i.example", "https://i.example/"));
        assert!(same_issuer("https://i.example/a/", "https://i.example/a"));
        for other in [
            "https://i.example//",
            "https://I.example",
            "HTTPS://i.example",
            "https://i.example:443",
            "https://i.example/%61",
            "https://i.example/?",
            " https://i.example",
        ] {
            assert!(!same_issuer("https://i.example", other), "{other}");
        }
    }

    #[test]
    fn own_issuer_is_recognised_in_other_spellings() {
        let own = "https://waypost.example";
        for spelling in [
            "https://waypost.example/",
            "https://WAYPOST.example",
            "HTTPS://waypost.example:443/",
        ] {
            assert!(is_own_issuer(spelling, own), "{spelling}");
        }
        for other in [
            "https://waypost.example/idp",
            "http://waypost.example",
            "https://x.example",
        ] {
            assert!(!is_own_issuer(other, own), "{other}");
        }
        assert!(is_own_issuer(
            "http://127.0.0.1:8080/",
            "http://127.0.0.1:8080"
        ));
        assert!(!is_own_issuer(
            "http://127.0.0.1:8081",
            "http://127.0.0.1:8080"
        ));
    }
}
