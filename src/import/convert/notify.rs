//! Who is told of changes: programs, FIFOs and mail.

use super::commands;
use super::gather::Gathered;
use super::values::truth;
use crate::import::blocks::Statement;
use crate::import::report::Report;
use crate::import::yaml::{Map, Value};

/// What everybody is told by who has nothing of its own, and what mail needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Notify {
    fifo: Option<String>,
    reader: Option<Value>,
    priority_changes: bool,
    mail: bool,
    /// The `mail` at the top, if there is a server and somebody to write to.
    pub(super) server: Option<Map>,
}

/// The keywords that run a program, and the keys of those.
const PROGRAMS: [(&str, &str); 7] = [
    ("notify", "script"),
    ("notify_master", "on_master"),
    ("notify_backup", "on_backup"),
    ("notify_fault", "on_fault"),
    ("notify_stop", "on_stop"),
    ("notify_deleted", "on_deleted"),
    ("notify_master_rx_lower_pri", "on_lower_advert"),
];

impl Notify {
    /// Reads what `global_defs` says.
    /// Whether mail is `asked` for further down.
    pub(super) fn read(&mut self, gathered: &mut Gathered<'_>, asked: bool, report: &mut Report) {
        if let Some(statement) = gathered.last_of(&["notify_fifo", "vrrp_notify_fifo"], report) {
            match statement.escaped().and_then(|words| words.into_iter().next()) {
                Some(path) => {
                    self.fifo = Some(path);
                    report.converted(statement, "notify.fifo");
                }
                None => report.ignored(statement, "there is no path in it, or a quote is left open"),
            }
        }
        let scripts = ["notify_fifo_script", "vrrp_notify_fifo_script"];
        if let Some(statement) = gathered.last_of(&scripts, report) {
            match commands::read(statement) {
                _ if self.fifo.is_none() => report.ignored(statement, "there is no FIFO for it to read"),
                Some(command) => {
                    commands::convert(&command, statement, "notify.fifo_reader", report);
                    self.reader = Some(command.list());
                }
                None => report.ignored(statement, NO_COMMAND),
            }
        }
        if let Some(statement) = gathered.last("vrrp_notify_priority_changes", report)
            && let Some(on) = truth(statement, report)
        {
            self.priority_changes = on;
            report.converted(statement, "notify.priority_changes");
        }
        if let Some(statement) = gathered.last_of(&["smtp_alert_vrrp", "smtp_alert"], report)
            && let Some(on) = truth(statement, report)
        {
            self.mail = on;
            report.converted(statement, "notify.mail");
        }
        self.mail_server(gathered, asked, report);
    }

    fn mail_server(&mut self, gathered: &mut Gathered<'_>, asked: bool, report: &mut Report) {
        let from = gathered.last("notification_email_from", report);
        let server = gathered.last("smtp_server", report);
        let helo = gathered.last("smtp_helo_name", report);
        let mut to: Vec<String> = Vec::new();
        let blocks = gathered.all("notification_email");
        for block in &blocks {
            to.extend(block.block.iter().flat_map(|line| line.words.iter().cloned()));
        }
        let all: Vec<&Statement> = blocks
            .iter()
            .copied()
            .chain(blocks.iter().flat_map(|b| &b.block))
            .chain(from)
            .chain(server)
            .chain(helo)
            .collect();
        if !asked && !self.mail {
            for statement in all {
                report.ignored(statement, "no smtp_alert asks for mail; keepalived's VRRP sends none either");
            }
            return;
        }
        let address = |text: &&String| {
            text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
        };
        let sender = from.and_then(|from| from.words.get(1)).filter(address);
        let known = server.and_then(|server| server.word(1));
        let (Some(server_name), Some(sender), false) = (known, sender, to.is_empty()) else {
            for statement in all {
                report.left_out(statement, "mail needs smtp_server, notification_email and notification_email_from with a whole address");
            }
            self.mail = false;
            return;
        };
        let mut map = Map::default();
        let port = server.and_then(|server| server.word(2)).unwrap_or("25");
        let host =
            if server_name.contains(':') { format!("[{server_name}]") } else { server_name.to_owned() };
        map.set("server", format!("{host}:{port}"));
        map.set("tls", "none");
        map.set("from", sender.as_str());
        map.set("to", Value::texts(to));
        if let Some(name) = helo.and_then(|helo| helo.word(1)) {
            map.set("helo", name);
        }
        for statement in all {
            report.converted(statement, "mail");
        }
        self.server = Some(map);
    }

    /// What stands at the top, if anything.
    pub(super) fn top(&self) -> Option<Map> {
        let mut map = Map::default();
        self.write(&mut map, self.mail);
        (!map.is_empty()).then_some(map)
    }

    fn write(&self, map: &mut Map, mail: bool) {
        if let Some(fifo) = &self.fifo {
            map.set("fifo", fifo.as_str());
            if let Some(reader) = &self.reader {
                map.set("fifo_reader", reader.clone());
            }
            if self.priority_changes {
                map.set("priority_changes", "true");
            }
        }
        if mail && self.server.is_some() {
            map.set("mail", "true");
        }
    }
}

const NO_COMMAND: &str = "there is no command in it, or a quote is left open";

/// Whether an instance or a group asks for mail itself.
pub(super) fn asks_for_mail(statement: &Statement) -> bool {
    let asks = |inner: &Statement| {
        inner.keyword() == "smtp_alert" && truth(inner, &mut Report::default()) == Some(true)
    };
    matches!(statement.keyword(), "vrrp_instance" | "vrrp_sync_group") && statement.block.iter().any(asks)
}

/// Reads what an instance or a group says of its own; with that it has nothing of what stands at the top, so that is said again.
pub(super) fn own(gathered: &mut Gathered<'_>, top: &Notify, report: &mut Report) -> Option<Value> {
    let mut map = Map::default();
    for (keyword, key) in PROGRAMS {
        let Some(statement) = gathered.last(keyword, report) else { continue };
        match commands::read(statement) {
            Some(command) => {
                map.set(key, command.list());
                commands::convert(&command, statement, &format!("notify.{key}"), report);
            }
            None => report.ignored(statement, NO_COMMAND),
        }
    }
    let mut mail = top.mail;
    let mut said = false;
    if let Some(statement) = gathered.last("smtp_alert", report)
        && let Some(on) = truth(statement, report)
    {
        (mail, said) = (on, on != top.mail);
        if on && top.server.is_none() {
            report.left_out(statement, "there is no mail server, or nobody to write to");
        } else {
            report.converted(statement, "notify.mail");
        }
    }
    let mut priorities = top.priority_changes;
    if let Some(statement) = gathered.last("notify_priority_changes", report)
        && let Some(on) = truth(statement, report)
    {
        said |= on != priorities;
        priorities = on;
        report.converted(statement, "notify.priority_changes");
    }
    if map.is_empty() && !said {
        return None;
    }
    Notify { priority_changes: priorities, ..top.clone() }.write(&mut map, mail);
    Some(if map.is_empty() { "off".into() } else { Value::Map(map) })
}
