//! `track`: which checks bear on an instance, and how.

use super::problem::At;
use super::read::Item;
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

/// Reads the value of `track`.
pub(super) fn read(item: &Item<'_>) -> Tracks {
    let expected = "the name of a check and what it does, for example 'nginx: -60' or 'nginx: fault'";
    let Some(items) = item.entries(expected) else { return Tracks::WRONG };
    let track = |item: &Item<'_>| {
        let effect = item.read("fault or a weight, for example -60", effect)?.value;
        let At { spot, value: check } = item.name();
        Some(At { spot, value: Track { check, effect } })
    };
    let list: Vec<_> = items.iter().filter_map(track).collect();
    Tracks { whole: list.len() == items.len(), list }
}

fn effect(text: &str) -> Result<Effect, String> {
    if text == "fault" {
        return Ok(Effect::Fault);
    }
    let weight =
        text.parse::<i16>().ok().filter(|weight| (-HEAVIEST..=HEAVIEST).contains(weight) && *weight != 0);
    weight.map(Effect::Weight).ok_or_else(|| {
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
