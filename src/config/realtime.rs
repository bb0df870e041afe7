//! `realtime`: whether the threads that adverts depend on go before all others, and whether their memory stays.

use super::problem::At;
use super::read::Item;
use super::scalar;
use crate::sys::realtime::Settings;

/// What stands under `realtime`.
pub(super) const KEYS: &[&str] = &["priority", "lock_memory"];

/// The least: the threads one below have to have one, too.
const LEAST: u8 = 2;

/// The greatest: at 50 are the threads of interrupts where these are threads, and without them no advert arrives.
const MOST: u8 = 49;

/// Reads the value of `realtime`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Settings>> {
    let table = item.table("'priority', 'lock_memory' or both")?;
    table.only(KEYS, |_| None);
    let priority = table.or("priority", None, |item| item.read("a number, for example 10", priority));
    let lock_memory = table.or("lock_memory", false, Item::truth);
    Some(item.at(Settings { priority: priority?.value, lock_memory: lock_memory?.value }))
}

fn priority(text: &str) -> Result<Option<u8>, String> {
    let number = scalar::number(text, LEAST.into(), MOST.into())?;
    Ok(u8::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_leaves_room_below_and_above() {
        assert_eq!((priority("2"), priority("49")), (Ok(Some(2)), Ok(Some(49))));
        for text in ["0", "1", "50", "99", "high", ""] {
            assert_eq!(priority(text), Err(format!("'{text}' is no number from 2 to 49; write one")));
        }
    }
}
