//! A deliberately small reading of URLs: `http` or `https`, a plain host, an optional port, a
//! path.
//!
//! Whatever two URL parsers could read differently is refused (user info, fragments, backslashes,
//! dot segments, odd spellings of IP addresses).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

const MAX_URL_BYTES: usize = 2048;
const MAX_HOST_BYTES: usize = 253;
const MAX_QUOTED_CHARS: usize = 120;

/// Scheme, host and port (RFC 6454 §4); compares exactly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

/// A URL that can be read in one way only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl {
    text: String,
    origin: Origin,
    path_start: usize,
    query_start: usize,
}

/// Why a text is no [`WebUrl`], or no [`Origin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("The URL is longer than {MAX_URL_BYTES} bytes.")]
    TooLong,
    #[error("The URL contains a space, a backslash or another character that must be encoded.")]
    Character,
    #[error("The URL must begin with https://.")]
    Scheme,
    #[error("The URL must not contain a user name or password.")]
    Credentials,
    #[error("The URL must not contain a fragment (#…).")]
    Fragment,
    #[error("The URL's path must not contain . or .. segments.")]
    DotSegment,
    #[error("The URL's host {host} is not a plain DNS name or IP address.")]
    Host {
        /// Quoted, and cut where it is long.
        host: String,
    },
    #[error("The URL's port is not a number from 1 to 65535.")]
    Port,
    #[error("An origin is scheme, host and port only, such as http://127.0.0.1:9000.")]
    NotAnOrigin,
}

impl Origin {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = WebUrl::parse(text)?;
        match url.path_and_query() {
            "" | "/" => Ok(url.origin),
            _ => Err(UrlError::NotAnOrigin),
        }
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, lower case; an IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn has_default_port(&self) -> bool {
        self.port == default_port(self.https)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.has_default_port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl WebUrl {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if !text.bytes().all(is_url_byte) {
            return Err(UrlError::Character);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        let authority_start = scheme.len() + "://".len();
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let path_start = authority_start + authority.len();
        let query_start = text[path_start..]
            .find('?')
            .map_or(text.len(), |at| path_start + at);
        let (host, port) = split_authority(authority)?;
        check_path(&text[path_start..query_start])?;
        let origin = Origin {
            https,
            host: check_host(host)?,
            port: port.unwrap_or_else(|| default_port(https)),
        };
        Ok(Self {
            text: text.to_owned(),
            origin,
            path_start,
            query_start,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn path(&self) -> &str {
        &self.text[self.path_start..self.query_start]
    }

    /// With its `?`; empty if there is none.
    pub fn query(&self) -> &str {
        &self.text[self.query_start..]
    }

    fn path_and_query(&self) -> &str {
        &self.text[self.path_start..]
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// RFC 3986 characters; percent signs included, everything that needs encoding excluded.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::Credentials);
    }
    let host_end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or_else(|| bad_host(authority))? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    match port.strip_prefix(':') {
        Some(digits) => parse_port(digits).map(|port| (host, Some(port))),
        None if port.is_empty() => Ok((host, None)),
        None => Err(bad_host(authority)),
    }
}

fn parse_port(digits: &str) -> Result<u16, UrlError> {
    let plain = !digits.is_empty()
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain {
        digits.parse().map_err(|_| UrlError::Port)
    } else {
        Err(UrlError::Port)
    }
}

fn check_host(host: &str) -> Result<String, UrlError> {
    let lower = host.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix('[') {
        let address: Ipv6Addr = inner
            .strip_suffix(']')
            .and_then(|inner| inner.parse().ok())
            .ok_or_else(|| bad_host(host))?;
        return Ok(format!("[{address}]"));
    }
    let labels_ok = lower.len() <= MAX_HOST_BYTES
        && lower.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    // Browsers and libraries read 127.1, 0x7f.1 or 2130706433 as IPv4 addresses (WHATWG URL,
    // "ends in a number"). Only the usual four decimal numbers are accepted.
    let last = lower.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if labels_ok && (!numeric || lower.parse::<Ipv4Addr>().is_ok()) {
        Ok(lower)
    } else {
        Err(bad_host(host))
    }
}

/// Dot segments are resolved by some clients and sent as they are by others.
fn check_path(path: &str) -> Result<(), UrlError> {
    let is_dots = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    if path.split('/').any(is_dots) {
        Err(UrlError::DotSegment)
    } else {
        Ok(())
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn bad_host(host: &str) -> UrlError {
    UrlError::Host { host: quote(host) }
}

/// Quotes what stands where a host should, escaped and cut.
fn quote(host: &str) -> String {
    let shown: String = host
        .chars()
        .take(MAX_QUOTED_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    let cut = host.chars().nth(MAX_QUOTED_CHARS).is_some();
    format!("\"{shown}{}\"", if cut { "…" } else { "" })
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
