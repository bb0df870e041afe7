//! What is told: one change of one instance or group, in the words that scripts written for keepalived know.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What the news are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Subject {
    /// An instance, by its name.
    Instance(String),
    /// A group, by its name.
    Group(String),
}

impl Subject {
    /// The operator's name for it.
    pub fn name(&self) -> &str {
        match self {
            Self::Instance(name) | Self::Group(name) => name,
        }
    }

    /// The instance's name, if it is one.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Instance(name) => Some(name),
            Self::Group(_) => None,
        }
    }

    /// `INSTANCE` or `GROUP`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
        }
    }
}

impl fmt::Display for Subject {
    /// `web`, or `group web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(name) => f.write_str(name),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It holds the addresses.
    Master,
    /// Another node does, or nobody yet.
    Backup,
    /// It cannot.
    Fault,
    /// The agent ends.
    Stop,
    /// It is not configured any more.
    Deleted,
    /// While it was master, an advert of lower priority was heard.
    LowerAdvert,
    /// The priority of a master changed.
    MasterPriority,
    /// The priority of a backup changed.
    BackupPriority,
}

impl Word {
    /// As scripts and readers of a FIFO know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::LowerAdvert => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        }
    }

    /// Whether it is a state that lasts until the next one.
    pub const fn is_state(self) -> bool {
        !matches!(self, Self::LowerAdvert | Self::MasterPriority | Self::BackupPriority)
    }

    /// Whether it says no more than that the priority changed.
    pub const fn is_priority(self) -> bool {
        matches!(self, Self::MasterPriority | Self::BackupPriority)
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// What no other news of any node has: whoever hears it twice can tell.
    pub id: String,
    /// When it happened, RFC 3339 in UTC.
    pub time: String,
    /// The host's name.
    pub node: String,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// What became of it.
    pub state: Word,
    /// The state told before; none if this is the first.
    pub previous: Option<Word>,
    /// Why, as a sentence.
    pub reason: String,
    /// The priority in adverts.
    pub priority: u8,
    /// The interface; a group has none.
    pub interface: Option<String>,
    /// The virtual router identifier; a group has none.
    pub virtual_router_id: Option<u8>,
    /// How many changes before this one were not told, because too many waited.
    pub skipped: u64,
}

impl News {
    /// What follows a script's own arguments: `INSTANCE web MASTER 150`.
    pub fn arguments(&self) -> [String; 4] {
        let Self { subject, state, priority, .. } = self;
        [
            subject.as_str().to_owned(),
            subject.name().to_owned(),
            state.as_str().to_owned(),
            priority.to_string(),
        ]
    }

    /// A line for a FIFO: `INSTANCE "web" MASTER 150`, with its end.
    pub fn line(&self) -> String {
        let Self { subject, state, priority, .. } = self;
        format!("{} \"{}\" {} {priority}\n", subject.as_str(), subject.name(), state.as_str())
    }

    /// The news as a sentence: `[lb1] web is MASTER: no master heard for 3609 ms`.
    pub fn sentence(&self) -> String {
        let Self { node, subject, state, reason, .. } = self;
        let became = match state {
            Word::Master | Word::Backup => format!("is {}", state.as_str()),
            Word::Fault => "is in FAULT".to_owned(),
            Word::Stop => "is stopped".to_owned(),
            Word::Deleted => "is deleted".to_owned(),
            Word::LowerAdvert => "is MASTER and heard another one".to_owned(),
            Word::MasterPriority | Word::BackupPriority => format!("has priority {}", self.priority),
        };
        format!("[{node}] {subject} {became}: {reason}")
    }

    /// What a script finds in its environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let previous = self.previous.map_or("", Word::as_str);
        let id = self.virtual_router_id.map(|id| id.to_string()).unwrap_or_default();
        let known = [
            ("VIPD_EVENT_ID", self.id.clone()),
            ("VIPD_TIME", self.time.clone()),
            ("VIPD_NODE", self.node.clone()),
            ("VIPD_KIND", self.subject.as_str().to_owned()),
            ("VIPD_NAME", self.subject.name().to_owned()),
            ("VIPD_STATE", self.state.as_str().to_owned()),
            ("VIPD_PREVIOUS", previous.to_owned()),
            ("VIPD_REASON", self.reason.clone()),
            ("VIPD_PRIORITY", self.priority.to_string()),
            ("VIPD_INTERFACE", self.interface.clone().unwrap_or_default()),
            ("VIPD_VRID", id),
            ("VIPD_SKIPPED", self.skipped.to_string()),
        ];
        // A zero byte would keep the program from being started; it comes from nothing of ours.
        known.into_iter().map(|(key, value)| (key.to_owned(), value.replace('\0', "?"))).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// News number `number` about the instance `name`.
    pub(in crate::notify) fn news(name: &str, state: Word, number: u64) -> News {
        News {
            id: format!("lb1-{number}"),
            time: "2026-11-21T10:25:00.000Z".to_owned(),
            node: "lb1".to_owned(),
            subject: Subject::Instance(name.to_owned()),
            state,
            previous: Some(Word::Backup),
            reason: "no master heard for 3609 ms".to_owned(),
            priority: 150,
            interface: Some("eth0".to_owned()),
            virtual_router_id: Some(51),
            skipped: 0,
        }
    }

    #[test]
    fn a_line_and_arguments_are_as_keepalived_writes_them() {
        let mut news = news("web", Word::Master, 1);
        assert_eq!(news.line(), "INSTANCE \"web\" MASTER 150\n");
        assert_eq!(news.arguments(), ["INSTANCE", "web", "MASTER", "150"]);
        news.subject = Subject::Group("site".to_owned());
        (news.state, news.priority) = (Word::LowerAdvert, 0);
        assert_eq!(news.line(), "GROUP \"site\" MASTER_RX_LOWER_PRI 0\n");
    }

    #[test]
    fn the_form_as_json_is_the_same_for_ever() {
        let expected = concat!(
            r#"{"id":"lb1-1","time":"2026-11-21T10:25:00.000Z","node":"lb1","kind":"instance","name":"web","#,
            r#""state":"master","previous":"backup","reason":"no master heard for 3609 ms","priority":150,"#,
            r#""interface":"eth0","virtual_router_id":51,"skipped":0}"#
        );
        let news = news("web", Word::Master, 1);
        assert_eq!(serde_json::to_string(&news).unwrap(), expected);
        assert_eq!(serde_json::from_str::<News>(expected).unwrap(), news);
    }

    #[test]
    fn news_read_as_a_sentence() {
        let mut news = news("web", Word::Master, 1);
        assert_eq!(news.sentence(), "[lb1] web is MASTER: no master heard for 3609 ms");
        news.state = Word::Fault;
        news.subject = Subject::Group("site".to_owned());
        assert_eq!(news.sentence(), "[lb1] group site is in FAULT: no master heard for 3609 ms");
    }
}
