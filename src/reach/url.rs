//! The URL of an HTTP request, taken apart and checked once, when the configuration is read.

use std::fmt;
use std::str::FromStr;

use super::connect::{Endpoint, Host, port_number};

/// Where an HTTP request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host and port.
    pub endpoint: Endpoint,
    /// The path and query as sent, beginning with `/`.
    pub path: String,
}

impl Url {
    /// The host, and the port unless it is the scheme's own: what a `Host` header says.
    pub fn authority(&self) -> String {
        if self.endpoint.port == default_port(self.tls) {
            self.endpoint.host.to_string()
        } else {
            self.endpoint.to_string()
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

impl FromStr for Url {
    type Err = String;

    /// Reads `http[s]://HOST[:PORT][/PATH][?QUERY]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("{why}; write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH");
        let (tls, rest) = if let Some(rest) = strip_scheme(text, "http://") {
            (false, rest)
        } else if let Some(rest) = strip_scheme(text, "https://") {
            (true, rest)
        } else {
            return Err(wrong(format!("'{text}' is no http or https URL")));
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("a URL with a user name is not supported".to_owned()));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port_number(port).ok_or_else(|| wrong(format!("'{port}' is no port")))?)
            }
            _ => (authority, default_port(tls)),
        };
        let host: Host = host.parse().map_err(wrong)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if path.contains('#') || path.parse::<hyper::Uri>().is_err() {
            return Err(wrong(format!(
                "'{path}' is no path that can be asked for; write odd characters as %XX"
            )));
        }
        Ok(Self { tls, endpoint: Endpoint { host, port }, path })
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_defaults_for_port_and_path() {
        for (text, shown, port) in [
            ("http://127.0.0.1", "http://127.0.0.1/", 80),
            ("https://www.example.org", "https://www.example.org/", 443),
            ("HTTP://127.0.0.1:80/healthz", "http://127.0.0.1/healthz", 80),
            ("http://[::1]/x?y=z", "http://[::1]/x?y=z", 80),
            ("https://[::1]:8443", "https://[::1]:8443/", 8443),
            ("http://web?probe=1", "http://web/?probe=1", 80),
            ("http://web:443/", "http://web:443/", 443),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.endpoint.port), (shown, port), "{text}");
        }
    }

    #[test]
    fn a_wrong_url_says_what_to_write() {
        for (text, what) in [
            ("127.0.0.1", "is no http or https URL"),
            ("ftp://127.0.0.1/", "is no http or https URL"),
            ("é", "is no http or https URL"),
            ("http://", "is neither an IP address nor a host name"),
            ("http://127.0.0.1:x/", "'x' is no port"),
            ("http://::1/", "stands in brackets"),
            ("http://user:pass@web/", "user name is not supported"),
            ("http://web/a b", "is no path that can be asked for"),
            ("http://web/#top", "is no path that can be asked for"),
            ("http://web/\r\nX: y", "is no path that can be asked for"),
        ] {
            let said = text.parse::<Url>().unwrap_err();
            assert!(said.contains(what) && said.contains("; write http://"), "{text}: {said}");
        }
    }
}
