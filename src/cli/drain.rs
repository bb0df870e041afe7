//! `vipctl drain`: instances elsewhere, whatever restarts; and how a drain reads.

use super::Exit;
use super::client::Client;
use super::orders::give_away;
use crate::agent::api::TargetOrder;
use crate::agent::api::drain::DrainOrder;
use crate::agent::report::Instance;
use crate::agent::stamp::Stamp;
use crate::time::Duration;

/// Drains, and waits until the addresses are elsewhere.
pub(super) async fn run(client: &Client, target: TargetOrder, duration: Option<Duration>) -> Exit {
    let for_seconds = duration.map(|duration| duration.as_secs());
    let body = DrainOrder { instance: target.instance.clone(), all: target.all, for_seconds };
    give_away(client, &target, "/drain", &body).await
}

/// `until 12:30 UTC`, or until what.
pub(super) fn until(instance: &Instance, now: Stamp) -> Option<String> {
    let drain = instance.drained.as_ref()?;
    Some(match drain.until {
        None => format!("until 'vipctl resume {}'", instance.name),
        Some(until) if until.since(now) < Duration::from_secs(12 * 3600) => {
            format!("until {} UTC", until.time_of_day().get(..5).unwrap_or_default())
        }
        Some(until) => format!("until {}", until.day_and_time()),
    })
}
