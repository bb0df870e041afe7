//! `groups`: instances that are master together, or not at all.

use super::notify::{self, Notify};
use super::problem::At;
use super::read::Item;
use super::scalar;
use super::track::{self, Tracks};
use crate::engine::settings;

/// What stands under the name of a group.
pub(super) const KEYS: &[&str] = &["members", "track", "notify"];

/// A group as written.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: At<String>,
    pub(super) members: Vec<At<String>>,
    pub(super) tracks: Tracks,
    /// Absent as well if it is as all others.
    pub(super) notify: Option<At<Notify>>,
}

impl Group {
    /// Reads an entry of `groups`.
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        let name = item.name();
        scalar::judge_name(&name, item.findings);
        let table = item.table("'members', for example 'members: [web, db]'")?;
        table.only(KEYS, |_| None);
        let expected = "the names of its instances, for example [web, db]";
        let members = table.required("members", "[web, db]").and_then(|item| item.list(expected));
        let member = |item: &Item<'_>| item.read("the name of an instance", |text| Ok(text.to_owned()));
        Some(Self {
            name,
            members: members.iter().flatten().filter_map(member).collect(),
            tracks: table.optional("track").map_or(Tracks::NONE, track::read),
            notify: table.optional("notify").and_then(notify::read),
        })
    }

    /// What is true.
    pub(super) fn settings(self) -> settings::Group {
        settings::Group {
            name: self.name.value,
            members: self.members.into_iter().map(|at| at.value).collect(),
            tracks: self.tracks.list.into_iter().map(|at| at.value).collect(),
        }
    }
}
