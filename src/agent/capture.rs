//! What the agent makes of each packet, told to whoever looks on: `GET /capture`.
//!
//! `vipctl capture` reads frames from the interface itself, and learns here what became of those that reached the agent:
//! the same decision on the same state, made a moment before the agent acts on it. It could instead ask the same functions
//! with the instance's settings, but those also look at what changes with every advert (who takes part, which signatures
//! were heard), at keys that no report tells, and at whether the packet got past the firewall at all.
//!
//! Told is a fingerprint of the packet, not the packet: there may be a password in it. The protocol thread never waits:
//! a ring of its own for each who looks on, made beforehand, and what does not fit is counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::engine::event::{Claim, Packet, Received};
use crate::engine::judging::{AdvertFate, ClaimFate};
use crate::engine::notice::Discard;
use crate::net::LinkIndex;
use crate::time::Duration;

/// How many may look on at once.
pub const MOST: usize = 4;
/// How many packets may be unread.
const UNREAD: usize = 512;

/// Which packet it is: what the agent and somebody else who received it both know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The interface that it came by.
    pub interface_index: u32,
    /// The bytes of the IPv4 packet, or behind the IPv6 header.
    pub length: usize,
    /// A number made of all of them. No Internet checksum: that is the same for every packet whose checksums are right.
    pub mark: u64,
}

impl Fingerprint {
    /// That of a packet from `link`.
    pub fn of(link: LinkIndex, packet: &Packet<'_>) -> Self {
        let (Packet::Ipv4(bytes) | Packet::Ipv6 { payload: bytes, .. }) = packet;
        Self { interface_index: link.0, length: bytes.len(), mark: mark(bytes) }
    }
}

/// The hash function FNV-1a: short, and good enough to tell packets apart that nobody chose to look alike.
fn mark(bytes: &[u8]) -> u64 {
    let step = |mark: u64, byte: &u8| (mark ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A line of the answer to `GET /capture`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Judged {
    /// Whatever arrives from now on is told.
    Begun,
    /// A datagram of protocol 112.
    Advert {
        /// Which one.
        #[serde(flatten)]
        fingerprint: Fingerprint,
        /// When the kernel received it, in nanoseconds of the wall clock.
        received_ns: u64,
        /// `accepted`, `overheard`, `read_below`, or why it was discarded.
        fate: String,
    },
    /// An ARP packet or a Neighbor Advertisement that names a sender.
    Claim {
        /// The interface that it came by.
        interface_index: u32,
        /// Whose address it says it is.
        mac: String,
        /// The address.
        address: std::net::IpAddr,
        /// `own`, `not_ours`, `not_held`, `successor`, `contested` or `read_below`.
        fate: String,
    },
    /// Nothing is known of so many.
    Lost {
        /// How many.
        count: u64,
    },
}

/// What the protocol thread leaves: nothing in it has to be allocated.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Begun,
    Advert { fingerprint: Fingerprint, stamp: Duration, fate: AdvertFate },
    Claim { claim: Claim, fate: ClaimFate },
}

#[derive(Debug)]
struct Ring {
    kept: Mutex<Kept>,
    arrived: Notify,
}

#[derive(Debug)]
struct Kept {
    seen: VecDeque<Seen>,
    lost: u64,
}

/// The protocol thread's end.
#[derive(Debug)]
pub struct Tap(Arc<Ring>);

/// The end of who looks on.
#[derive(Debug)]
pub struct Onlooker(Arc<Ring>);

/// A way for what is seen.
pub fn way() -> (Tap, Onlooker) {
    let kept = Mutex::new(Kept { seen: VecDeque::with_capacity(UNREAD), lost: 0 });
    let ring = Arc::new(Ring { kept, arrived: Notify::new() });
    (Tap(Arc::clone(&ring)), Onlooker(ring))
}

/// Everybody who looks on; mostly nobody.
#[derive(Debug, Default)]
pub struct Taps(Vec<Tap>);

impl Taps {
    /// One more looks on.
    pub fn add(&mut self, tap: Tap) {
        self.retain();
        if self.0.len() < MOST {
            tap.push(Seen::Begun);
            self.0.push(tap);
        }
    }

    /// A datagram is about to be handed to the engine.
    pub fn advert(&mut self, engine: &Engine, received: &Received<'_>, stamp: Duration) {
        if self.is_watched() {
            let fingerprint = Fingerprint::of(received.link, &received.packet);
            self.push(Seen::Advert { fingerprint, stamp, fate: engine.fate_of_advert(received) });
        }
    }

    /// So is a claim.
    pub fn claim(&mut self, engine: &Engine, claim: Claim) {
        if self.is_watched() {
            self.push(Seen::Claim { claim, fate: engine.fate_of_claim(&claim) });
        }
    }

    fn is_watched(&mut self) -> bool {
        if !self.0.is_empty() {
            self.retain();
        }
        !self.0.is_empty()
    }

    fn retain(&mut self) {
        self.0.retain(|tap| Arc::strong_count(&tap.0) > 1);
    }

    fn push(&self, seen: Seen) {
        self.0.iter().for_each(|tap| tap.push(seen));
    }
}

impl Tap {
    fn push(&self, seen: Seen) {
        {
            let mut kept = locked(&self.0.kept);
            if kept.seen.len() >= UNREAD {
                kept.seen.pop_front();
                kept.lost += 1;
            }
            kept.seen.push_back(seen);
        }
        self.0.arrived.notify_one();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.arrived.notify_one();
    }
}

impl Onlooker {
    /// Waits for what is seen next, oldest first; `None` once nobody will tell any more. Cancel-safe.
    pub async fn next(&self) -> Option<Vec<Judged>> {
        loop {
            {
                let mut kept = locked(&self.0.kept);
                let lost = std::mem::take(&mut kept.lost);
                let lost = (lost > 0).then_some(Judged::Lost { count: lost });
                let seen: Vec<Judged> = lost.into_iter().chain(kept.seen.drain(..).map(judged)).collect();
                if !seen.is_empty() {
                    return Some(seen);
                }
            }
            if Arc::strong_count(&self.0) == 1 {
                return None;
            }
            self.0.arrived.notified().await;
        }
    }
}

fn judged(seen: Seen) -> Judged {
    match seen {
        Seen::Begun => Judged::Begun,
        Seen::Advert { fingerprint, stamp, fate } => {
            let received_ns = u64::try_from(stamp.as_nanos()).unwrap_or(u64::MAX);
            Judged::Advert { fingerprint, received_ns, fate: advert_word(fate).to_owned() }
        }
        Seen::Claim { claim: Claim { link, mac, address }, fate } => Judged::Claim {
            interface_index: link.0,
            mac: mac.to_string(),
            address,
            fate: claim_word(fate).to_owned(),
        },
    }
}

/// A fate as one word.
pub const fn advert_word(fate: AdvertFate) -> &'static str {
    match fate {
        AdvertFate::Accepted => "accepted",
        AdvertFate::Overheard => "overheard",
        AdvertFate::ReadBelow => "read_below",
        AdvertFate::Discarded(reason) => reason.as_str(),
    }
}

/// The fate that a word stands for.
pub fn advert_fate(word: &str) -> Option<AdvertFate> {
    let discards = Discard::ALL.iter().map(|reason| AdvertFate::Discarded(*reason));
    let mut all = [AdvertFate::Accepted, AdvertFate::Overheard, AdvertFate::ReadBelow].into_iter();
    all.by_ref().chain(discards).find(|fate| advert_word(*fate) == word)
}

/// A fate as one word.
pub const fn claim_word(fate: ClaimFate) -> &'static str {
    match fate {
        ClaimFate::Own => "own",
        ClaimFate::NotOurs => "not_ours",
        ClaimFate::NotHeld => "not_held",
        ClaimFate::Successor => "successor",
        ClaimFate::Contested => "contested",
        ClaimFate::ReadBelow => "read_below",
    }
}

/// The fate that a word stands for.
pub fn claim_fate(word: &str) -> Option<ClaimFate> {
    let all = [
        ClaimFate::Own,
        ClaimFate::NotOurs,
        ClaimFate::NotHeld,
        ClaimFate::Successor,
        ClaimFate::Contested,
        ClaimFate::ReadBelow,
    ];
    all.into_iter().find(|fate| claim_word(*fate) == word)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advert(mark: u64) -> Seen {
        let fingerprint = Fingerprint { interface_index: 2, length: 32, mark };
        Seen::Advert { fingerprint, stamp: Duration::from_secs(1), fate: AdvertFate::Accepted }
    }

    #[tokio::test]
    async fn who_does_not_read_loses_the_oldest_and_learns_how_many() {
        let (mut taps, (tap, onlooker)) = (Taps::default(), way());
        taps.add(tap);
        for mark in 0..=512 {
            taps.push(advert(mark));
        }
        let seen = onlooker.next().await.unwrap();
        assert_eq!(seen[0], Judged::Lost { count: 2 }, "the beginning and the first");
        assert_eq!(seen.len(), 1 + UNREAD);
        assert!(matches!(&seen[1], Judged::Advert { fingerprint, .. } if fingerprint.mark == 1));
    }

    #[tokio::test]
    async fn who_has_gone_is_forgotten_and_too_many_are_turned_away() {
        let mut taps = Taps::default();
        let mut ways: Vec<_> = (0..=MOST).map(|_| way()).collect();
        let mut onlookers = Vec::new();
        for (tap, onlooker) in ways.drain(..) {
            taps.add(tap);
            onlookers.push(onlooker);
        }
        let surplus = onlookers.pop().unwrap();
        assert_eq!(surplus.next().await, None, "nobody tells it anything");
        assert_eq!(onlookers[0].next().await, Some(vec![Judged::Begun]));
        onlookers.clear();
        assert!(!taps.is_watched());
    }

    #[test]
    fn packets_whose_checksums_are_right_differ_all_the_same() {
        let one = [0x31, 51, 200, 1, 0, 100, 0xfc, 0x02, 10, 0, 0, 100];
        let other = [0x31, 51, 100, 1, 0, 100, 0x60, 0x03, 10, 0, 0, 100];
        let fingerprint = |bytes| Fingerprint::of(LinkIndex(2), &Packet::Ipv4(bytes));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
        assert_eq!(mark(b"a"), 0xaf63_dc4c_8601_ec8c, "as published");
    }

    #[test]
    fn every_fate_has_a_word_of_its_own() {
        for reason in Discard::ALL {
            let fate = AdvertFate::Discarded(*reason);
            assert_eq!(advert_fate(advert_word(fate)), Some(fate));
        }
        for fate in [AdvertFate::Accepted, AdvertFate::Overheard, AdvertFate::ReadBelow] {
            assert_eq!(advert_fate(advert_word(fate)), Some(fate));
        }
        assert_eq!(claim_fate("contested"), Some(ClaimFate::Contested));
        assert_eq!((advert_fate("contested"), claim_fate("accepted")), (None, None));
    }
}
