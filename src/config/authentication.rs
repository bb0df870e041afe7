//! `authentication`: what proves that an advert comes from a router of ours. The password of version 2 (RFC 2338, 5.3.6)
//! is read here, in the file or in one of its own, signatures in `hmac`.

use super::hmac::{self, Hmac};
use super::private;
use super::problem::{At, Spot};
use super::read::{Item, Table};
use super::scalar;
use crate::codes::Code;
use crate::time::Duration;
use crate::wire::vrrp;

/// What stands under `authentication` whatever its type.
pub(super) const KEYS: &[&str] = &["type"];
/// What stands there with `type: simple`.
pub(super) const SIMPLE: &[&str] = &["password", "password_file"];

/// What is read of a password's file: far more than fits, so that the complaint can say how much.
const MOST: u64 = 64;

/// How many bytes an advert has for a password.
const LENGTH: usize = 8;

/// The value of `authentication` as written.
#[derive(Debug)]
pub(super) enum Authentication {
    Simple {
        password: vrrp::Authentication,
        /// Where it stands if it is in the configuration itself.
        inline: Option<Spot>,
    },
    Hmac(Hmac),
}

impl Authentication {
    /// The secrets that stand in the configuration itself, and what to write instead.
    pub(super) fn exposed(&self) -> (&'static str, &'static str, Vec<&Spot>) {
        match self {
            Self::Simple { inline, .. } => ("password", "'password_file'", inline.iter().collect()),
            Self::Hmac(hmac) => ("key", "'{ file: PATH }'", hmac.inline.iter().collect()),
        }
    }

    /// What version 2 adverts carry.
    pub(super) fn password(&self) -> vrrp::Authentication {
        match self {
            Self::Simple { password, .. } => *password,
            Self::Hmac(_) => vrrp::Authentication::None,
        }
    }

    /// How adverts are signed that are sent so often.
    pub(super) fn hmac(self, interval: Duration) -> Option<crate::engine::settings::Hmac> {
        match self {
            Self::Simple { .. } => None,
            Self::Hmac(hmac) => Some(hmac.settings(interval)),
        }
    }
}

/// Reads the value of `authentication`, and the files it names.
pub(super) fn read(item: &Item<'_>) -> Option<At<Authentication>> {
    let table = item.table("'type: hmac' and keys, or 'type: simple' and a password")?;
    let kind = table.required("type", "hmac").and_then(|item| {
        item.read("hmac or simple", |text| match text {
            "simple" => Ok(SIMPLE),
            "hmac" => Ok(hmac::KEYS),
            _ => Err(format!("'{text}' is no type of authentication; write hmac or simple")),
        })
    });
    let known = |kind: &[&'static str]| [KEYS, kind].concat();
    let Some(kind) = kind else {
        table.only(&[KEYS, SIMPLE, hmac::KEYS].concat(), |_| None);
        return None;
    };
    let (other, of) = if kind.value == SIMPLE { (hmac::KEYS, "hmac") } else { (SIMPLE, "simple") };
    table
        .only(&known(kind.value), |key| other.contains(&key).then(|| format!("it belongs to 'type: {of}';")));
    let read = if kind.value == SIMPLE {
        simple(&table, item)
    } else {
        hmac::read(&table).map(Authentication::Hmac)
    };
    Some(item.at(read?))
}

fn simple(table: &Table<'_>, item: &Item<'_>) -> Option<Authentication> {
    let (password, inline) = password(table, item)?;
    Some(Authentication::Simple { password: vrrp::Authentication::Simple(password), inline })
}

fn password(table: &Table<'_>, item: &Item<'_>) -> Option<([u8; LENGTH], Option<Spot>)> {
    match (table.optional("password"), table.optional("password_file")) {
        (Some(password), None) => password
            .read("1 to 8 bytes", |text| padded(text.as_bytes()))
            .map(|at| (at.value, Some(item.spot.clone()))),
        (None, Some(file)) => {
            let path = file.read("an absolute path", scalar::absolute_path)?.value;
            let password = private::content(&path, "password", MOST)
                .and_then(|password| padded(&password).map_err(|what| format!("in '{path}' {what}")));
            match password {
                Ok(password) => Some((password, None)),
                Err(what) => file.error(Code::NamedFile, what),
            }
        }
        (Some(_), Some(file)) => file.error(Code::OneOf, "there is a 'password' as well; keep one of them"),
        (None, None) => {
            let what = "there is no password; write 'password' or 'password_file'";
            item.findings.error(table.place(), Code::OneOf, what);
            None
        }
    }
}

/// The password as an advert carries it. Zeros pad it, so it can have none of its own.
fn padded(password: &[u8]) -> Result<[u8; LENGTH], String> {
    if password.is_empty() || password.len() > LENGTH || password.contains(&0) {
        // A longer one would be cut off, here or at the peer, and nobody would notice.
        return Err(format!(
            "the password has {} bytes; write 1 to {LENGTH}, none of them 0",
            password.len()
        ));
    }
    let mut padded = [0; LENGTH];
    padded[..password.len()].copy_from_slice(password);
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_padded_with_zeros_and_never_cut() {
        assert_eq!(padded(b"secret"), Ok(*b"secret\0\0"));
        assert_eq!(padded(b"12345678"), Ok(*b"12345678"));
        for (password, count) in [(&b""[..], 0), (b"123456789", 9), (b"a\0b", 3)] {
            let said = format!("the password has {count} bytes; write 1 to 8, none of them 0");
            assert_eq!(padded(password), Err(said));
        }
    }
}
