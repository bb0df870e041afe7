//! `track`: which checks bear on an instance, and how.

use super::problem::At;
use super::read::Item;
use crate::codes::Code;
use crate::engine::settings::{Effect, Track};

/// The greatest weight either way: from 1 to 254 or back.
const HEAVIEST: i16 = 253;

/// The tracks as written, each standing where its check is named.
#[derive(Debug)]
pub(super) struct Tracks {
    pub(super) list: Vec<At<Track>>,
    /// Nothing was left out because it was wrong.
    pub(super) whole: bool,
}

impl Tracks {
    /// Those of an instance without `track`.
    pub(super) const NONE: Self = Self { list: Vec::new(), whole: true };

    /// Those of an instance whose `track` is wrong.
    const WRONG: Self = Self { list: Vec::new(), whole: false };
}

/// What may stand under a check that is tracked in other ways than by a word.
pub(super) const KEYS: &[&str] = &["weight", "fault", "multiply", "reverse"];

/// Reads the value of `track`.
pub(super) fn read(item: &Item<'_>) -> Tracks {
    let expected = "the name of a check and what it does, for example 'nginx: -60' or 'nginx: fault'";
    let Some(items) = item.entries(expected) else { return Tracks::WRONG };
    let track = |item: &Item<'_>| {
        let effect = if item.is_map() {
            details(item)?
        } else {
            item.read("fault or a weight, for example -60", effect)?.value
        };
        let At { spot, value: check } = item.name();
        Some(At { spot, value: Track { check, effect } })
    };
    let list: Vec<_> = items.iter().filter_map(track).collect();
    Tracks { whole: list.len() == items.len(), list }
}

/// The effect that is spelled out: `{ weight: 20, reverse: true }`.
fn details(item: &Item<'_>) -> Option<Effect> {
    let table = item.table("what it does, for example '{ weight: 20, reverse: true }'")?;
    table.only(KEYS, |_| None);
    let written: Vec<_> = ["weight", "fault", "multiply"]
        .into_iter()
        .filter_map(|key| Some((key, table.optional(key)?)))
        .collect();
    let &[(key, value)] = written.as_slice() else {
        return match written.get(1) {
            None => {
                item.error(Code::OneOf, "says nothing that it does; write one of weight, fault, multiply")
            }
            Some((_, second)) => {
                second.error(Code::OneOf, "a check does one thing; write one of weight, fault, multiply")
            }
        };
    };
    let reverse = table.or("reverse", false, Item::truth);
    match key {
        "weight" => {
            let weight = value.read("a weight, for example -60", weight)?.value;
            let reversed = Effect::ReversedWeight(weight);
            Some(if reverse?.value { reversed } else { Effect::Weight(weight) })
        }
        "multiply" => {
            let by = value.read("a number, for example 1", multiple)?.value;
            if let (true, Some(item)) = (reverse?.value, table.optional("reverse")) {
                return item.error(
                    Code::Contradiction,
                    format!("is for weights and faults; write 'multiply: {}'", -by),
                );
            }
            Some(Effect::Multiply(by))
        }
        _ => {
            if !value.truth()?.value {
                return value
                    .error(Code::NothingToDo, "there is nothing it does then; remove the check from here");
            }
            Some(if reverse?.value { Effect::FaultWhileUp } else { Effect::Fault })
        }
    }
}

fn multiple(text: &str) -> Result<i16, String> {
    let number = text.parse::<i16>().ok().filter(|by| (-254..=254).contains(by) && *by != 0);
    number.ok_or_else(|| format!("'{text}' multiplies nothing; write -254 to -1, or 1 to 254"))
}

fn weight(text: &str) -> Result<i16, String> {
    let weight = text.parse::<i16>().ok();
    weight
        .filter(|weight| (-HEAVIEST..=HEAVIEST).contains(weight) && *weight != 0)
        .ok_or_else(|| format!("'{text}' is no weight; write -{HEAVIEST} to -1, or 1 to {HEAVIEST}"))
}

fn effect(text: &str) -> Result<Effect, String> {
    if text == "fault" {
        return Ok(Effect::Fault);
    }
    weight(text).map(Effect::Weight).map_err(|_| {
        format!("'{text}' is neither fault nor a weight; write fault, -{HEAVIEST} to -1, or 1 to {HEAVIEST}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_a_fault_or_a_weight_that_weighs_something() {
        assert_eq!(effect("fault"), Ok(Effect::Fault));
        assert_eq!(effect("-60"), Ok(Effect::Weight(-60)));
        assert_eq!(effect("20"), Ok(Effect::Weight(20)));
        assert_eq!(effect("+253"), Ok(Effect::Weight(253)));
        for text in ["0", "-0", "254", "-254", "Fault", "", "1.5", "99999"] {
            let said = effect(text).unwrap_err();
            assert!(said.ends_with("write fault, -253 to -1, or 1 to 253"), "{said}");
        }
    }
}
