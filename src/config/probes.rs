//! What the probe of each kind of check looks at: its own keys. Apart from what all kinds have in common.

use std::net::IpAddr;

use super::addresses::is_link_local;
use super::checks::Kind;
use super::problem::At;
use super::read::{Item, Table};
use super::scalar;
use super::tables;
use crate::check::process::{Arguments, Matching};
use crate::check::{self, file, http, ping, process, route, script, tcp, value};
use crate::codes::Code;
use crate::net::{Family, IpNet};

/// What a probe of `kind` is to look at; an interface has none.
pub(super) fn probe(kind: Kind, target: &Item<'_>, table: &Table<'_>) -> Option<check::Kind> {
    Some(match kind {
        Kind::Http => check::Kind::Http(read_http(target, table)?),
        Kind::Tcp => check::Kind::Tcp(read_tcp(target, table)?),
        Kind::Script => check::Kind::Script(script::Settings { argv: argv(target)? }),
        Kind::Shell => {
            let text = target.read("a command line", scalar::some_text)?.value;
            let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), text];
            check::Kind::Script(script::Settings { argv })
        }
        Kind::Process => check::Kind::Process(read_process(target, table)?),
        Kind::File => check::Kind::File(read_file(target, table)?),
        Kind::Value => {
            let path = target.read("an absolute path", scalar::absolute_path)?.value.into();
            check::Kind::Value(value::Settings { path })
        }
        Kind::Ping => check::Kind::Ping(read_ping(target, table)?),
        Kind::Route => check::Kind::Route(read_route(target, table)?),
        Kind::Interface => return None,
    })
}

fn read_http(target: &Item<'_>, table: &Table<'_>) -> Option<http::Settings> {
    let text = |item: &Item<'_>| item.read("a text", |text| scalar::some_text(text).map(Some));
    let url = target.read("a URL, for example http://127.0.0.1/", str::parse::<crate::reach::url::Url>);
    let method = table.or("method", http::Method::Get, |item| item.read("GET or HEAD", str::parse));
    let status = table.or("status", Vec::new(), |item| {
        let items = item.one_or_list("a code or a range, for example 200-299")?;
        let ranges: Vec<_> = items
            .iter()
            .filter_map(|item| item.read("a code or a range, for example 200-299", str::parse))
            .collect();
        let whole = ranges.len() == items.len();
        whole.then(|| item.at(ranges.into_iter().map(|at| at.value).collect()))
    });
    let body = table.or("body", None, text);
    let host = table.or("host", None, |item| item.read("a host name", |text| host_header(text).map(Some)));
    let verify = table.or("tls_verify", true, Item::truth);
    let ca_file = table.or("tls_ca", None, |item| {
        item.read("the path of a PEM file", |text| scalar::absolute_path(text).map(|path| Some(path.into())))
    });
    let (url, method, body) = (url?.value, method?.value, body?.value);
    if method == http::Method::Head && body.is_some() {
        return table
            .optional("body")?
            .error(Code::NothingToDo, "an answer to HEAD has no body; remove this, or write 'method: GET'");
    }
    for key in ["tls_verify", "tls_ca"] {
        if let (false, Some(item)) = (url.tls, table.optional(key)) {
            return item.error(Code::NothingToDo, "does nothing for http; remove it, or write https");
        }
    }
    let (status, host, verify, ca_file) = (status?.value, host?.value, verify?.value, ca_file?.value);
    Some(http::Settings { url, method, status, body, host, verify, ca_file })
}

/// A `Host` header: a name or an address, with or without a port.
fn host_header(text: &str) -> Result<String, String> {
    let odd = |b: u8| !(b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b));
    if text.is_empty() || text.len() > 255 || text.bytes().any(odd) {
        return Err(format!("'{text}' is no host; write a name or an address, for example www.example.org"));
    }
    Ok(text.to_owned())
}

fn read_tcp(target: &Item<'_>, table: &Table<'_>) -> Option<tcp::Settings> {
    let endpoint = target.read("HOST:PORT, for example 127.0.0.1:25", str::parse);
    let expect =
        table.or("expect", None, |item| item.read("a text", |text| scalar::some_text(text).map(Some)));
    Some(tcp::Settings { endpoint: endpoint?.value, expect: expect?.value })
}

fn argv(target: &Item<'_>) -> Option<Vec<String>> {
    let expected = "a list, the program and its arguments, for example [/usr/local/bin/check, -q]";
    if !target.is_list() {
        let text = target.text(expected)?;
        let list = text.split_whitespace().collect::<Vec<_>>().join(", ");
        return target.error(
            Code::WrongShape,
            format!("'{text}' is no list; write [{list}], or 'shell:' if a shell is to read it"),
        );
    }
    let items = target.list(expected)?;
    let word = |(index, item): (usize, &Item<'_>)| {
        item.read("a text", |text| match index {
            0 => scalar::absolute_path(text),
            _ if text.contains('\0') => Err("has a zero byte; write a text without".to_owned()),
            _ => Ok(text.to_owned()),
        })
    };
    let words: Vec<_> = items.iter().enumerate().filter_map(word).collect();
    (words.len() == items.len()).then(|| words.into_iter().map(|at| at.value).collect())
}

fn read_process(target: &Item<'_>, table: &Table<'_>) -> Option<process::Settings> {
    let name = target.read("the name of a process, for example nginx", |text| {
        if text.contains('/') { scalar::absolute_path(text) } else { scalar::some_text(text) }
    });
    let number =
        |least| move |item: &Item<'_>| item.read("how many", |text| scalar::number(text, least, 100_000));
    let maximum = match table.optional("maximum") {
        Some(item) => Some(number(0)(item)?),
        None => None,
    };
    // None at all may be what is wanted.
    let least = u32::from(maximum.is_none());
    let fallback = maximum.as_ref().map_or(1, |at| at.value.min(1));
    let count = table.or("count", fallback, number(least));
    let matching = table.or("match", Matching::Exact, read_matching);
    let words = match table.optional("arguments") {
        Some(item) => Some(read_arguments(item)?),
        None => None,
    };
    if let (None, Some(item)) = (&words, table.optional("match")) {
        return item.error(Code::NothingToDo, "there is nothing to compare; write 'arguments', [] for none");
    }
    let (name, count, matching) = (name?.value, count?.value, matching?.value);
    if let Some(maximum) = maximum.as_ref().filter(|maximum| maximum.value < count) {
        let what = format!("{} is less than the count of {count}; write at least {count}", maximum.value);
        return table.optional("maximum")?.error(Code::BadValue, what);
    }
    let arguments = words.map(|words| Arguments { words, matching });
    Some(process::Settings { name, count, maximum: maximum.map(|at| at.value), arguments })
}

fn read_arguments(item: &Item<'_>) -> Option<Vec<String>> {
    let items = item.any_list("a list of the arguments, for example [-f, /etc/haproxy.cfg]")?;
    let word = |item: &Item<'_>| item.read("a text", |text| Ok(text.to_owned()));
    let words: Vec<_> = items.iter().filter_map(word).map(|at| at.value).collect();
    (words.len() == items.len()).then_some(words)
}

fn read_matching(item: &Item<'_>) -> Option<At<Matching>> {
    item.read("exact, partial or prefix", |text| match text {
        "exact" => Ok(Matching::Exact),
        "partial" => Ok(Matching::Partial),
        "prefix" => Ok(Matching::Prefix),
        _ => Err(format!("'{text}' is no way to compare arguments; write exact, partial or prefix")),
    })
}

fn read_ping(target: &Item<'_>, table: &Table<'_>) -> Option<ping::Settings> {
    let target = target.read("an address, for example 192.0.2.1", host);
    let source = optional(table, "source", |item| item.read("an address of this host", host));
    let interface = optional(table, "interface", |item| item.read("an interface's name", scalar::interface));
    let (target, source, interface) = (target?, source?, interface?);
    let address = target.value;
    if let Some(source) = source.filter(|source| Family::of(*source) != Family::of(address)) {
        let what = format!("{source} cannot ask {address}; write an {} address", Family::of(address));
        return table.optional("source")?.error(Code::OtherFamily, what);
    }
    if is_link_local(address) && interface.is_none() {
        let what = format!("{address} is on every link; write 'interface' as well");
        return table.optional("ping")?.error(Code::KeyMissing, what);
    }
    Some(ping::Settings { address, source, interface })
}

fn host(text: &str) -> Result<IpAddr, String> {
    let usable = |address: &IpAddr| !address.is_multicast() && !address.is_unspecified();
    text.parse()
        .ok()
        .filter(usable)
        .ok_or_else(|| format!("'{text}' is no host's address; write one, for example 192.0.2.1"))
}

fn read_route(target: &Item<'_>, table: &Table<'_>) -> Option<route::Settings> {
    let via = optional(table, "via", |item| item.read("the gateway's address", host));
    let interface = optional(table, "interface", |item| item.read("an interface's name", scalar::interface));
    let number =
        table.or("table", MAIN, |item| item.read("a routing table, by number or name", tables::table));
    let via = via?;
    let to = target.read("a network or default, for example 10.0.0.0/8", |text| destination(text, via));
    let (to, interface) = (to?.value, interface?);
    // An IPv4 route may have an IPv6 gateway.
    if let Some(via) = via.filter(|via| via.is_ipv4() && to.family() == Family::Ipv6) {
        return table
            .optional("via")?
            .error(Code::OtherFamily, format!("{via} is no gateway for {to}; write an IPv6 address"));
    }
    Some(route::Settings { to, table: number?.value, interface, via })
}

/// `default` is that of the gateway's family, or of IPv4.
fn destination(text: &str, via: Option<IpAddr>) -> Result<IpNet, String> {
    let text = match (text, via) {
        ("default", Some(IpAddr::V6(_))) => "::/0",
        ("default", _) => "0.0.0.0/0",
        (text, _) => text,
    };
    let net: Option<IpNet> = text.parse().ok();
    net.filter(|net| net.range().0 == net.address()).ok_or_else(|| {
        format!("'{text}' is no network; write default or one without host bits, for example 10.0.0.0/8")
    })
}

/// What `read` makes of `key`; the outer `None` if it is wrong, the inner one if it is not written.
#[expect(clippy::option_option, reason = "what is wrong and what is not there are two things")]
fn optional<T>(
    table: &Table<'_>,
    key: &str,
    read: impl FnOnce(&Item<'_>) -> Option<At<T>>,
) -> Option<Option<T>> {
    match table.optional(key) {
        Some(item) => read(item).map(|at| Some(at.value)),
        None => Some(None),
    }
}

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

fn read_file(target: &Item<'_>, table: &Table<'_>) -> Option<file::Settings> {
    let path = target.read("an absolute path", scalar::absolute_path);
    let present = table.or("exists", true, Item::truth);
    Some(file::Settings { path: path?.value.into(), present: present?.value })
}
