//! `damping`: how often the role may be lost before others had better have it for a while.

use super::duration;
use super::problem::At;
use super::read::Item;
use super::scalar;
use crate::engine::settings::Damping;
use crate::time::Duration;

/// What stands under `damping`.
pub(super) const KEYS: &[&str] = &["changes", "within", "hold"];

const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads the value of `damping`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Damping>> {
    let table = item.table("'changes', 'within' or 'hold'")?;
    table.only(KEYS, |_| None);
    let time = |key, default: u64| {
        table.or(key, Duration::from_secs(default), |item| {
            item.read("a duration, for example 60s", |text| {
                duration::between(text, Duration::from_secs(1), LONGEST)
            })
        })
    };
    let changes = table.or("changes", 3, |item| item.read("2 to 100", |text| scalar::number(text, 2, 100)));
    let (within, hold) = (time("within", 60), time("hold", 300));
    Some(item.at(Damping { changes: changes?.value, within: within?.value, hold: hold?.value }))
}
