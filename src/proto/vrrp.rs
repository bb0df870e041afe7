//! One virtual router: the state machine of RFC 9568, 6.4, and of RFC 3768 for version 2.
//!
//! ```text
//!                 Start                       Silence, then Promote
//!        +------+ ----------------> +--------+ ----------------> +--------+
//!        | Init |                   | Backup |                   | Master |
//!        +------+ <---------------- +--------+ <---------------- +--------+
//!           ^           Stop             |      better advert,       |
//!           |                            |      Yield, Resign        |
//!           +---------- Stop ------------+---------------------------+
//! ```
//!
//! A timer lives inside the only state in which it means anything. `Master_Down_Timer` is not a moment but what
//! it is counted from, so that a new priority or interval moves it without anybody having to remember to.
//!
//! Three things differ from the RFC's picture, and why:
//!
//! * A timer that ran out makes a router *ready*, not master. Several routers move together (the two families of
//!   an instance), so whoever owns them promotes them all at once, in the same turn.
//! * [`Input::Adopt`] leads from Init straight to Master: who gives it vouches that this router is master already, to
//!   everybody but itself.
//! * Only [`Input::Silence`] ends a `Master_Down_Timer`: the clock alone proves nothing while adverts may still
//!   wait in a socket.
//!
//! FAULT is Init with a reason, and the reason is not this machine's business: a router that cannot work is stopped.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::net::Priority;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::Version;

/// What a router is configured with. Priority and interval may change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Decides how `Skew_Time` is counted.
    pub version: Version,
    /// The effective priority.
    pub priority: Priority,
    /// Our own `Advertisement_Interval`.
    pub interval: Duration,
    /// How many intervals without an advert are in `Master_Down_Interval`: the RFCs' 3, or what the operator chose.
    pub missed_adverts: u32,
    /// How long a lower master has to be seen before it is replaced; `None` lets it stay.
    pub preempt: Option<Duration>,
    /// What the lowest priority of all stands for.
    pub last: Last,
    /// The source address of our adverts, which decides between equal priorities.
    pub source: IpAddr,
}

/// What the lowest priority of all, 1, stands for: a master that had better not be one may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is a priority like any other.
    Ordinary,
    /// A last resort: a better router replaces it at once, whatever its `Preempt_Mode`.
    Resort,
    /// The same, and this router is one itself: it does not follow another one that resigns, which may be no better.
    Itself,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    settings: Settings,
    state: State,
    /// `Master_Adver_Interval`: learned from the master in version 3, our own in version 2.
    master_interval: Duration,
}

/// Where a router stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Deaf and silent.
    Init,
    /// Listening.
    Backup {
        /// How its `Master_Down_Timer` stands.
        wait: Wait,
        /// When a lower master that has been seen may be replaced.
        preempt_at: Option<Instant>,
    },
    /// Advertising.
    Master {
        /// `Adver_Timer`.
        next_advert: Instant,
        /// When a reply to somebody else's advert was last sent.
        replied: Option<Instant>,
    },
}

/// What a backup waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// `Master_Down_Interval` counted from here: the last advert that counted, or the start.
    Advert(Instant),
    /// `Skew_Time` counted from here: the master resigned.
    Resigned(Instant),
    /// One interval and `Skew_Time` counted from here: a master that slept past its lease asks who is there.
    Woken(Instant),
    /// Nothing more: it ran out, and the router is ready to be promoted.
    Over(Claim),
}

/// On what grounds a router is ready to be master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the address owner.
    Owner,
    /// `Master_Down_Interval`, of this length, passed without an advert that counts.
    Silence(Duration),
    /// `Skew_Time` passed after the master resigned.
    Resignation,
    /// It was master before it slept, and nobody else was heard since it woke.
    Woken,
}

/// The part of an advert that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When it was received.
    pub at: Instant,
    /// Who sent it.
    pub source: IpAddr,
    /// Its priority.
    pub priority: Priority,
    /// Its interval.
    pub interval: Duration,
}

/// Something that happened to a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Leave Init.
    Start,
    /// Leave Init as the master that an earlier process on this host was until a moment ago.
    Adopt,
    /// The clock moved.
    Tick,
    /// An advert passed all checks of RFC 9568, 7.1.
    Advert(Heard),
    /// The same, but whether a master yields to its sender is decided elsewhere: it answers and stays.
    Contender(Heard),
    /// A master's last advert may not have counted where it has to: say it again.
    Repeat,
    /// Every advert received before this moment has been heard.
    Silence(Instant),
    /// All routers that move together are ready: become master.
    Promote,
    /// A router that moves together with this one lost its role: step back too, without resigning.
    Yield,
    /// Give the role up: resign, and listen for the successor.
    Resign,
    /// The clock jumped past our deadlines without us: what ran out proves nothing.
    Stalled,
    /// Become deaf and silent; a master resigns.
    Stop,
}

/// What a router wants done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send an advert with this priority.
    Advert(Priority),
    /// Send a last advert with our own priority, so that the better master learns that there were two. It is
    /// no sign of life: whatever an advert refreshes, this one does not.
    Farewell(Priority),
    /// Another router holds the role by right: our backup accepted its advert.
    Followed,
    /// A better master made us step back.
    Deposed(Heard),
    /// While we were master another router said that it was, too; 0 says that it has just resigned.
    Rival(Heard),
}

impl Router {
    /// A router in Init.
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Init, master_interval: settings.interval }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What it is configured with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it is master.
    pub fn is_master(&self) -> bool {
        matches!(self.state, State::Master { .. })
    }

    /// Whether it was master before it slept, and asks who is there now.
    pub fn is_woken(&self) -> bool {
        match self.state {
            State::Backup { wait, .. } => matches!(wait, Wait::Woken(_) | Wait::Over(Claim::Woken)),
            State::Init | State::Master { .. } => false,
        }
    }

    /// On what grounds it is ready to be promoted, if it is.
    pub fn ready(&self) -> Option<Claim> {
        match self.state {
            State::Backup { wait: Wait::Over(claim), .. } => Some(claim),
            State::Backup { .. } | State::Init | State::Master { .. } => None,
        }
    }

    /// `Master_Adver_Interval` (RFC 9568, 6.1).
    pub fn master_interval(&self) -> Duration {
        self.master_interval
    }

    /// `Skew_Time`: (256 - priority) / 256 of `Master_Adver_Interval` (RFC 9568, 6.1); in version 2 of one second,
    /// whatever the interval (RFC 3768, 6.1).
    pub fn skew(&self) -> Duration {
        let unit = match self.settings.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.master_interval,
        };
        unit * (256 - u32::from(self.settings.priority.get())) / 256
    }

    /// `Master_Down_Interval`: three adverts, if nothing else is configured, and `Skew_Time` (RFC 9568, 6.1).
    pub fn master_down(&self) -> Duration {
        self.master_interval * self.settings.missed_adverts + self.skew()
    }

    /// When something is due, if nothing else happens first.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Init | State::Backup { wait: Wait::Over(_), .. } => None,
            State::Backup { wait: Wait::Advert(from), .. } => Some(from + self.master_down()),
            State::Backup { wait: Wait::Resigned(from), .. } => Some(from + self.skew()),
            State::Backup { wait: Wait::Woken(from), .. } => Some(from + self.master_interval + self.skew()),
            State::Master { next_advert, .. } => Some(next_advert),
        }
    }

    /// Changes settings in place. A master's next advert carries them; a backup's timer moves with them.
    pub fn configure(&mut self, now: Instant, settings: Settings) {
        let was_owner = self.settings.priority.is_owner();
        self.settings = settings;
        match &mut self.state {
            State::Init => self.master_interval = settings.interval,
            State::Backup { wait, .. } => {
                // In version 3 the master's interval counts, not ours: it may learn the new one after us.
                if settings.version == Version::V2 {
                    self.master_interval = settings.interval;
                }
                if settings.priority.is_owner() && !was_owner {
                    *wait = Wait::Over(Claim::Owner);
                }
            }
            State::Master { next_advert, .. } => {
                self.master_interval = settings.interval;
                *next_advert = (*next_advert).min(now + settings.interval);
            }
        }
    }

    /// Takes one input; appends what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match self.state {
            State::Init => self.in_init(now, input, out),
            State::Backup { wait, preempt_at } => self.in_backup(now, input, wait, preempt_at, out),
            State::Master { next_advert, replied } => self.in_master(now, input, next_advert, replied, out),
        }
    }

    fn in_init(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Adopt => self.take_over(now, out),
            Input::Start => {
                self.master_interval = self.settings.interval;
                let wait = if self.settings.priority.is_owner() {
                    Wait::Over(Claim::Owner)
                } else {
                    Wait::Advert(now)
                };
                self.state = State::Backup { wait, preempt_at: None };
            }
            Input::Tick
            | Input::Advert(_)
            | Input::Contender(_)
            | Input::Repeat
            | Input::Silence(_)
            | Input::Promote
            | Input::Yield
            | Input::Resign
            | Input::Stalled
            | Input::Stop => {}
        }
    }

    fn in_backup(
        &mut self,
        now: Instant,
        input: Input,
        wait: Wait,
        preempt_at: Option<Instant>,
        out: &mut Vec<Output>,
    ) {
        match input {
            Input::Advert(heard) | Input::Contender(heard) => self.backup_hears(heard, wait, preempt_at, out),
            Input::Silence(until) => {
                let claim = match wait {
                    Wait::Advert(_) => Claim::Silence(self.master_down()),
                    Wait::Resigned(_) => Claim::Resignation,
                    Wait::Woken(_) => Claim::Woken,
                    Wait::Over(claim) => claim,
                };
                if self.deadline().is_some_and(|deadline| deadline <= until) {
                    self.state = State::Backup { wait: Wait::Over(claim), preempt_at };
                }
            }
            Input::Promote => self.take_over(now, out),
            Input::Stalled => self.state = State::Backup { wait: Wait::Advert(now), preempt_at },
            Input::Stop => self.state = State::Init,
            Input::Start | Input::Adopt | Input::Tick | Input::Repeat | Input::Yield | Input::Resign => {}
        }
    }

    /// The advert goes first: the sooner the others hear it, the sooner they are silent.
    fn take_over(&mut self, now: Instant, out: &mut Vec<Output>) {
        out.push(Output::Advert(self.settings.priority));
        self.master_interval = self.settings.interval;
        self.state = State::Master { next_advert: now + self.settings.interval, replied: None };
    }

    /// RFC 9568, 6.4.2, (325) to (370), and the preempt delay that operators know from keepalived.
    fn backup_hears(&mut self, heard: Heard, wait: Wait, preempt_at: Option<Instant>, out: &mut Vec<Output>) {
        // Never counted from before the start or a stall: the queue may hold what is older than both.
        let from = match wait {
            Wait::Advert(from) | Wait::Resigned(from) | Wait::Woken(from) => from.max(heard.at),
            Wait::Over(_) => heard.at,
        };
        let is_resort = self.settings.last == Last::Itself;
        if heard.priority == Priority::RESIGN && is_resort && !matches!(wait, Wait::Over(_)) {
            self.state = State::Backup { wait: Wait::Advert(from), preempt_at };
            return;
        }
        if heard.priority == Priority::RESIGN {
            // Whoever is ready stays ready: the master that was in the way is leaving.
            if !matches!(wait, Wait::Over(_)) {
                self.state = State::Backup { wait: Wait::Resigned(from), preempt_at };
            }
            return;
        }
        let lower = heard.priority < self.settings.priority;
        let preempt_at = match self.settings.preempt {
            Some(delay) if lower => Some(preempt_at.unwrap_or(heard.at + delay)),
            Some(_) | None => None,
        };
        // An owner always preempts (RFC 9568, 6.1, Preempt_Mode); only another owner is not lower.
        let is_last = heard.priority == Priority::LAST && self.settings.last == Last::Resort;
        let impatient =
            preempt_at.is_some_and(|at| at <= heard.at) || self.settings.priority.is_owner() || is_last;
        if lower && impatient {
            // A lower master that is to be replaced does not restart the timer: it runs out in spite of it.
            self.state = State::Backup { wait, preempt_at };
            return;
        }
        if self.settings.version == Version::V3 {
            self.master_interval = heard.interval;
        }
        self.state = State::Backup { wait: Wait::Advert(from), preempt_at };
        out.push(Output::Followed);
    }

    fn in_master(
        &mut self,
        now: Instant,
        input: Input,
        next_advert: Instant,
        replied: Option<Instant>,
        out: &mut Vec<Output>,
    ) {
        match input {
            Input::Tick => {
                if next_advert <= now {
                    out.push(Output::Advert(self.settings.priority));
                    // Kept on its grid, unless a whole advert was missed.
                    let on_grid = next_advert + self.settings.interval;
                    let next_advert = if on_grid <= now { now + self.settings.interval } else { on_grid };
                    self.state = State::Master { next_advert, replied };
                }
            }
            Input::Repeat => self.take_over(now, out),
            Input::Advert(heard) if self.is_beaten_by(&heard) => self.yield_to(heard, out),
            Input::Advert(heard) | Input::Contender(heard) => {
                self.answer(now, heard, next_advert, replied, out);
            }
            Input::Yield => {
                out.push(Output::Farewell(self.settings.priority));
                self.listen(now);
            }
            Input::Resign => {
                out.push(Output::Advert(Priority::RESIGN));
                self.listen(now);
            }
            Input::Stalled => self.state = State::Backup { wait: Wait::Woken(now), preempt_at: None },
            Input::Stop => {
                out.push(Output::Advert(Priority::RESIGN));
                self.state = State::Init;
            }
            Input::Start | Input::Adopt | Input::Silence(_) | Input::Promote => {}
        }
    }

    /// The half of RFC 9568, 6.4.3, (705) to (795), that makes a master a backup.
    fn yield_to(&mut self, heard: Heard, out: &mut Vec<Output>) {
        out.push(Output::Farewell(self.settings.priority));
        if self.settings.version == Version::V3 {
            self.master_interval = heard.interval;
        }
        self.state = State::Backup { wait: Wait::Advert(heard.at), preempt_at: None };
        out.push(Output::Deposed(heard));
    }

    /// The other half: what is heard is no better, or only resigns.
    fn answer(
        &mut self,
        now: Instant,
        heard: Heard,
        next_advert: Instant,
        replied: Option<Instant>,
        out: &mut Vec<Output>,
    ) {
        // Told at once, so that it learns who is master; but a flood is answered at a bounded rate.
        if replied.is_none_or(|last| now.since(last) >= REPLY_SPACING) {
            out.push(Output::Advert(self.settings.priority));
            self.state = State::Master { next_advert: now + self.settings.interval, replied: Some(now) };
        } else {
            self.state = State::Master { next_advert, replied };
        }
        out.push(Output::Rival(heard));
    }

    /// A greater priority wins; between equal ones the greater source address, compared as unsigned integers in
    /// network byte order (RFC 9568, 6.4.3).
    fn is_beaten_by(&self, heard: &Heard) -> bool {
        (heard.priority, heard.source) > (self.settings.priority, self.settings.source)
    }

    fn listen(&mut self, from: Instant) {
        self.state = State::Backup { wait: Wait::Advert(from), preempt_at: None };
    }
}

/// The shortest time between two replies to adverts of others: half a flood's worth at the shortest interval of
/// version 3, 10 ms.
const REPLY_SPACING: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
