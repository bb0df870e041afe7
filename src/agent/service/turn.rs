//! The loop of the service thread, and the ways it ends: asked to, handed on, for an upgrade, or stuck.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::signal::SigSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Service;
use crate::agent::ending::{End, Ending};
use crate::agent::heartbeat::Heartbeats;
use crate::agent::post::{NoticeReader, Refused, Request};
use crate::agent::record::Record;
use crate::agent::signals::{Signals, Wish, signals};
use crate::agent::stamp::Stamp;
use crate::agent::upgrade;
use crate::time::Duration;

/// How long a hand-over may take before everything is released without it.
const HAND_OVER: Duration = Duration::from_secs(2);
/// How long that release may take before the process ends without it; the protocol thread itself gives up earlier.
const RELEASE: Duration = Duration::from_secs(5);
/// How long an answer may need to be on its way.
const ANSWER: Duration = Duration::from_millis(20);
/// How often this thread turns at least.
const TURN: Duration = Duration::from_secs(1);

impl Service {
    /// The loop that never waits for anything but all of its causes at once.
    pub(super) async fn turn(
        self: &Arc<Self>,
        mut notices: NoticeReader,
        mut heartbeats: Heartbeats,
        signals: &mut Signals,
    ) -> Ending {
        let own = heartbeats.register("service");
        let pace = self.systemd.watchdog_pace();
        let mut turns = interval(pace.map_or(TURN, |pace| pace.min(TURN)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fed = Instant::now();
        let mut end = End::NotYet;
        loop {
            tokio::select! {
                batch = notices.next() => match batch {
                    Some(batch) => self.take(batch),
                    None => return end.ending(),
                },
                wish = signals.next() => match wish {
                    Wish::Reload => self.reload_in_background(),
                    Wish::End => end = self.end_sooner(end).await,
                    Wish::HandOn => end = self.hand_on(end, End::HandingOn).await,
                },
                () = self.upgrade.notified() => end = self.hand_on(end, End::Upgrading).await,
                () = end.due() => match end {
                    End::Forced(_) | End::HandingOn(_) | End::Upgrading(_) => return Ending::Stuck,
                    End::NotYet | End::Asked(_) => end = self.end_sooner(end).await,
                },
                _ = turns.tick() => {
                    own.beat();
                    if pace.is_some_and(|pace| fed.elapsed() >= pace) && self.feed(&mut heartbeats) {
                        fed = Instant::now();
                    }
                }
            }
        }
    }

    fn feed(&self, heartbeats: &mut Heartbeats) -> bool {
        match heartbeats.all_beat() {
            Ok(()) => {
                self.systemd.feed_watchdog();
                true
            }
            Err(still) => {
                let threads = still.iter().map(ToString::to_string).collect();
                self.record(Stamp::now(), None, Record::Stuck { threads });
                false
            }
        }
    }

    async fn end_sooner(&self, end: End) -> End {
        let (request, next) = match end {
            End::NotYet => {
                self.systemd.stopping();
                self.record(Stamp::now(), None, Record::Stopping);
                self.notifications.end();
                // Before anything is handed over: should the end be cut short, nobody shall go on with half of it.
                self.bequest.close().await;
                (Request::Shutdown, End::Asked(Instant::now() + HAND_OVER))
            }
            // Whatever has been left by now stays; but it goes no further.
            End::HandingOn(_) | End::Upgrading(_) => return end,
            End::Asked(_) | End::Forced(_) => (Request::ShutdownNow, End::Forced(Instant::now() + RELEASE)),
        };
        match self.post.send(request) {
            // Already over; its last notices are about to say so.
            Ok(()) | Err(Refused::Ended | Refused::Full) => next,
        }
    }

    /// Ends at once, and leaves everything as it is for another agent to go on with.
    async fn hand_on(&self, end: End, next: fn(Instant) -> End) -> End {
        if end != End::NotYet {
            return end;
        }
        let next = next(Instant::now() + RELEASE);
        // A service that says it is stopping is killed when TimeoutStopSec= is over, whichever program it is by then.
        if matches!(next, End::Upgrading(_)) {
            self.systemd.reloading();
            // Whoever wants an end now means the program that follows.
            signals(SigSet::thread_block);
        } else {
            self.systemd.stopping();
        }
        self.notifications.hand_on().await;
        if let Err(error) = self.bequest.hand_on().await {
            return self.stay(next, upgrade::Refused::NoState(error)).await;
        }
        self.record(Stamp::now(), None, Record::HandedOn);
        match self.post.send(Request::Leave) {
            Ok(()) | Err(Refused::Ended | Refused::Full) => next,
        }
    }

    /// What becomes of an end that would leave nothing to go on with: no upgrade, and a stop like any other.
    async fn stay(&self, end: End, why: upgrade::Refused) -> End {
        self.record(Stamp::now(), None, Record::UpgradeRefused { why: why.to_string() });
        self.notifications.resume();
        if matches!(end, End::Upgrading(_)) {
            signals(SigSet::thread_unblock);
            self.systemd.ready();
            return End::NotYet;
        }
        self.end_sooner(End::NotYet).await
    }

    /// The protocol thread has ended: others are told to the end, or what is left for them is written down.
    pub(super) async fn say_farewell(&self, ending: Ending, signals: &mut Signals) {
        match ending {
            Ending::Asked => tokio::select! {
                () = self.notifications.finish() => {}
                // Whoever asks once more does not want to wait.
                () = signals.end() => {}
            },
            Ending::HandedOn | Ending::Upgrade | Ending::Unasked => self.notifications.save(),
            Ending::Stuck => {}
        }
    }

    /// Has the program that is there now take this one's place, or says why it cannot. It does so when the answer to
    /// whoever asked is on its way.
    pub async fn upgrade(self: &Arc<Self>) -> Result<(), upgrade::Refused> {
        let program = self.program.as_ref().ok_or_else(|| upgrade::Refused::NotRunnable {
            path: PathBuf::from("the program"),
            why: io::ErrorKind::NotFound.into(),
        })?;
        let checked = match program.check().await {
            Ok(()) => self.bequest.check().await.map_err(upgrade::Refused::NoState),
            refused => refused,
        };
        if let Err(why) = checked {
            self.record(Stamp::now(), None, Record::UpgradeRefused { why: why.to_string() });
            return Err(why);
        }
        let service = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER).await;
            service.upgrade.notify_one();
        });
        Ok(())
    }
}
