//! From an endpoint to a connected TCP stream: shared by the kinds that talk to a server.
//!
//! A host is an IPv4 address, an IPv6 address (in brackets before a port), or a name. A name is resolved in
//! every run, by the system's own resolver, and its addresses are tried in the order it gives.
//!
//! Errors: `connection refused`, `no route to host`, `cannot resolve 'www': Name or service not known`,
//! `timed out after 500ms resolving the name`, `.. connecting`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use tokio::net::TcpStream;

use super::blocking::Blocking;
use super::{Run, lowered};

/// A server's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name that the system's resolver knows.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    /// Reads an IPv4 address, an IPv6 address in brackets, or a name.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Option<Ipv6Addr> = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
            return address
                .map(|address| Self::Address(address.into()))
                .ok_or_else(|| format!("'{text}' is no IPv6 address in brackets, as in [2001:db8::1]"));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        if text.contains(':') {
            return Err(format!(
                "'{text}' is no host; an IPv6 address stands in brackets, as in [2001:db8::1]"
            ));
        }
        let label = |l: &str| {
            let odd = |b: u8| !(b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            !l.is_empty() && l.len() <= 63 && !l.bytes().any(odd)
        };
        let labels = text.strip_suffix('.').unwrap_or(text);
        let last = labels.rsplit('.').next().unwrap_or_default();
        let named = text.len() <= 253 && labels.split('.').all(label);
        if !named || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("'{text}' is neither an IP address nor a host name"));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

/// A host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let remedy = "write HOST:PORT, for example 127.0.0.1:80 or [::1]:80";
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("'{text}' has no port; {remedy}"))?;
        let port = port_number(port).ok_or_else(|| format!("'{port}' is no port; {remedy}"))?;
        Ok(Self { host: host.parse().map_err(|why| format!("{why}; {remedy}"))?, port })
    }
}

/// The port that a text of digits alone names; none for 0.
pub fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Finds a host's addresses and connects to the first that answers.
#[derive(Default)]
pub struct Connector {
    lookup: Blocking<io::Result<Vec<SocketAddr>>>,
}

impl Connector {
    /// A connection to `endpoint`, or why the last of its addresses gave none.
    pub async fn connect(&mut self, endpoint: &Endpoint, run: &mut Run) -> Result<TcpStream, String> {
        let addresses = match &endpoint.host {
            Host::Address(address) => vec![SocketAddr::new(*address, endpoint.port)],
            Host::Name(name) => self.resolve(name.clone(), endpoint.port, run).await?,
        };
        run.phase = " connecting";
        let stream = TcpStream::connect(&*addresses).await.map_err(|error| lowered(&error))?;
        if reached_itself(&stream) { Err("connection refused".to_owned()) } else { Ok(stream) }
    }

    async fn resolve(&mut self, name: String, port: u16, run: &mut Run) -> Result<Vec<SocketAddr>, String> {
        run.phase = " resolving the name";
        let asked = name.clone();
        let call = move || (asked.as_str(), port).to_socket_addrs().map(Iterator::collect);
        let found: Vec<SocketAddr> = self.lookup.run(call).await?.map_err(|error| {
            let said = error.to_string();
            let why = said.strip_prefix("failed to lookup address information: ").unwrap_or(&said);
            format!("cannot resolve '{name}': {why}")
        })?;
        if found.is_empty() { Err(format!("cannot resolve '{name}': it has no address")) } else { Ok(found) }
    }
}

/// Whether nobody is at the other end: Linux connects a socket to itself when the port it was given is the
/// one it asks for, which befalls a loopback port in the ephemeral range that nobody listens on.
fn reached_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(ours), Ok(theirs)) if ours == theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_reached_itself_is_told_from_a_server() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let itself = socket.local_addr().unwrap();
        assert!(reached_itself(&socket.connect(itself).await.unwrap()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!reached_itself(&TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()));
    }

    #[test]
    fn an_endpoint_is_an_address_or_a_name_with_a_port() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:443", "www.example.org:8080", "localhost:1", "a_b:65535"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_endpoint_says_what_to_write() {
        for (text, what) in [
            ("192.0.2.1", "has no port"),
            ("192.0.2.1:", "is no port"),
            ("192.0.2.1:0", "is no port"),
            ("192.0.2.1:+80", "is no port"),
            ("192.0.2.1:65536", "is no port"),
            ("192.0.2.999:80", "is neither an IP address nor a host name"),
            ("2001:db8::1:80", "stands in brackets"),
            ("[192.0.2.1]:80", "is no IPv6 address in brackets"),
            ("[::1:80", "is no IPv6 address in brackets"),
            (":80", "is neither an IP address nor a host name"),
            ("a..b:80", "is neither an IP address nor a host name"),
            ("a b:80", "is neither an IP address nor a host name"),
        ] {
            let said = text.parse::<Endpoint>().unwrap_err();
            assert!(said.contains(what), "{text}: {said}");
            assert!(said.contains("write HOST:PORT"), "{text}: {said}");
        }
    }
}
