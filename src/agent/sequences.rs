//! Where signatures have got to, as JSON in the runtime directory: what was sent last and heard last, so that an agent
//! that starts sends nothing its peers have seen and believes nothing its predecessor has heard.
//!
//! Apart from the state file, because it outlives a stop, and because every advert would be an occasion to write it: so
//! the clock is, besides what happens. What a crash makes it forget is what was heard in the last five seconds; of what
//! was sent nothing, for that is known from the time since (`engine::signing`). An orderly end, whether stop, restart or
//! upgrade, writes it last of all.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::history::{ENTRIES, History};
use super::post::{Post, Refused, Request};
use super::state::{self, Unusable};
use crate::engine::signing::{Mark, Signed};
use crate::net::{Family, Vrid};
use crate::sys::clock;
use crate::time::Instant;
use crate::wire::vrrp::Sequence;

/// Reads what was left in a runtime directory; nothing if there is no file, or none of use.
pub fn read(directory: &Path, now: Instant) -> Vec<Signed> {
    let found = clock::boot_id().map_err(Unusable::from).and_then(|boot_id| {
        let text = state::read_file(directory, NAME)?;
        text.map_or(Ok(Vec::new()), |text| decode(&text, &boot_id, now))
    });
    found.unwrap_or_else(|why| {
        tracing::warn!("{} is ignored: {why}", directory.join(NAME).display());
        Vec::new()
    })
}

/// Puts it in the place of what was there, whole or not at all. Of nothing there is no file.
pub fn write(directory: &Path, signed: &[Signed]) -> io::Result<()> {
    if signed.is_empty() {
        return Ok(());
    }
    let written = Written {
        schema: SCHEMA,
        boot_id: clock::boot_id()?,
        routers: signed.iter().map(WrittenRouter::from_signed).collect(),
    };
    state::replace(directory, NAME, &serde_json::to_vec(&written)?)
}

/// Writes it whenever something happened and every few seconds, as long as the agent runs and `is_wanted`.
pub async fn keep(directory: PathBuf, post: Post, history: Arc<History>, is_wanted: impl Fn() -> bool) {
    let (mut known, mut follower) = (Vec::new(), history.follow(0));
    loop {
        // A router that became master, or a clock that was set: the numbers sent cannot be told from those before.
        let waited = timeout(EVERY, follower.next(ENTRIES)).await;
        if waited.is_ok() {
            sleep(PAUSE).await;
        }
        if !is_wanted() {
            continue;
        }
        let (answer, answered) = oneshot::channel();
        match post.send(Request::Signed(answer)) {
            Ok(()) => {}
            Err(Refused::Full) => continue,
            Err(Refused::Ended) => return,
        }
        let Ok(Ok(signed)) = timeout(EVERY, answered).await else { continue };
        if signed != known {
            if let Err(error) = write(&directory, &signed) {
                tracing::warn!(%error, "cannot write {}", directory.join(NAME).display());
            }
            known = signed;
        }
    }
}

fn decode(text: &[u8], boot_id: &str, now: Instant) -> Result<Vec<Signed>, Unusable> {
    let written: Written = serde_json::from_slice(text)?;
    if written.schema != SCHEMA {
        return Err(Unusable::Schema(written.schema));
    }
    // The moments of another boot mean nothing, but what was heard was heard.
    let since = (written.boot_id != boot_id).then_some(now);
    let routers = written.routers.into_iter().map(|router| router.into_signed(since, now));
    routers.collect::<Result<_, _>>().map_err(Unusable::Nonsense)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: u64,
    boot_id: String,
    routers: Vec<WrittenRouter>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRouter {
    interface: String,
    virtual_router_id: u8,
    ipv6: bool,
    sent: Option<WrittenMark<()>>,
    heard: Vec<WrittenMark<IpAddr>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMark<S> {
    source: S,
    sequence: u64,
    at_ns: u64,
}

impl WrittenRouter {
    fn from_signed(signed: &Signed) -> Self {
        let mark = |(sequence, at): (Sequence, Instant)| WrittenMark {
            source: (),
            sequence: sequence.to_bits(),
            at_ns: at.as_nanos(),
        };
        let heard = signed.marks.iter().map(|mark| WrittenMark {
            source: mark.source,
            sequence: mark.sequence.to_bits(),
            at_ns: mark.at.as_nanos(),
        });
        Self {
            interface: signed.interface.clone(),
            virtual_router_id: signed.vrid.get(),
            ipv6: signed.family == Family::Ipv6,
            sent: signed.sent.map(mark),
            heard: heard.collect(),
        }
    }

    fn into_signed(self, since: Option<Instant>, now: Instant) -> Result<Signed, &'static str> {
        let moment = |at_ns| match since {
            Some(since) => Ok(since),
            None => Some(Instant::from_nanos(at_ns)).filter(|at| *at <= now).ok_or("a moment"),
        };
        let mark = |mark: WrittenMark<IpAddr>| {
            let (source, sequence) = (mark.source, Sequence::from_bits(mark.sequence));
            Ok::<_, &'static str>(Mark { source, sequence, at: moment(mark.at_ns)? })
        };
        let sent = self
            .sent
            .map(|sent| Ok::<_, &'static str>((Sequence::from_bits(sent.sequence), moment(sent.at_ns)?)));
        Ok(Signed {
            interface: self.interface,
            vrid: Vrid::new(self.virtual_router_id).ok_or("a virtual router identifier")?,
            family: if self.ipv6 { Family::Ipv6 } else { Family::Ipv4 },
            sent: sent.transpose()?,
            marks: self.heard.into_iter().map(mark).collect::<Result<_, _>>()?,
        })
    }
}

/// The file's name in the runtime directory.
pub const NAME: &str = "sequences.json";
const SCHEMA: u64 = 1;
/// How often it is written while anything is signed: an interval of memory for an attacker, a file in memory for us.
const EVERY: Duration = Duration::from_secs(5);
/// Whatever else happens right now is written together.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(9_000_000_000);

    fn some() -> Vec<Signed> {
        let at = Instant::from_nanos(8_000_000_000);
        let mark = |source: &str, bits| Mark {
            source: source.parse().unwrap(),
            sequence: Sequence::from_bits(bits),
            at,
        };
        let router = |family, sent, marks| Signed {
            interface: "eth0".to_owned(),
            vrid: Vrid::new(51).unwrap(),
            family,
            sent,
            marks,
        };
        vec![
            router(Family::Ipv4, Some((Sequence::from_bits(u64::MAX), at)), vec![]),
            router(Family::Ipv6, None, vec![mark("fe80::9", 7), mark("fe80::8", 1 << 40)]),
        ]
    }

    fn text(boot_id: &str) -> String {
        let routers = some().iter().map(WrittenRouter::from_signed).collect();
        serde_json::to_string(&Written { schema: SCHEMA, boot_id: boot_id.to_owned(), routers }).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode(text("boot").as_bytes(), "boot", NOW).unwrap(), some());
    }

    #[test]
    fn after_another_boot_the_numbers_count_and_the_moments_do_not() {
        let read = decode(text("boot").as_bytes(), "another", Instant::BOOT).unwrap();
        assert_eq!(read[1].marks[0].sequence, some()[1].marks[0].sequence);
        assert_eq!((read[0].sent.unwrap().1, read[1].marks[0].at), (Instant::BOOT, Instant::BOOT));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (old, new) in
            [("\"schema\":1", "\"schema\":2"), (":51", ":0"), ("8000000000", "9000000001"), ("fe80::9", "x")]
        {
            let text = text("boot").replace(old, new);
            assert!(decode(text.as_bytes(), "boot", NOW).is_err(), "{text}");
        }
        assert!(decode(b"[]", "boot", NOW).is_err());
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_readable_by_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = std::env::temp_dir().join(format!("vipd-sequences-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let before = read(&directory, NOW);
        write(&directory, &some()).unwrap();
        write(&directory, &[]).unwrap();
        let after = read(&directory, NOW);
        let mode = std::fs::metadata(directory.join(NAME)).unwrap().permissions().mode();
        let files = std::fs::read_dir(&directory).unwrap().count();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!((before, after, mode & 0o777, files), (vec![], some(), 0o600, 1));
    }
}
