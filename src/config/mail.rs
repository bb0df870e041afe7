//! `mail`: the server that mail goes by, and the people it goes to.

use super::private;
use super::problem::At;
use super::read::{Item, Table};
use super::scalar;
use super::webhook;
use crate::codes::Code;
use crate::notify::Secret;
use crate::notify::mail::{Mailbox, Settings, Tls};
use crate::reach::connect::{Endpoint, Host};

/// What stands under `mail` at the top.
pub(super) const KEYS: &[&str] =
    &["server", "tls", "tls_verify", "tls_ca", "username", "password_file", "from", "to", "helo"];

/// Reads the value of `mail`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Settings>> {
    let table = item.table("'server', 'from' and 'to'")?;
    table.only(KEYS, |_| None);
    let tls = table.or("tls", Tls::Starttls, |item| item.read("starttls, implicit or none", tls));
    let port = tls.as_ref().map_or(25, |tls| tls.value.port());
    let server = table.required("server", "mail.example.org:587");
    let server = server.and_then(|item| {
        item.read("HOST or HOST:PORT, for example mail.example.org:587", |text| endpoint(text, port))
    });
    let from = table.required("from", "vipd@example.org").and_then(mailbox);
    let to = table.required("to", "[ops@example.org]").and_then(|item| {
        let items = item.one_or_list("the addresses of those who are told")?;
        let read: Vec<_> = items.iter().filter_map(mailbox).map(|at| at.value).collect();
        (read.len() == items.len()).then_some(read)
    });
    let helo = table.or("helo", None, |item| item.read("a host name", |text| helo(text).map(Some)));
    let trust = webhook::trust(&table);
    let login = login(&table, item);
    let (tls, (verify, ca_file), login) = (tls?.value, trust?, login?);
    for key in ["tls_verify", "tls_ca", "username"] {
        if let (Tls::None, Some(item)) = (tls, table.optional(key)) {
            return item.error(
                Code::NothingToDo,
                match key {
                    "username" => "the password would travel in clear; remove this, or write 'tls: starttls'",
                    _ => "does nothing with 'tls: none'; remove one of them",
                },
            );
        }
    }
    Some(item.at(Settings {
        server: server?.value,
        tls,
        verify,
        ca_file,
        login,
        from: from?.value,
        to: to?,
        helo: helo?.value,
    }))
}

fn tls(text: &str) -> Result<Tls, String> {
    match text {
        "starttls" => Ok(Tls::Starttls),
        "implicit" => Ok(Tls::Implicit),
        "none" => Ok(Tls::None),
        _ => Err(format!("'{text}' is no way to encrypt mail; write starttls, implicit or none")),
    }
}

/// A host with or without a port.
fn endpoint(text: &str, port: u16) -> Result<Endpoint, String> {
    text.parse().or_else(|why| match text.parse::<Host>() {
        Ok(host) => Ok(Endpoint { host, port }),
        Err(_) => Err(why),
    })
}

fn mailbox(item: &Item<'_>) -> Option<At<Mailbox>> {
    item.read("an address, for example ops@example.org", |text| {
        text.parse().map_err(|_| format!("'{text}' is no mail address; write for example ops@example.org"))
    })
}

fn helo(text: &str) -> Result<String, String> {
    match text.parse::<Host>() {
        Ok(Host::Name(name)) => Ok(name),
        Ok(Host::Address(_)) | Err(_) => {
            Err(format!("'{text}' is no host name; write for example lb1.example.org"))
        }
    }
}

/// The user and the password; `Some(None)` if neither is written.
#[expect(clippy::option_option, reason = "what is wrong has been noted, what is not written is right")]
fn login(table: &Table<'_>, item: &Item<'_>) -> Option<Option<(String, Secret)>> {
    match (table.optional("username"), table.optional("password_file")) {
        (None, None) => Some(None),
        (Some(user), Some(file)) => {
            let user = user.read("the name of a user", scalar::some_text);
            let password = private::read(file, "password");
            Some(Some((user?.value, Secret::new(password?))))
        }
        (Some(_), None) => {
            item.findings.error(
                table.place(),
                Code::OneOf,
                "there is a 'username' and no password; write 'password_file'",
            );
            None
        }
        (None, Some(file)) => {
            file.error(Code::NothingToDo, "there is no 'username' that it belongs to; write one")
        }
    }
}
