//! What became of each packet: packets from the interface and what the agent tells of them, brought together.
//!
//! A packet waits until the agent has told, but not for long: what the agent has not told of within a second has
//! not reached it. In the other direction what was told waits for its packet, for the two sockets are not read in turn.

use std::collections::VecDeque;
use std::net::IpAddr;

use tokio::time::Instant;

use super::packet::{Packet, What};
use crate::agent::capture::{Fingerprint, Judged, advert_fate, claim_fate};
use crate::engine::judging::{AdvertFate, ClaimFate};
use crate::engine::notice::Discard;
use crate::sys::onlooking::Way;
use crate::time::Duration;

/// How long a packet waits for the agent's word.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many packets, and how many words, wait at most.
const MOST: usize = 4096;
/// The kernel stamps a packet once for all sockets; this is for kernels that do so twice. Adverts of the same bytes are 10 ms
/// apart at least.
const SAME: Duration = Duration::from_millis(4);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is ours.
    Sent,
    /// It is for another host.
    Past,
    /// What the agent made of an advert.
    Advert(AdvertFate),
    /// What the agent made of a claim.
    Claim(ClaimFate),
    /// It claims nothing: it asks who has an address.
    Question,
    /// It arrived, but not at the agent.
    Unseen,
    /// No instance listens there for that.
    Unheard,
    /// The agent told more than was read.
    Unknown,
    /// No agent runs.
    NoAgent,
}

/// Packets that wait for the agent's word, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    packets: VecDeque<(Instant, Packet, Option<Fate>)>,
    words: VecDeque<(Instant, Word)>,
    /// Until when a missing word may be one of the lost.
    doubtful: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Word {
    Advert { fingerprint: Fingerprint, received: Duration, fate: AdvertFate },
    Claim { link: u32, mac: String, address: IpAddr, fate: ClaimFate },
}

impl Waiting {
    /// A packet arrived. What needs no word of the agent's has its fate already.
    pub(super) fn packet(&mut self, now: Instant, packet: Packet, known: Option<Fate>) {
        let said = known.or_else(|| {
            let at = self.words.iter().position(|(_, word)| word.fits(&packet))?;
            self.words.remove(at).map(|(_, word)| word.fate())
        });
        self.packets.push_back((now, packet, said));
    }

    /// The agent told something.
    pub(super) fn told(&mut self, now: Instant, judged: Judged) {
        let word = match judged {
            Judged::Begun => return,
            Judged::Lost { .. } => {
                self.doubtful = Some(now + PATIENCE);
                return;
            }
            Judged::Advert { fingerprint, received_ns, fate } => advert_fate(&fate)
                .map(|fate| Word::Advert { fingerprint, received: Duration::from_nanos(received_ns), fate }),
            Judged::Claim { interface_index: link, mac, address, fate } => {
                claim_fate(&fate).map(|fate| Word::Claim { link, mac, address, fate })
            }
        };
        // A word of a newer agent that this tool does not know.
        let Some(word) = word else { return };
        let mut unsaid = self.packets.iter_mut().filter(|(_, _, fate)| fate.is_none());
        match unsaid.find(|(_, packet, _)| word.fits(packet)) {
            Some((_, _, fate)) => *fate = Some(word.fate()),
            None => self.words.push_back((now, word)),
        }
    }

    /// What can be shown now, in order.
    pub(super) fn ready(&mut self, now: Instant) -> Vec<(Packet, Fate)> {
        let old = |at: Instant| now.duration_since(at) >= PATIENCE;
        while self.words.front().is_some_and(|(at, _)| old(*at)) || self.words.len() > MOST {
            self.words.pop_front();
        }
        let mut ready = Vec::new();
        while let Some((at, _, fate)) = self.packets.front() {
            let silent =
                if self.doubtful.is_some_and(|until| *at < until) { Fate::Unknown } else { Fate::Unseen };
            let fate = match fate {
                Some(fate) => *fate,
                None if old(*at) => silent,
                None if self.packets.len() > MOST => Fate::Unknown,
                None => break,
            };
            if let Some((_, packet, _)) = self.packets.pop_front() {
                ready.push((packet, fate));
            }
        }
        ready
    }

    /// Everything, for there will be no more words.
    pub(super) fn rest(&mut self) -> Vec<(Packet, Fate)> {
        self.packets.drain(..).map(|(_, packet, fate)| (packet, fate.unwrap_or(Fate::Unknown))).collect()
    }
}

impl Word {
    const fn fate(&self) -> Fate {
        match self {
            Self::Advert { fate, .. } => Fate::Advert(*fate),
            Self::Claim { fate, .. } => Fate::Claim(*fate),
        }
    }

    /// Whether it is about this packet.
    fn fits(&self, packet: &Packet) -> bool {
        if packet.way == Way::Out {
            return false;
        }
        match (self, &packet.what) {
            (Self::Advert { fingerprint, received, .. }, What::Advert(advert)) => {
                advert.fingerprint == *fingerprint && received.abs_diff(packet.stamp) <= SAME
            }
            (Self::Claim { link, mac, address, .. }, What::Arp(_) | What::Neighbour(_)) => {
                let same =
                    |(claimed, by): (IpAddr, crate::net::Mac)| claimed == *address && by.to_string() == *mac;
                packet.link == *link && packet.claim().is_some_and(same)
            }
            (Self::Advert { .. }, What::Arp(_) | What::Neighbour(_))
            | (Self::Claim { .. }, What::Advert(_)) => false,
        }
    }
}

impl Fate {
    /// As one word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Past => "other_host",
            Self::Advert(AdvertFate::Accepted) => "accepted",
            Self::Advert(AdvertFate::Overheard) => "overheard",
            Self::Advert(AdvertFate::ReadBelow) | Self::Claim(ClaimFate::ReadBelow) => "read_below",
            Self::Advert(AdvertFate::Discarded(_)) => "discarded",
            Self::Claim(ClaimFate::Own) => "own",
            Self::Claim(ClaimFate::NotOurs) => "not_ours",
            Self::Claim(ClaimFate::NotHeld) => "not_held",
            Self::Claim(ClaimFate::Successor) => "successor",
            Self::Claim(ClaimFate::Contested) => "contested",
            Self::Question => "question",
            Self::Unseen => "not_received",
            Self::Unheard => "not_listened",
            Self::Unknown | Self::NoAgent => "unknown",
        }
    }

    /// Why an advert does not count.
    pub(super) const fn discard(self) -> Option<Discard> {
        match self {
            Self::Advert(AdvertFate::Discarded(reason)) => Some(reason),
            _ => None,
        }
    }

    /// For people.
    pub(super) fn text(self) -> String {
        let text = match self {
            Self::Sent => "sent",
            Self::Past => "is for another host",
            Self::Advert(AdvertFate::Accepted) => "accepted",
            Self::Advert(AdvertFate::Overheard) => "would count, but the instance takes no part now",
            Self::Advert(AdvertFate::ReadBelow) | Self::Claim(ClaimFate::ReadBelow) => {
                "is read on the interface below"
            }
            Self::Advert(AdvertFate::Discarded(reason)) => {
                let clause = reason.clause().map(|clause| format!(" ({clause})")).unwrap_or_default();
                return format!("discarded: {}{clause}", reason.words());
            }
            Self::Claim(ClaimFate::Own) => "is this node's own",
            Self::Claim(ClaimFate::NotOurs) => "means nothing to this node",
            Self::Claim(ClaimFate::NotHeld) => "expected",
            Self::Claim(ClaimFate::Successor) => "the successor has it",
            Self::Claim(ClaimFate::Contested) => "a second holder: announced again against it",
            Self::Question => "a question; who holds the address answers",
            Self::Unseen => "did not reach the agent: does a firewall drop it?",
            Self::Unheard => "no instance listens for it here",
            Self::Unknown => "not known what became of it",
            Self::NoAgent => return String::new(),
        };
        text.to_owned()
    }
}
