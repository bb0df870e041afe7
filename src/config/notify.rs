//! `notify`: who is told of changes, for all instances and groups or for one of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::duration;
use super::problem::{At, Spot};
use super::read::{Item, Table};
use super::scalar;
use super::webhook;
use crate::codes::Code;
use crate::notify::command::{self, Programs};
use crate::notify::news::Word;
use crate::notify::{Settings, webhook::Settings as Webhook};
use crate::reach::guard::{self, Unfit};
use crate::time::Duration;

/// What stands under `notify`.
pub(super) const KEYS: &[&str] = &[
    "script",
    "on_master",
    "on_backup",
    "on_fault",
    "on_stop",
    "on_deleted",
    "on_lower_advert",
    "timeout",
    "fifo",
    "fifo_reader",
    "priority_changes",
    "webhook",
    "mail",
];

/// The programs for one kind of change each.
const OCCASIONS: [(&str, Word); 6] = [
    ("on_master", Word::Master),
    ("on_backup", Word::Backup),
    ("on_fault", Word::Fault),
    ("on_stop", Word::Stop),
    ("on_deleted", Word::Deleted),
    ("on_lower_advert", Word::LowerAdvert),
];

/// Long enough for a cloud's API, short enough that what follows is still news.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The value of `notify` as written.
#[derive(Clone, Debug)]
pub(super) struct Notify {
    pub(super) settings: Settings,
    /// Where `mail` is asked for, which needs a server.
    pub(super) mail: Option<At<()>>,
    /// Where the FIFO and its reader stand.
    pub(super) fifo: Option<Spot>,
}

/// Reads the value of `notify`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Notify>> {
    let table =
        item.table_or("off", "the keys of 'notify', for example 'script: [/etc/vipd/notify]', or off")?;
    let Some(table) = table else {
        return Some(item.at(Notify { settings: Settings::default(), mail: None, fifo: None }));
    };
    table.only(KEYS, |_| None);
    let timeout = table.or("timeout", TIMEOUT, |item| {
        item.read("a duration, for example 60s", |text| {
            duration::between(text, Duration::from_millis(100), Duration::from_secs(3600))
        })
    });
    let script = program(&table, "script");
    let occasions: Option<Vec<_>> = OCCASIONS
        .iter()
        .map(|(key, word)| program(&table, key).map(|argv| argv.map(|argv| (*word, argv))))
        .collect();
    let fifo = table.or("fifo", None, |item| item.read("the path of a FIFO", |text| fifo(text).map(Some)));
    let fifo_reader = program(&table, "fifo_reader");
    let priority_changes = table.or("priority_changes", false, Item::truth);
    let webhook: Option<Option<Webhook>> = match table.optional("webhook") {
        None => Some(None),
        Some(item) => webhook::read(item).map(Some),
    };
    let mail = table.or("mail", false, Item::truth)?;
    let (timeout, fifo, priority_changes) = (timeout?.value, fifo?.value, priority_changes?);
    if let (None, Some(item)) = (&fifo, table.optional("priority_changes")) {
        return item.error(
            Code::NothingToDo,
            "there is no 'fifo', which alone is told of priorities; write one, or remove this",
        );
    }
    if let (None, Some(item)) = (&fifo, table.optional("fifo_reader")) {
        return item.error(Code::NothingToDo, "there is no 'fifo' for it to read; write one, or remove this");
    }
    let every = |argv| command::Settings { programs: Programs::Every(argv), timeout };
    let occasions: BTreeMap<_, _> = occasions?.into_iter().flatten().collect();
    let commands =
        (!occasions.is_empty()).then_some(command::Settings { programs: Programs::On(occasions), timeout });
    let script = script?;
    if let (None, None, Some(item)) = (&script, &commands, table.optional("timeout")) {
        return item
            .error(Code::NothingToDo, "there is no program to wait for; remove it, or write 'script'");
    }
    let settings = Settings {
        script: script.map(every),
        commands,
        fifo: fifo.map(Into::into),
        fifo_reader: fifo_reader?,
        priority_changes: priority_changes.value,
        webhook: webhook?,
        mail: mail.value,
    };
    let mail = mail.value.then_some(At { spot: mail.spot, value: () });
    let fifo = table.optional("fifo_reader").or(table.optional("fifo")).map(|item| item.spot.clone());
    Some(item.at(Notify { settings, mail, fifo }))
}

/// A program and its arguments, which is there and may be run; `Some(None)` if none is written.
#[expect(clippy::option_option, reason = "what is wrong has been noted, what is not written is right")]
fn program(table: &Table<'_>, key: &str) -> Option<Option<Vec<String>>> {
    let Some(item) = table.optional(key) else { return Some(None) };
    let expected = "the program, or a list of it and its arguments, for example [/etc/vipd/notify, -q]";
    let items = item.one_or_list(expected)?;
    let word = |(index, word): (usize, &Item<'_>)| {
        word.read(expected, |text| match index {
            0 if !item.is_list() && text.contains(char::is_whitespace) => {
                let list = text.split_whitespace().collect::<Vec<_>>().join(", ");
                Err(format!("'{text}' is no program; write [{list}]"))
            }
            0 => scalar::absolute_path(text),
            _ if text.contains('\0') => Err("has a zero byte; write a text without".to_owned()),
            _ => Ok(text.to_owned()),
        })
    };
    let words: Vec<_> = items.iter().enumerate().filter_map(word).collect();
    if words.len() < items.len() {
        return None;
    }
    let first = words.first()?;
    match guard::judge(Path::new(&first.value)) {
        Ok(()) => {}
        // What cannot be seen from here may be seen by whoever runs it, who looks again.
        Err(unfit @ Unfit::Hidden { .. }) => {
            item.findings.warn(&first.spot, Code::UnseenProgram, unfit.to_string());
        }
        Err(unfit) => {
            item.findings.error(&first.spot, Code::NamedFile, unfit.to_string());
            return None;
        }
    }
    Some(Some(words.into_iter().map(|at| at.value).collect()))
}

/// A path where there is a FIFO, or nothing yet.
fn fifo(text: &str) -> Result<String, String> {
    let path = scalar::absolute_path(text)?;
    match fs::metadata(&path) {
        Ok(found) if !found.file_type().is_fifo() => {
            Err(format!("'{path}' is there and is no FIFO; write another path"))
        }
        // Its directory may be made by the time it is needed, and it itself is made then.
        Ok(_) | Err(_) => Ok(path),
    }
}
