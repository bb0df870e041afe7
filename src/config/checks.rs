//! `checks`: what each check looks at, how often, and what makes its verdict. A kind of check is a row in
//! [`Kind`], a list of its keys and a reader.

use super::duration;
use super::problem::At;
use super::read::{Item, Table};
use super::scalar;
use crate::check::{self, file, http, process, script, tcp};
use crate::engine::settings::{self, CheckSource};
use crate::proto::health::Verdict;
use crate::time::Duration;

/// A check as written.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: At<String>,
    /// What is `None` was wrong, and has been noted.
    pub(super) source: Option<Source>,
}

/// Where its verdict comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A probe; its settings bear the check's name.
    Probe(Box<check::Settings>),
    /// The engine's own picture of an interface.
    Interface(String),
}

impl Check {
    /// Reads an entry of `checks`.
    pub(super) fn read(item: &Item<'_>) -> Self {
        let name = item.name();
        scalar::judge_name(&name, item.findings);
        let source = item
            .table("what to check, for example '{ http: \"http://127.0.0.1/\" }'")
            .and_then(|table| source(&table, item, &name.value));
        Self { name, source }
    }

    /// What the engine is to know of it.
    pub(super) fn settings(&self) -> Option<settings::Check> {
        let source = match self.source.as_ref()? {
            Source::Probe(_) => CheckSource::Probe,
            Source::Interface(name) => CheckSource::Interface(name.clone()),
        };
        Some(settings::Check { name: self.name.value.clone(), source })
    }
}

/// A kind of check, by the key that names it and says what to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Tcp,
    Script,
    Shell,
    Process,
    File,
    Interface,
}

/// What every kind has but `interface`, which the kernel tells of by itself.
const TIMES: [&str; 5] = ["interval", "timeout", "rise", "fall", "initial"];

impl Kind {
    pub(super) const ALL: [Self; 7] =
        [Self::Http, Self::Tcp, Self::Script, Self::Shell, Self::Process, Self::File, Self::Interface];

    const fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Script => "script",
            Self::Shell => "shell",
            Self::Process => "process",
            Self::File => "file",
            Self::Interface => "interface",
        }
    }

    /// What this kind has besides its key and the times.
    const fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Http => &["status", "body", "host", "method", "tls_verify", "tls_ca"],
            Self::Tcp => &["expect"],
            Self::Process => &["count"],
            Self::File => &["exists"],
            Self::Script | Self::Shell | Self::Interface => &[],
        }
    }

    /// All its keys.
    pub(super) fn keys(self) -> Vec<&'static str> {
        let times: &[&str] = if self == Self::Interface { &[] } else { &TIMES };
        [&[self.key()], self.own_keys(), times].concat()
    }

    /// The kind that a key of a check belongs to.
    fn owning(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.own_keys().contains(&key))
    }
}

fn source(table: &Table<'_>, item: &Item<'_>, name: &str) -> Option<Source> {
    let written: Vec<_> =
        Kind::ALL.into_iter().filter_map(|kind| Some((kind, table.optional(kind.key())?))).collect();
    let &[(kind, target)] = written.as_slice() else {
        let all = Kind::ALL.map(Kind::key).join(", ");
        match written.get(1) {
            None => {
                item.findings.error(table.place(), format!("nothing says what to check; write one of {all}"));
            }
            Some((_, second)) => {
                let first = written.first().map_or("", |(kind, _)| kind.key());
                let what =
                    format!("there is '{first}' as well; a check looks at one thing, write a second check");
                second.error::<()>(what);
            }
        }
        return None;
    };
    table.only(&kind.keys(), |key| {
        if kind == Kind::Interface && TIMES.contains(&key) {
            return Some("the kernel tells of an interface by itself;".to_owned());
        }
        Kind::owning(key).map(|kind| format!("it is for '{}' checks;", kind.key()))
    });
    if kind == Kind::Interface {
        return Some(Source::Interface(target.read("an interface's name", scalar::interface)?.value));
    }
    let probe = probe(kind, target, table);
    let times = Times::read(table);
    let (kind, times) = (probe?, times?);
    Some(Source::Probe(Box::new(check::Settings {
        name: name.to_owned(),
        kind,
        interval: times.interval,
        timeout: times.timeout,
        rise: times.rise,
        fall: times.fall,
        initial: times.initial,
    })))
}

/// How often, how long, and how many times in a row.
struct Times {
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
    initial: Option<Verdict>,
}

impl Times {
    fn read(table: &Table<'_>) -> Option<Self> {
        let time = |least: u64| {
            move |item: &Item<'_>| {
                item.read("a duration, for example 1s", |text| {
                    duration::between(text, Duration::from_millis(least), Duration::from_secs(3600))
                })
            }
        };
        let count = |item: &Item<'_>| item.read("how many in a row", |text| scalar::number(text, 1, 1000));
        let interval = table.or("interval", Duration::from_secs(1), time(10));
        let longest = interval.as_ref().map_or(Duration::MAX, |at| at.value);
        let timeout = table.or("timeout", Duration::from_millis(500).min(longest), time(1));
        let (rise, fall) = (table.or("rise", 2, count), table.or("fall", 2, count));
        let initial = table.or("initial", None, |item| {
            item.read("up or down", |text| match text {
                "up" => Ok(Some(Verdict::Up)),
                "down" => Ok(Some(Verdict::Down)),
                _ => Err(format!("'{text}' is no verdict; write up or down")),
            })
        });
        let (interval, timeout) = (interval?.value, timeout?);
        if timeout.value > interval {
            // Runs never overlap: a longer one would skip beats, and the verdict would come late.
            let (timeout_text, interval) = (duration::shown(timeout.value), duration::shown(interval));
            let what =
                format!("{timeout_text} is longer than the interval of {interval}; write at most {interval}");
            return table.optional("timeout")?.error(what);
        }
        Some(Self {
            interval,
            timeout: timeout.value,
            rise: rise?.value,
            fall: fall?.value,
            initial: initial?.value,
        })
    }
}

/// What a probe of `kind` is to look at; an interface has none.
fn probe(kind: Kind, target: &Item<'_>, table: &Table<'_>) -> Option<check::Kind> {
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
            .error("an answer to HEAD has no body; remove this, or write 'method: GET'");
    }
    for key in ["tls_verify", "tls_ca"] {
        if let (false, Some(item)) = (url.tls, table.optional(key)) {
            return item.error("does nothing for http; remove it, or write https");
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
        return target
            .error(format!("'{text}' is no list; write [{list}], or 'shell:' if a shell is to read it"));
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
    let count = table.or("count", 1, |item| item.read("how many", |text| scalar::number(text, 1, 100_000)));
    Some(process::Settings { name: name?.value, count: count?.value })
}

fn read_file(target: &Item<'_>, table: &Table<'_>) -> Option<file::Settings> {
    let path = target.read("an absolute path", scalar::absolute_path);
    let present = table.or("exists", true, Item::truth);
    Some(file::Settings { path: path?.value.into(), present: present?.value })
}
