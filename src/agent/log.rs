//! The agent's log: lines for people or JSON, to stderr, by a thread of their own.
//!
//! Whoever logs never waits: lines pass through a bounded queue, and what does not fit is dropped and counted. A closed
//! stderr ends nothing. The same line again and again is said a few times, a change of state more often, then counted;
//! the last one said tells that.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::stamp::Stamp;
use crate::sys::clock;
use crate::time::{Duration, Instant};

/// How many lines may wait to be written.
const LINES: usize = 1024;
/// How often the same line is said in one [`WINDOW`].
const REPEATS: u32 = 5;
/// How often the same change is: the log of a flapping node must not end with a state that it left long ago.
const CHANGES: u32 = 60;
/// The target of lines that tell a change of state.
pub const CHANGE: &str = "vipd::agent::change";
/// How long a line is remembered after it was first said.
const WINDOW: Duration = Duration::from_secs(60);
/// How many different lines are remembered.
const REMEMBERED: usize = 256;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people; without timestamps but with priorities under journald, which adds the former and reads the latter.
    Text,
    /// One JSON object a line.
    Json,
}

/// Keeps the log going; what waits is written when this is dropped.
pub struct Log {
    dropped: ErrorCounter,
    _writes_the_rest: WorkerGuard,
}

impl Log {
    /// How many lines did not fit.
    pub fn lines_dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Starts logging for the whole process; `VIPD_LOG` may name another level than `info`.
pub fn start(format: Format) -> Log {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    let shape = match format {
        Format::Json => Shape::Json,
        Format::Text if std::env::var_os("JOURNAL_STREAM").is_some() => Shape::Journal,
        Format::Text => Shape::Text,
    };
    let wanted = std::env::var("VIPD_LOG").unwrap_or_default();
    let level = if wanted.is_empty() { Ok(LevelFilter::INFO) } else { wanted.parse() };
    tracing_subscriber::fmt()
        .with_max_level(*level.as_ref().unwrap_or(&LevelFilter::INFO))
        .with_writer(writer)
        .log_internal_errors(false)
        .event_format(Lines { shape, repeats: Mutex::default() })
        .init();
    if level.is_err() {
        tracing::warn!(
            "VIPD_LOG is ignored: '{wanted}' is not one of off, error, warn, info, debug and trace"
        );
    }
    Log { dropped, _writes_the_rest: guard }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    Journal,
    Json,
}

struct Lines {
    shape: Shape,
    repeats: Mutex<Repeats>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let level = *event.metadata().level();
        let verdict = {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            let most = if event.metadata().target() == CHANGE { CHANGES } else { REPEATS };
            repeats.hear(said.digest(), clock::now(), most)
        };
        match verdict {
            Hearing::Said => self.shape.write(&mut to, level, &said, Stamp::now()),
            Hearing::SaidLast => {
                let hint = "from now on counted only, until a minute is over";
                said.fields.push(("repeated".to_owned(), hint.into()));
                self.shape.write(&mut to, level, &said, Stamp::now())
            }
            Hearing::SaidAfter(unsaid) => {
                said.fields.push(("repeated_unsaid".to_owned(), unsaid.into()));
                self.shape.write(&mut to, level, &said, Stamp::now())
            }
            // An error makes the subscriber write nothing at all, and say nothing about it.
            Hearing::Repeated => Err(fmt::Error),
        }
    }
}

/// An event's words and values.
#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: Vec<(String, serde_json::Value)>,
}

impl Said {
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.message.hash(&mut hasher);
        for (name, value) in &self.fields {
            name.hash(&mut hasher);
            value.to_string().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn field(&mut self, field: &Field, value: serde_json::Value) {
        self.fields.push((field.name().to_owned(), value));
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.field(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.field(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value.into());
    }
}

impl Shape {
    fn write(self, to: &mut Writer<'_>, level: Level, said: &Said, now: Stamp) -> fmt::Result {
        match self {
            Self::Text => write!(to, "{now} {level:5} ")?,
            // sd-daemon(3): journald takes the priority from here.
            Self::Journal => write!(to, "<{}>", priority(level))?,
            Self::Json => return write_json(to, level, said, now),
        }
        // A line is a line: what a check or a peer wrote cannot begin another one.
        let mut line = said.message.clone();
        for (name, value) in &said.fields {
            match value.as_str() {
                Some(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => {
                    write!(line, " {name}={text}")?;
                }
                _ => write!(line, " {name}={value}")?,
            }
        }
        writeln!(to, "{}", line.replace(|c: char| c.is_control(), " "))
    }
}

fn write_json(to: &mut Writer<'_>, level: Level, said: &Said, now: Stamp) -> fmt::Result {
    // By hand rather than by a map, which would sort: time, level and message come first.
    let level = level.as_str().to_ascii_lowercase();
    write!(to, r#"{{"time":"{now}","level":"{level}","message":{}"#, json(&said.message))?;
    for (name, value) in &said.fields {
        write!(to, ",{}:{value}", json(name))?;
    }
    writeln!(to, "}}")
}

fn json(text: &str) -> serde_json::Value {
    text.into()
}

/// The level as syslog(3) numbers it.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// What was said lately, and how often.
#[derive(Debug, Default)]
struct Repeats {
    lines: BTreeMap<u64, Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    first: Instant,
    times: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    Said,
    SaidLast,
    SaidAfter(u32),
    Repeated,
}

impl Repeats {
    /// Whether to say a line that may be said `most` times.
    fn hear(&mut self, digest: u64, now: Instant, most: u32) -> Hearing {
        if let Some(heard) = self.lines.get_mut(&digest) {
            if now.since(heard.first) < WINDOW {
                heard.times = heard.times.saturating_add(1);
                return match heard.times.cmp(&most) {
                    Ordering::Less => Hearing::Said,
                    Ordering::Equal => Hearing::SaidLast,
                    Ordering::Greater => Hearing::Repeated,
                };
            }
            let unsaid = heard.times.saturating_sub(most);
            *heard = Heard { first: now, times: 1 };
            return if unsaid > 0 { Hearing::SaidAfter(unsaid) } else { Hearing::Said };
        }
        if self.lines.len() >= REMEMBERED {
            self.lines.retain(|_, heard| now.since(heard.first) < WINDOW);
        }
        if self.lines.len() < REMEMBERED {
            self.lines.insert(digest, Heard { first: now, times: 1 });
        }
        Hearing::Said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shape: Shape, message: &str, fields: &[(&str, &str)]) -> String {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let said = Said { message: message.to_owned(), fields };
        let mut text = String::new();
        let now = "2026-11-21T10:25:00Z".parse().unwrap();
        shape.write(&mut Writer::new(&mut text), Level::WARN, &said, now).unwrap();
        text
    }

    #[test]
    fn text_lines_carry_the_time_and_journal_lines_the_priority() {
        let fields = [("instance", "web"), ("why", "no route")];
        assert_eq!(
            line(Shape::Text, "down", &fields),
            "2026-11-21T10:25:00.000Z WARN  down instance=web why=\"no route\"\n"
        );
        assert_eq!(line(Shape::Journal, "down", &fields), "<4>down instance=web why=\"no route\"\n");
    }

    #[test]
    fn json_lines_begin_with_time_level_and_message() {
        assert_eq!(
            line(Shape::Json, "say \"no\"", &[("instance", "web")]),
            "{\"time\":\"2026-11-21T10:25:00.000Z\",\"level\":\"warn\",\"message\":\"say \\\"no\\\"\",\"instance\":\"web\"}\n"
        );
    }

    #[test]
    fn nobody_can_write_a_second_line() {
        let text = line(Shape::Text, "a\nb", &[("why", "c\r\n\x1b[31md")]);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_line_repeated_too_often_is_counted_and_then_said_with_the_count() {
        let mut repeats = Repeats::default();
        let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        let heard: Vec<_> = (0..8).map(|s| repeats.hear(1, at(s), REPEATS)).collect();
        assert_eq!(heard[..4], [Hearing::Said; 4]);
        assert_eq!(heard[4], Hearing::SaidLast, "whoever reads must know that more is not said");
        assert_eq!(heard[5..], [Hearing::Repeated; 3]);
        assert_eq!(repeats.hear(2, at(9), REPEATS), Hearing::Said, "another line is another line");
        assert_eq!(repeats.hear(1, at(61), REPEATS), Hearing::SaidAfter(3));
        assert_eq!(repeats.hear(1, at(200), REPEATS), Hearing::Said);
    }

    #[test]
    fn the_changes_of_a_flapping_node_are_all_said() {
        let mut repeats = Repeats::default();
        let heard: Vec<_> = (0..50).map(|_| repeats.hear(1, Instant::BOOT, CHANGES)).collect();
        assert_eq!(heard, [Hearing::Said; 50]);
    }

    #[test]
    fn a_flood_of_different_lines_is_not_remembered_without_bound() {
        let mut repeats = Repeats::default();
        for digest in 0..10_000 {
            repeats.hear(digest, Instant::BOOT, REPEATS);
        }
        assert_eq!(repeats.lines.len(), REMEMBERED);
    }
}
