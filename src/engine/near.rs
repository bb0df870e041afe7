//! Near misses: how close a backup came to taking over, as the gap between two adverts of one master in relation to the
//! timer that was armed meanwhile.
//!
//! Measured by the times at which the kernel received them, so that a late turn of our own loop makes no gap. Nothing is
//! decided here, and nothing is allocated for an advert: what is kept is counts, and the worst of each slice of time.

use core::fmt;
use core::net::IpAddr;

use super::notice::Millis;
use crate::proto::vrrp::Heard;
use crate::time::{Duration, Instant};

/// The time between two adverts of one master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the second one came.
    pub at: Instant,
    /// How long after the first.
    pub length: Duration,
    /// After how long this node would have taken over.
    pub timer: Duration,
    /// What may have made it longer than it should be, if it was.
    pub cause: Option<Cause>,
}

/// What may have made a gap long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This machine did not run in time itself.
    Here {
        /// How late it was.
        late: Duration,
    },
    /// The gap is about a multiple of the interval: adverts were sent and did not arrive.
    Lost {
        /// How many.
        adverts: u32,
    },
    /// It is not, so the master sent late.
    There,
}

impl Gap {
    /// Its share of the timer, in thousandths.
    pub fn permille(&self) -> u64 {
        let permille = self.length.as_nanos() * 1000 / self.timer.as_nanos().max(1);
        u64::try_from(permille).map_or(MOST, |permille| permille.min(MOST))
    }
}

impl Cause {
    /// One word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Here { .. } => "own_lateness",
            Self::Lost { .. } => "lost_adverts",
            Self::There => "late_master",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here { late } => write!(f, "this machine was late itself, by {}", Millis(*late)),
            Self::Lost { adverts: 1 } => f.write_str("1 advert did not arrive"),
            Self::Lost { adverts } => write!(f, "{adverts} adverts in a row did not arrive"),
            Self::There => f.write_str("the master sent late"),
        }
    }
}

/// What a virtual router knows of its gaps.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Nearness {
    /// How many gaps were less than each share of [`SHARES`], and not less than the one before; and all others.
    pub counts: [u64; SHARES.len() + 1],
    /// The shares of all gaps together, in thousandths of a timer.
    pub total_permille: u64,
    /// How many were near misses.
    pub misses: u64,
    /// The last near miss.
    pub last: Option<Gap>,
    /// The worst gap of all.
    pub worst: Option<Gap>,
    hour: Slices<13>,
    day: Slices<25>,
    /// The last advert that counted, while nothing has happened since that makes its time void.
    heard: Option<(Instant, IpAddr)>,
    /// When this machine was late last, and how much.
    late: Option<(Instant, Duration)>,
    /// When a near miss was last told.
    told: Option<Instant>,
    news: Option<(IpAddr, Gap)>,
}

impl Nearness {
    /// An advert restarted a timer of this length; its sender's interval was this one before.
    pub(super) fn hear(&mut self, heard: &Heard, timer: Duration, interval: Duration, threshold: u8) {
        let before = self.heard.replace((heard.at, heard.source));
        let Some((from, _)) = before.filter(|(_, source)| *source == heard.source) else { return };
        let length = heard.at.since(from);
        let cause = self.cause(from, length, interval);
        let gap = Gap { at: heard.at, length, timer, cause };
        let permille = gap.permille();
        let place = SHARES.iter().position(|share| permille < u64::from(*share) * 10);
        if let Some(count) = self.counts.get_mut(place.unwrap_or(SHARES.len())) {
            *count += 1;
        }
        self.total_permille = self.total_permille.saturating_add(permille);
        self.worst = Some(worse(self.worst, gap));
        self.hour.note(gap, HOUR);
        self.day.note(gap, DAY);
        if permille >= u64::from(threshold) * 10 {
            self.misses += 1;
            self.last = Some(gap);
            if self.told.is_none_or(|told| heard.at.since(told) >= TOLD_EVERY) {
                self.told = Some(heard.at);
                self.news = Some((heard.source, gap));
            }
        }
    }

    /// What comes next ends no gap: this router stopped listening for this master, or the master resigned.
    pub(super) fn forget(&mut self) {
        self.heard = None;
    }

    /// This machine was late.
    pub(super) fn was_late(&mut self, now: Instant, late: Duration) {
        self.late = Some((now, late));
    }

    /// A near miss that is to be told.
    pub(super) fn news(&mut self) -> Option<(IpAddr, Gap)> {
        self.news.take()
    }

    /// The worst gap of the last hour.
    pub fn worst_of_hour(&self, now: Instant) -> Option<Gap> {
        self.hour.worst(now, HOUR)
    }

    /// The worst gap of the last 24 hours.
    pub fn worst_of_day(&self, now: Instant) -> Option<Gap> {
        self.day.worst(now, DAY)
    }

    fn cause(&self, from: Instant, length: Duration, interval: Duration) -> Option<Cause> {
        let excess = length.saturating_sub(interval);
        if interval.is_zero() || excess < interval / 2 {
            return None;
        }
        if let Some((_, late)) = self.late.filter(|(at, late)| *at > from && *late >= excess / 2) {
            return Some(Cause::Here { late });
        }
        let (length, interval) = (length.as_nanos(), interval.as_nanos());
        let intervals = (length + interval / 2) / interval;
        let off = length.abs_diff(intervals * interval);
        let lost = u32::try_from(intervals.saturating_sub(1)).unwrap_or(u32::MAX);
        Some(if lost > 0 && off <= interval / TOLERANCE {
            Cause::Lost { adverts: lost }
        } else {
            Cause::There
        })
    }
}

/// The worst gap of each slice of a time that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slices<const N: usize>([Option<Gap>; N]);

impl<const N: usize> Default for Slices<N> {
    fn default() -> Self {
        Self([None; N])
    }
}

impl<const N: usize> Slices<N> {
    fn note(&mut self, gap: Gap, span: Duration) {
        // The span does not begin where a slice does.
        let width = (span.as_nanos() / (N as u128 - 1).max(1)).max(1);
        let number = |at: Instant| u128::from(at.as_nanos()) / width;
        let place = usize::try_from(number(gap.at) % N as u128).unwrap_or(0);
        if let Some(slot) = self.0.get_mut(place) {
            let current = slot.filter(|old| number(old.at) == number(gap.at));
            *slot = Some(worse(current, gap));
        }
    }

    fn worst(&self, now: Instant, span: Duration) -> Option<Gap> {
        let fresh = self.0.iter().flatten().filter(|gap| now.since(gap.at) <= span);
        fresh.fold(None, |worst, gap| Some(worse(worst, *gap)))
    }
}

fn worse(known: Option<Gap>, gap: Gap) -> Gap {
    known.filter(|known| known.permille() >= gap.permille()).unwrap_or(gap)
}

/// Where the shares of the timer are divided, in hundredths.
pub const SHARES: [u8; 3] = [50, 75, 90];
/// From which share of the timer on a gap is a near miss, unless the operator says otherwise, in hundredths.
pub const THRESHOLD: u8 = 80;
/// No share is said to be larger, in thousandths.
const MOST: u64 = 100_000;
/// By which part of an interval a gap may be off a multiple of it for adverts to be taken for lost.
const TOLERANCE: u128 = 8;
/// Near misses are told once in this time; all are counted.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
