//! Floor 5: the configuration, from the YAML that was written to what is true. The only place that knows both.
//!
//! ```text
//! text --tree--> places and texts --file, a reader a topic--> what was written --check--> Config
//!                          \_______________________|__________________/
//!                                     problems, all of them at once
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `tree`, `read`, `scalar`, `duration`, `spelling`, `problem` | YAML, values, and what to say about them |
//! | `file`, `instance`, `addresses`, `routes`, `rules`, `tables`, `statics`, `unicast`, `multicast`, `damping`, `track`, `authentication`, `hmac`, `announce`, `virtual_mac`, `groups`, `checks`, `probes`, `notify`, `webhook`, `mail`, `private`, `realtime`, `metrics` | one topic each: its keys, what they mean, what is wrong with them alone |
//! | `check` | what spans topics |
//! | `danger` | which differences between two configurations make two masters |
//! | `masked` | which values are secret, also in a file that is wrong |
//! | `differences` | in which keys two configurations differ |

mod addresses;
mod announce;
mod authentication;
mod check;
mod checks;
mod damping;
mod danger;
pub mod differences;
#[cfg(test)]
mod documents;
mod duration;
mod file;
mod groups;
mod hmac;
mod instance;
mod mail;
pub mod masked;
mod metrics;
#[cfg(test)]
mod mistakes;
mod multicast;
mod notify;
mod priority_file;
mod private;
mod probes;
mod problem;
mod read;
mod realtime;
mod routes;
mod rules;
mod scalar;
mod spelling;
mod statics;
mod tables;
mod track;
mod tree;
mod unicast;
mod virtual_mac;
mod webhook;

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

pub use danger::dangerous_changes;
#[cfg(test)]
pub(crate) use documents::known_keys;
pub use metrics::Metrics;
pub use priority_file::{PriorityFile, read_priority};
pub use problem::{Problem, Problems, Severity};

use crate::codes::{Code, Warning};
use crate::engine::settings;
use crate::notify::Plan;
use crate::notify::news::Subject;
use crate::sys;
use checks::Source;
use file::File;
use notify::Notify;
use problem::{At, Findings};
use read::Item;

/// A configuration without errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What the engine is told.
    pub settings: settings::Settings,
    /// The checks that are probes, in the order written; `settings` knows them by name.
    pub checks: Vec<crate::check::Settings>,
    /// The priorities that stand in files of their own.
    pub priority_files: Vec<PriorityFile>,
    /// Who is told of changes.
    pub notify: Plan,
    /// How urgent the agent's threads are; counts at its start.
    pub realtime: sys::realtime::Settings,
    /// How metrics are served.
    pub metrics: Metrics,
    /// What is allowed but probably not meant, in the order of the file.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// What stays true of it for as long as it is in force; whether a priority's file can be read does not.
    pub fn advice(&self) -> impl Iterator<Item = Warning> {
        let lasting = |problem: &&Problem| !problem.path.ends_with(".priority_file");
        self.warnings.iter().filter(lasting).map(Problem::warning)
    }
}

/// The longest file that is read, in bytes.
pub const LONGEST_FILE: u64 = 1 << 20;

/// Reads the file at `path`, and the files it names.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let (text, mode) = read_file(path).map_err(|(code, what)| Problems::of_file(&name, code, what))?;
    understand(&text, &name, mode)
}

/// Reads `text`, which came from the file `name`, and the files it names.
pub fn parse(text: &str, name: &str) -> Result<Config, Problems> {
    understand(text, name, 0)
}

/// The text of a file, and who may read it.
fn read_file(path: &Path) -> Result<(String, u32), (Code, String)> {
    let failed = |error: std::io::Error| (Code::FileUnread, format!("cannot be read: {error}"));
    // A named pipe is read as long as somebody writes, but nobody is waited for.
    let options = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).to_owned();
    let file = options.open(path).map_err(failed)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).map_err(|errno| failed(errno.into()))?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err((Code::FileUnread, "is a directory; write the path of a file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    fits(bytes.len())?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        (Code::NotText, format!("is not UTF-8 in line {line}; save it as UTF-8"))
    })?;
    Ok((text, metadata.mode()))
}

fn fits(length: usize) -> Result<(), (Code, String)> {
    if length as u64 > LONGEST_FILE {
        let what = "is longer than 1 MiB; write less, or the path of another file".to_owned();
        return Err((Code::NotText, what));
    }
    Ok(())
}

fn understand(text: &str, name: &str, mode: u32) -> Result<Config, Problems> {
    fits(text.len()).map_err(|(code, what)| Problems::of_file(name, code, what))?;
    let findings = Findings::default();
    let file = tree::parse(text, &findings).and_then(|root| File::read(&Item::root(&root, &findings)));
    if let Some(file) = &file {
        check::all(file, &findings);
        exposed(file, mode, &findings);
    }
    let warnings = findings.finish(name)?;
    let config = file.and_then(|file| settle(file, warnings));
    config.ok_or_else(|| {
        let what = "cannot be understood, and the reason is not known".to_owned();
        Problems::of_file(name, Code::Unexplained, what)
    })
}

/// Notes passwords and keys in a file that others can read.
fn exposed(file: &File, mode: u32, findings: &Findings) {
    let open = mode & 0o077 != 0;
    for at in file.instances.iter().filter_map(|instance| instance.authentication.as_ref()).filter(|_| open) {
        let (secret, instead, spots) = at.value.exposed();
        for spot in spots {
            let mode = mode & 0o777;
            let what = format!(
                "this {secret} stands in a file that is open to group or others (mode {mode:04o}); write {instead}"
            );
            findings.warn(spot, Code::SecretExposed, what);
        }
    }
}

/// What is true. Without an answer something is missing that was not noted: a fault of this folder.
fn settle(file: File, warnings: Vec<Problem>) -> Option<Config> {
    let notify = told(&file);
    let checks = file.checks.iter().map(checks::Check::settings).collect::<Option<_>>()?;
    let priority_files = file.instances.iter().filter_map(instance::Instance::priority_file).collect();
    let instances = file.instances.into_iter().map(instance::Instance::settings).collect::<Option<_>>()?;
    let groups = file.groups.into_iter().map(groups::Group::settings).collect();
    let (startup_delay, boot_delay) = (file.startup_delay?.value, file.boot_delay?.value);
    let realtime = file.realtime?.value;
    let metrics = file.metrics?.value;
    let announce_limits = file.announce_limits?.value;
    let statics = file.statics?.value.settings();
    let probes = file.checks.into_iter().filter_map(|check| match check.source {
        Some(Source::Probe(settings)) => Some(*settings),
        Some(Source::Interface(_)) | None => None,
    });
    let settings =
        settings::Settings { instances, groups, checks, announce_limits, startup_delay, boot_delay, statics };
    Some(Config { settings, checks: probes.collect(), priority_files, notify, realtime, metrics, warnings })
}

/// Who is told of what: what an instance or a group says itself, and otherwise what all have.
fn told(file: &File) -> Plan {
    let one = |subject: Subject, own: Option<&At<Notify>>| {
        let settings = own.or(file.notify.as_ref()).map(|at| at.value.settings.clone())?;
        (!settings.is_empty()).then_some((subject, settings))
    };
    let name = |at: &At<String>| at.value.clone();
    let instances =
        file.instances.iter().filter_map(|i| one(Subject::Instance(name(&i.name)), i.notify.as_ref()));
    let groups = file.groups.iter().filter_map(|g| one(Subject::Group(name(&g.name)), g.notify.as_ref()));
    let subjects = instances.chain(groups).collect();
    Plan { subjects, mail: file.mail.as_ref().map(|at| at.value.clone()) }
}
