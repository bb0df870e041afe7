//! Mail and those who ask for it: a server that nobody asks sends nothing, and without one nobody is told. And a FIFO that
//! several write to, which has one reader.

use std::collections::BTreeMap;
use std::path::Path;

use crate::codes::Code;
use crate::config::file::File;
use crate::config::notify::Notify;
use crate::config::problem::{At, Findings};

/// Notes mail without a server, and a server without mail.
pub(super) fn agree(file: &File, findings: &Findings) {
    let own = file.instances.iter().filter_map(|instance| instance.notify.as_ref());
    let groups = file.groups.iter().filter_map(|group| group.notify.as_ref());
    let all: Vec<_> = file.notify.iter().chain(own).chain(groups).collect();
    readers(&all, findings);
    let asked: Vec<_> = all.iter().filter_map(|at| at.value.mail.as_ref()).collect();
    match &file.mail {
        None if file.has_mail => {}
        None => {
            for at in asked {
                findings.error(
                    &at.spot,
                    Code::NobodyNamed,
                    "there is no mail server; write 'mail' at the top of the file",
                );
            }
        }
        // What is wrong may be who asks for it.
        Some(at) if asked.is_empty() && findings.is_clean() => {
            findings.warn(&at.spot, Code::NoEffect, "nobody asks for mail; write 'notify: { mail: true }'");
        }
        Some(_) => {}
    }
}

/// A line that one reader has taken is no other's any more.
fn readers(all: &[&At<Notify>], findings: &Findings) {
    let mut seen: BTreeMap<&Path, (&Option<Vec<String>>, usize)> = BTreeMap::new();
    for Notify { settings, fifo, .. } in all.iter().map(|at| &at.value) {
        let (Some(path), Some(spot)) = (&settings.fifo, fifo) else { continue };
        let (first, line) = *seen.entry(path).or_insert((&settings.fifo_reader, spot.line));
        if *first != settings.fifo_reader {
            let what = format!(
                "this FIFO has another reader in line {line}, or none; write the same 'fifo_reader' for both"
            );
            findings.error(spot, Code::SharedFifo, what);
        }
    }
}
