//! `webhook`: the server that is told, by its URL alone or with headers, a token and whom to trust.

use hyper::header::{HeaderName, HeaderValue};

use super::duration;
use super::private;
use super::read::{Item, Table};
use super::scalar;
use crate::codes::Code;
use crate::notify::Secret;
use crate::notify::webhook::Settings;
use crate::reach::url::Url;
use crate::time::Duration;

/// What stands under `webhook`.
pub(super) const KEYS: &[&str] = &["url", "headers", "token_file", "timeout", "tls_verify", "tls_ca"];

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The headers that are ours to write.
const OWN: [&str; 6] =
    ["host", "content-type", "content-length", "connection", "transfer-encoding", "user-agent"];

/// What a URL is written for.
const EXAMPLE: &str = "a URL, for example https://hooks.example.org/vipd";

/// Reads the value of `webhook`: a URL, or keys.
pub(super) fn read(item: &Item<'_>) -> Option<Settings> {
    if item.is_text() {
        let url = item.read(EXAMPLE, str::parse::<Url>)?.value;
        return Some(Settings {
            url,
            headers: Vec::new(),
            token: None,
            timeout: TIMEOUT,
            verify: true,
            ca_file: None,
        });
    }
    let table = item.table("a URL, or the keys of 'webhook'")?;
    table.only(KEYS, |_| None);
    let url = table.required("url", "https://hooks.example.org/vipd");
    let url = url.and_then(|item| item.read(EXAMPLE, str::parse::<Url>));
    let headers = match table.optional("headers") {
        None => Some(Vec::new()),
        Some(item) => headers(item),
    };
    let token = match table.optional("token_file") {
        None => Some(None),
        Some(item) => private::read(item, "token").map(Some),
    };
    let timeout = table.or("timeout", TIMEOUT, |item| {
        item.read("a duration, for example 5s", |text| {
            duration::between(text, Duration::from_millis(100), Duration::from_secs(60))
        })
    });
    let (verify, ca_file) = trust(&table)?;
    let (url, headers, token, timeout) = (url?.value, headers?, token?, timeout?.value);
    for key in ["tls_verify", "tls_ca"] {
        if let (false, Some(item)) = (url.tls, table.optional(key)) {
            return item.error(Code::NothingToDo, "does nothing for http; remove it, or write https");
        }
    }
    if let (false, Some(item)) = (url.tls, table.optional("token_file")) {
        item.findings.warn(&item.spot, Code::InClear, "the token travels in clear with http; write https");
    }
    let token = token.map(Secret::new);
    Some(Settings { url, headers, token, timeout, verify, ca_file })
}

/// Whom to trust, as for a check.
pub(super) fn trust(table: &Table<'_>) -> Option<(bool, Option<std::path::PathBuf>)> {
    let verify = table.or("tls_verify", true, Item::truth);
    let ca_file = table.or("tls_ca", None, |item| {
        item.read("the path of a PEM file", |text| scalar::absolute_path(text).map(|path| Some(path.into())))
    });
    Some((verify?.value, ca_file?.value))
}

fn headers(item: &Item<'_>) -> Option<Vec<(HeaderName, Secret)>> {
    let entries = item.entries("a header's name and its value, for example 'X-Team: network'")?;
    let header = |entry: &Item<'_>| {
        let key = entry.name();
        let name = match HeaderName::from_bytes(key.value.as_bytes()) {
            Ok(name) if !OWN.contains(&name.as_str()) => name,
            Ok(_) => return entry.error(Code::NothingToDo, "is written by the agent itself; remove it"),
            Err(_) => {
                return entry.error(
                    Code::BadName,
                    format!("'{}' is no name of a header; write letters, digits and '-'", key.value),
                );
            }
        };
        // Not quoted: it may be a secret.
        let value = entry.read("a text", |text| match HeaderValue::from_str(text) {
            Ok(_) => Ok(Secret::new(text.to_owned())),
            Err(_) => {
                Err("cannot be the value of a header; write a text without control characters".to_owned())
            }
        });
        Some((name, value?.value))
    };
    let read: Vec<_> = entries.iter().filter_map(header).collect();
    (read.len() == entries.len()).then_some(read)
}
