//! Adverts that are signed (draft-cassen-vrrp-auth-hmac): whose are believed, which come too late, and with which
//! number ours go out.
//!
//! A signature proves that a sender with the key made an advert once. That nobody says it again is the part of its
//! sequence, which never goes back: whoever listens keeps the greatest one of each sender, its mark, and takes only what
//! comes after. In `time` mode the sequence has to agree with the clock as well, within a window, and a mark outside of
//! it does not count: so clocks may be set, and a sender whose clock was is heard again.
//!
//! ```text
//! sent:      the clock, or one after the last, whichever is greater; in time mode the clock, should the last be farther
//!            ahead of it than the window
//! accepted:  type -> time -> key -> MAC -> mark
//! ```
//!
//! What a router has sent and heard goes with it through reloads, restarts and crashes ([`Signed`]). Marks are handed
//! on as they are. Of the last number sent it is enough to know when that was: the wall clock and the clock of this boot
//! go at the same pace, so no later one was greater than that number and the time since, unless the wall clock was set
//! forward. So nothing has to be written for each advert.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Engine;
use super::action::Action;
use super::instance::Instance;
use super::member::Member;
use super::notice::{Discard, Notice, What};
use super::settings::{AntiReplay, Hmac};
use crate::net::{Family, Vrid};
use crate::time::{Duration, Instant, WallClock};
use crate::wire::vrrp::{Sequence, TRAILER_LENGTH, Trailer};

/// What a virtual router has sent and heard, for whoever speaks in its place later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The interface's name.
    pub interface: String,
    /// The virtual router identifier.
    pub vrid: Vrid,
    /// The family.
    pub family: Family,
    /// The last sequence that it sent, and when.
    pub sent: Option<(Sequence, Instant)>,
    /// The senders that it heard.
    pub marks: Vec<Mark>,
}

impl Signed {
    fn is_same(&self, other: &Self) -> bool {
        (&self.interface, self.vrid, self.family) == (&other.interface, other.vrid, other.family)
    }
}

/// The greatest sequence that was accepted from a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who.
    pub source: IpAddr,
    /// Up to where.
    pub sequence: Sequence,
    /// When it was accepted.
    pub at: Instant,
}

/// A virtual router's side of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Signatures {
    wall: WallClock,
    sent: Option<(Sequence, Instant)>,
    marks: Vec<Mark>,
}

impl Signatures {
    /// The sequence of the next advert.
    pub(super) fn next(&mut self, now: Instant, anti_replay: AntiReplay) -> Sequence {
        let wall = self.wall.at(now);
        let clock = Sequence::at(wall);
        let next = match (self.sent, anti_replay) {
            (None, _) => clock,
            (Some((last, _)), _) if clock.is_after(last) => clock,
            (Some((last, _)), AntiReplay::Time { window }) if last.ahead_of(wall) > seconds(window) => clock,
            (Some((last, _)), AntiReplay::Time { .. } | AntiReplay::Monotonic) => last.next(),
        };
        self.sent = Some((next, now));
        next
    }

    /// Whether `source` has just signed the message that it is said to have sent, received at `at`.
    pub(super) fn verify(
        &self,
        at: Instant,
        source: IpAddr,
        pdu: &[u8],
        trailer: &[u8; TRAILER_LENGTH],
        hmac: &Hmac,
    ) -> Result<Sequence, Discard> {
        let trailer = Trailer::decode(trailer).ok_or(Discard::HmacMalformed)?;
        let wall = self.wall.at(at);
        let is_in_time = |sequence: Sequence| match hmac.anti_replay {
            AntiReplay::Time { window } => {
                sequence.ahead_of(wall).unsigned_abs() <= seconds(window).unsigned_abs()
            }
            AntiReplay::Monotonic => true,
        };
        // Before the MAC is computed: it proves nothing, but it refuses a flood of old ones at no cost.
        if !is_in_time(trailer.sequence) {
            return Err(Discard::HmacStale);
        }
        let key = hmac.keys.get(&trailer.key).ok_or(Discard::HmacUnknownKey)?;
        if !trailer.is_genuine(pdu, source, key) {
            return Err(Discard::HmacInvalid);
        }
        let mut marks = self.marks.iter().filter(|mark| mark.source == source && is_in_time(mark.sequence));
        if marks.any(|mark| !trailer.sequence.is_after(mark.sequence)) {
            return Err(Discard::HmacReplay);
        }
        Ok(trailer.sequence)
    }

    /// An advert was accepted. Of more senders than `most` the one longest silent is forgotten: none gets here
    /// without a key.
    pub(super) fn mark(&mut self, at: Instant, source: IpAddr, sequence: Sequence, most: usize) {
        self.marks.retain(|mark| mark.source != source);
        while self.marks.len() >= most.max(1) {
            let oldest = self.marks.iter().enumerate().min_by_key(|(_, mark)| mark.at);
            let Some((oldest, _)) = oldest else { break };
            self.marks.swap_remove(oldest);
        }
        self.marks.push(Mark { source, sequence, at });
    }

    /// Senders heard since `since` whose clocks are farther from ours than half of the window, and how far ahead.
    pub(super) fn strangers(&self, since: Instant, hmac: &Hmac) -> impl Iterator<Item = (IpAddr, i32)> {
        let most = match hmac.anti_replay {
            AntiReplay::Time { window } => seconds(window) / 2,
            AntiReplay::Monotonic => i32::MAX,
        };
        let heard = self.marks.iter().filter(move |mark| mark.at >= since);
        heard
            .map(|mark| (mark.source, mark.sequence.ahead_of(self.wall.at(mark.at))))
            .filter(move |(_, ahead)| ahead.unsigned_abs() > most.unsigned_abs())
    }

    fn is_blank(&self) -> bool {
        self.sent.is_none() && self.marks.is_empty()
    }
}

fn seconds(window: Duration) -> i32 {
    i32::try_from(window.as_secs()).unwrap_or(i32::MAX)
}

impl Engine {
    /// What the routers sent and heard, for the next agent on this host, should this one end now.
    pub fn signed(&self) -> Vec<Signed> {
        // Those that leave come last, and the others have more recent news.
        let mut all = self.signed.clone();
        for instance in self.instances.iter().rev() {
            for signed in instance.members.iter().filter_map(|member| instance.signed(member)) {
                all.retain(|other| !other.is_same(&signed));
                all.push(signed);
            }
        }
        let surplus = all.len().saturating_sub(MOST_REMEMBERED);
        all.drain(..surplus);
        all
    }

    /// What an earlier agent on this host sent and heard. Comes before the first event.
    pub fn remember(&mut self, now: Instant, mut signed: Vec<Signed>) {
        for signed in &mut signed {
            if let Some((last, at)) = signed.sent {
                // The two clocks were not read at the same moment.
                signed.sent = Some((last.later(now.since(at) + MARGIN), now));
            }
        }
        self.signed = signed;
        self.remind();
    }

    /// Tells routers that are new what was sent and heard in their place, and all of them the time.
    pub(super) fn remind(&mut self) {
        let wall = self.world.wall;
        for instance in &mut self.instances {
            instance.remind(&self.signed, wall);
        }
    }

    /// The wall clock was read. It goes at the pace of ours, so there is nothing to tell unless it was set.
    pub(super) fn set_clock(&mut self, now: Instant, shows: Duration, out: &mut Vec<Action>) {
        let showed = self.world.wall.at(now);
        let by = showed.abs_diff(shows);
        if by < READING {
            return;
        }
        let is_first =
            core::mem::replace(&mut self.world.wall, WallClock::new(now, shows)) == WallClock::default();
        self.remind();
        // Also an occasion to write down what was sent, which can be told from the time since only as long as the clock
        // is left alone.
        if !is_first && by >= MARGIN / 2 && self.instances.iter().any(|i| i.settings.hmac.is_some()) {
            let what = What::ClockSet { forward: shows > showed, by };
            out.push(Action::Tell(Notice { at: now, about: None, what }));
        }
    }
}

impl Instance {
    fn signed(&self, member: &Member) -> Option<Signed> {
        let signatures = &member.signatures;
        (!signatures.is_blank()).then(|| Signed {
            interface: self.settings.interface.clone(),
            vrid: self.settings.vrid,
            family: member.family,
            sent: signatures.sent,
            marks: signatures.marks.clone(),
        })
    }

    fn remind(&mut self, before: &[Signed], wall: WallClock) {
        let Self { settings, members, .. } = self;
        for member in members {
            let is_its = |signed: &&Signed| {
                (&signed.interface, signed.vrid, signed.family)
                    == (&settings.interface, settings.vrid, member.family)
            };
            let signatures = &mut member.signatures;
            signatures.wall = wall;
            if signatures.is_blank()
                && let Some(signed) = before.iter().find(is_its)
            {
                signatures.sent = signed.sent;
                signatures.marks.clone_from(&signed.marks);
            }
        }
    }
}

/// How far the two clocks can seem to move apart because they are not read at the same moment.
const READING: Duration = Duration::from_millis(1);
/// What an earlier agent may have been ahead of its clock.
const MARGIN: Duration = Duration::from_millis(100);
/// How many routers are remembered, those that are gone included.
const MOST_REMEMBERED: usize = 4096;
