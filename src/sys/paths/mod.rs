//! Routes and rules with our mark, which is a protocol number of its own (`RTA_PROTOCOL`, `FRA_PROTOCOL`): only what
//! carries it is ever removed.
//!
//! An IPv4 route goes before one of the operator's with the same destination and metric, as ip-route(8)'s `prepend`
//! does; it hides that one and leaves it alone. IPv6 would make one route with two ways of both, so there it is refused.

mod routes;
mod rules;

use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use nix::libc;

use super::netlink::{Failure, Netlink};
use crate::engine::event::{Refusal, SeenPath};
use crate::engine::path::{Path, PathKey};
use crate::net::Family;

pub(super) use routes::gone as route_gone;

/// Puts routes and rules in, and takes them out.
#[derive(Debug)]
pub struct Paths {
    netlink: Netlink,
}

impl Paths {
    /// Opens a netlink socket.
    pub fn open() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open()? })
    }

    /// Puts in a batch (at most [`BATCH`](super::netlink::BATCH)), in order, and returns each one's result. What is
    /// there already and ours is success.
    pub fn add(&mut self, paths: &[Path]) -> Vec<Result<(), Refusal>> {
        let mut results = Vec::with_capacity(paths.len());
        // One kind after the other: requests of one send have the same flags.
        for alike in paths.chunk_by(|a, b| flags(a) == flags(b)) {
            let requests = alike.iter().map(addition).collect();
            let flags = alike.first().map_or(0, flags);
            results.extend(self.netlink.batch(requests, flags));
        }
        let mut ours = None;
        let outcomes = paths.iter().zip(results);
        outcomes.map(|(path, result)| self.added(path, result, &mut ours)).collect()
    }

    fn added(
        &mut self,
        path: &Path,
        result: Result<(), Failure>,
        ours: &mut Option<BTreeSet<PathKey>>,
    ) -> Result<(), Refusal> {
        let Err(failure) = result else { return Ok(()) };
        if failure.errno != libc::EEXIST {
            return Err(refusal("add", &path.to_string(), &failure, ""));
        }
        if ours.is_none() {
            *ours = self.all().ok().map(|seen| seen.into_iter().map(|seen| seen.key).collect());
        }
        if ours.as_ref().is_some_and(|ours| ours.contains(&path.key())) {
            return Ok(());
        }
        let remedy = match path {
            Path::Route(_) => "; there is another one with the same metric: give this one a lower 'metric'",
            Path::Rule(_) => "; there is the same one of somebody else's",
        };
        Err(refusal("add", &path.to_string(), &failure, remedy))
    }

    /// Removes a batch, in order, and returns each one's result. What is not there is success: nothing of ours is left.
    pub fn remove(&mut self, keys: &[PathKey]) -> Vec<Result<(), Refusal>> {
        let mut results = vec![Ok(()); keys.len()];
        let mut left: Vec<usize> = (0..keys.len()).collect();
        // An IPv4 route may hide another one with the same key.
        for _ in 0..MOST_ALIKE {
            let outcomes = self.netlink.batch(left.iter().map(|at| removal(&keys[*at])).collect(), 0);
            let mut again = Vec::new();
            for (at, outcome) in left.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) if hides(&keys[at]) => again.push(at),
                    Err(failure) if !GONE.contains(&failure.errno) => {
                        results[at] = Err(refusal("remove", &keys[at].to_string(), &failure, ""));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            left = again;
        }
        results
    }

    /// Everything with our mark.
    pub fn all(&mut self) -> io::Result<Vec<SeenPath>> {
        let mut all = Vec::new();
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut found = Vec::new();
            self.netlink.dump(&routes::question(family), &mut found, |found, message| {
                // Kernels before 4.20 dump everybody's whatever was asked.
                found.extend(routes::seen(message.payload).ok().flatten());
            })?;
            all.append(&mut found);
            self.netlink.dump(&rules::question(family), &mut found, |found, message| {
                let rule = rules::seen(message.payload).ok().flatten();
                found.extend(rule.map(|rule| SeenPath { key: PathKey::Rule(rule), route: None }));
            })?;
            all.append(&mut found);
        }
        Ok(all)
    }
}

/// A rule with our mark that a report says is gone.
pub(super) fn rule_gone(payload: &[u8]) -> Result<Option<PathKey>, super::picture::Undecodable> {
    Ok(rules::seen(payload)?.map(PathKey::Rule))
}

/// IPv4 routes go before what is there with the same key; an equal one is refused all the same.
fn flags(path: &Path) -> u16 {
    match path {
        Path::Route(route) if route.to.family() == Family::Ipv4 => NLM_F_CREATE,
        Path::Route(_) | Path::Rule(_) => NLM_F_CREATE | NLM_F_EXCL,
    }
}

fn hides(key: &PathKey) -> bool {
    matches!(key, PathKey::Route { to, .. } if to.family() == Family::Ipv4)
}

fn addition(path: &Path) -> RouteNetlinkMessage {
    match path {
        Path::Route(route) => routes::addition(route),
        Path::Rule(rule) => rules::addition(rule),
    }
}

fn removal(key: &PathKey) -> RouteNetlinkMessage {
    match key {
        PathKey::Route { table, to, tos, metric } => routes::removal(*table, *to, *tos, *metric),
        PathKey::Rule(rule) => rules::removal(rule),
    }
}

/// "add route default via 192.0.2.254: Network is unreachable".
fn refusal(verb: &str, what: &str, failure: &Failure, remedy: &str) -> Refusal {
    Refusal { errno: failure.errno, why: format!("{verb} {what}: {failure}{remedy}") }
}

/// So many routes with one key are looked for.
const MOST_ALIKE: usize = 4;

/// What says that there is nothing to remove: somebody else was faster, or it went with its link.
const GONE: [i32; 3] = [libc::ESRCH, libc::ENOENT, libc::ENODEV];
