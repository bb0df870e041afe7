//! Mail and those who ask for it: a server that nobody asks sends nothing, and without one nobody is told.

use crate::config::file::File;
use crate::config::problem::Findings;

/// Notes mail without a server, and a server without mail.
pub(super) fn agree(file: &File, findings: &Findings) {
    let own = file.instances.iter().filter_map(|instance| instance.notify.as_ref());
    let groups = file.groups.iter().filter_map(|group| group.notify.as_ref());
    let asked: Vec<_> =
        file.notify.iter().chain(own).chain(groups).filter_map(|at| at.value.mail.as_ref()).collect();
    match &file.mail {
        None if file.has_mail => {}
        None => {
            for at in asked {
                findings.error(&at.spot, "there is no mail server; write 'mail' at the top of the file");
            }
        }
        // What is wrong may be who asks for it.
        Some(at) if asked.is_empty() && findings.is_clean() => {
            findings.warn(&at.spot, "nobody asks for mail; write 'notify: { mail: true }'");
        }
        Some(_) => {}
    }
}
