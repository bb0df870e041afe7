//! `announce`: when addresses are announced besides the first burst.

use super::duration;
use super::problem::At;
use super::read::Item;
use crate::engine::settings::Announce;
use crate::time::Duration;

/// What stands under `announce`.
pub(super) const KEYS: &[&str] = &["again_after", "refresh"];

/// What happens without `announce`: switches that lost the first burst learn from the second, and a table
/// that was spoilt in between is right again within the minute.
pub(super) const DEFAULT: Announce =
    Announce { again_after: Some(Duration::from_secs(5)), refresh: Some(Duration::from_secs(60)) };

/// Reads the value of `announce`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Announce>> {
    let table = item.table("'again_after' or 'refresh'")?;
    table.only(KEYS, |_| None);
    let again_after =
        table.or("again_after", DEFAULT.again_after, |item| pause(item, Duration::from_millis(100)));
    let refresh = table.or("refresh", DEFAULT.refresh, |item| pause(item, Duration::from_secs(1)));
    Some(item.at(Announce { again_after: again_after?.value, refresh: refresh?.value }))
}

/// A duration from `least` to 1h, or none.
fn pause(item: &Item<'_>, least: Duration) -> Option<At<Option<Duration>>> {
    item.read("a duration or off", |text| match text {
        "off" => Ok(None),
        _ => duration::between(text, least, Duration::from_secs(3600))
            .map(Some)
            .map_err(|said| format!("{said}, or off")),
    })
}
