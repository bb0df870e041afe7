//! What no topic can see by itself: this is the only place where one looks at another.

mod alone;
mod groups;
mod notified;
mod together;
mod tracks;

use super::file::File;
use super::problem::Findings;
use super::statics::Statics;

/// Notes whatever does not fit together.
pub(super) fn all(file: &File, findings: &Findings) {
    for instance in &file.instances {
        alone::agree(instance, findings);
    }
    notified::agree(file, findings);
    together::agree(&file.instances, findings);
    let none = Statics::default();
    let statics = file.statics.as_ref().map_or(&none, |at| &at.value);
    together::apart(&file.instances, statics, findings);
    groups::agree(&file.groups, &file.instances, findings);
    tracks::agree(&file.instances, &file.groups, &file.checks, findings);
}
