//! `http.cors_origins`: whether each is an origin as browsers send it.

/// What is wrong with an origin as the configuration has it.
pub fn problem(origin: &str) -> Option<&'static str> {
    if origin == "*" {
        return None;
    }
    let is_origin = reqwest::Url::parse(origin).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == origin
    });
    (!is_origin).then_some(
        "is no origin: write scheme, host and port as browsers send them, like \"https://app.example.com\", or \"*\"",
    )
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for good in ["*", "https://app.example.com", "http://localhost:3000"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "https://app.example.com/",
            "https://APP.example.com",
            "https://app.example.com:443",
            "app.example.com",
            "null",
            "ftp://app.example.com",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
