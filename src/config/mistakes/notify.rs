//! Who is told, and by whom: what cannot be, and what is meant otherwise.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A file of one test's own.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, text: &str, mode: u32) -> Self {
        let path = std::env::temp_dir().join(format!("vipd-config-notify-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn notify(text: &str) -> String {
    format!("{INSTANCE}notify: {text}\n")
}

fn mail(text: &str) -> String {
    format!("{INSTANCE}notify: {{ mail: true }}\nmail: {{ {text} }}\n")
}

#[test]
fn a_program_is_there_and_nobody_elses_to_write() {
    let (open, still) = (Scratch::new("open", "", 0o775), Scratch::new("still", "", 0o644));
    let (open, still) = (open.path(), still.path());
    let writable = format!(
        "6:19: notify.script: '{open}' can be written by others than its owner (mode 0775); run 'chmod go-w {open}'"
    );
    let inert = format!("6:19: notify.script: '{still}' is not executable; run 'chmod +x {still}'");
    told(&[
        (notify("{ script: /bin/true }"), &[]),
        (notify("{ script: [/bin/true, -q], on_master: /bin/true, timeout: 2s }"), &[]),
        (notify("off"), &[]),
        (
            notify("{ script: /nonexistent/x }"),
            &["6:19: notify.script: there is no '/nonexistent/x'; write the path of a program"],
        ),
        (
            notify("{ script: /bin/true -q }"),
            &["6:19: notify.script: '/bin/true -q' is no program; write [/bin/true, -q]"],
        ),
        (
            notify("{ on_fault: [true] }"),
            &["6:22: notify.on_fault[0]: 'true' is no absolute path; write one that begins with '/'"],
        ),
        (
            notify("{ script: /etc }"),
            &["6:19: notify.script: '/etc' is no regular file; write the path of a program"],
        ),
        (notify(&format!("{{ script: {open} }}")), &[&writable]),
        (notify(&format!("{{ script: {still} }}")), &[&inert]),
        (
            notify("{ timeout: 5s }"),
            &["6:20: notify.timeout: there is no program to wait for; remove it, or write 'script'"],
        ),
    ]);
}

#[test]
fn a_notifier_has_keys_and_each_its_values() {
    told(&[
        (
            notify("{ skript: /bin/true }"),
            &[
                "6:11: notify.skript: unknown key; did you mean 'script'? known here: script, on_master, on_backup, on_fault, on_stop, on_deleted, on_lower_advert, timeout, fifo, fifo_reader, priority_changes, webhook, mail",
            ],
        ),
        (
            notify("true"),
            &[
                "6:9: notify: 'true' is no set of keys; write the keys of 'notify', for example 'script: [/etc/vipd/notify]', or off",
            ],
        ),
        (
            notify("{ mail: false, fifo_reader: /bin/cat }"),
            &["6:37: notify.fifo_reader: there is no 'fifo' for it to read; write one, or remove this"],
        ),
        (
            format!(
                "{}notify: {{ fifo: /run/x }}\n",
                more("notify: { fifo: /run/x, fifo_reader: /bin/cat }")
            ),
            &[
                "6:42: instances.web.notify.fifo_reader: this FIFO has another reader in line 7, or none; write the same \
                 'fifo_reader' for both",
            ],
        ),
        (
            notify("{ fifo: /etc/passwd }"),
            &["6:17: notify.fifo: '/etc/passwd' is there and is no FIFO; write another path"],
        ),
        (
            notify("{ priority_changes: true }"),
            &[
                "6:29: notify.priority_changes: there is no 'fifo', which alone is told of priorities; write one, or remove this",
            ],
        ),
        (
            notify("{ mail: true }"),
            &["6:17: notify.mail: there is no mail server; write 'mail' at the top of the file"],
        ),
    ]);
}

#[test]
fn a_webhook_is_a_url_with_what_belongs_to_it() {
    let open = Scratch::new("token", "sesame\n", 0o640);
    let good = Scratch::new("good", "sesame\n", 0o600);
    let (open, good) = (open.path(), good.path());
    let refused = format!(
        "6:60: notify.webhook.token_file: '{open}' is open to group or others (mode 0640); run 'chmod 600 {open}'"
    );
    told(&[
        (notify("{ webhook: https://hooks.example.org/x }"), &[]),
        (
            notify(&format!(
                "{{ webhook: {{ url: https://x.org/, token_file: {good}, headers: {{ X-A: b }} }} }}"
            )),
            &[],
        ),
        (
            notify("{ webhook: hooks.example.org }"),
            &[
                "6:20: notify.webhook: 'hooks.example.org' is no http or https URL; write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
            ],
        ),
        (
            notify("{ webhook: { headers: { Host: x } } }"),
            &[
                "6:11: notify.webhook: 'url' is missing; write for example 'url: https://hooks.example.org/vipd'",
                "6:39: notify.webhook.headers.Host: is written by the agent itself; remove it",
            ],
        ),
        (
            notify("{ webhook: { url: http://127.0.0.1/, tls_verify: false } }"),
            &["6:58: notify.webhook.tls_verify: does nothing for http; remove it, or write https"],
        ),
        (notify(&format!("{{ webhook: {{ url: https://127.0.0.1/, token_file:  {open} }} }}")), &[&refused]),
    ]);
}

#[test]
fn mail_has_a_server_and_people_and_no_password_in_clear() {
    let good = Scratch::new("password", "sesame", 0o600);
    let path = good.path();
    told(&[
        (mail("server: mail.example.org, from: a@x.org, to: b@x.org"), &[]),
        (
            mail(&format!("server: x.org, from: a@x.org, to: [b@x.org], username: a, password_file: {path}")),
            &[],
        ),
        (
            mail("server: 'x y', from: nobody, to: []"),
            &[
                "7:17: mail.server: 'x y' has no port; write HOST:PORT, for example 127.0.0.1:80 or [::1]:80",
                "7:30: mail.from: 'nobody' is no mail address; write for example ops@example.org",
                "7:42: mail.to: is empty; write the addresses of those who are told",
            ],
        ),
        (
            mail(&format!(
                "server: x.org, tls: none, from: a@x.org, to: b@x.org, username: a, password_file: {path}"
            )),
            &[
                "7:73: mail.username: the password would travel in clear; remove this, or write 'tls: starttls'",
            ],
        ),
        (
            mail("server: x.org, from: a@x.org, to: b@x.org, username: a"),
            &["7:1: mail: there is a 'username' and no password; write 'password_file'"],
        ),
        (
            format!("{INSTANCE}mail: {{ server: x.org, from: a@x.org, to: b@x.org }}\n"),
            &["6:7: mail: warning: nobody asks for mail; write 'notify: { mail: true }'"],
        ),
    ]);
}

#[test]
fn what_an_instance_says_itself_counts_instead_of_what_all_have() {
    let text = format!("{}notify: {{ fifo: /run/all }}\n", more("notify: { fifo: /run/web }"));
    let plan = |text: &str| parse(text, "f").unwrap().notify;
    let web = crate::notify::news::Subject::Instance("web".to_owned());
    assert_eq!(plan(&text).subjects[&web].fifo.as_deref(), Some(Path::new("/run/web")));
    assert_eq!(
        plan(&notify("{ fifo: /run/all }")).subjects[&web].fifo.as_deref(),
        Some(Path::new("/run/all"))
    );
    let off = format!("{}notify: {{ fifo: /run/all }}\n", more("notify: off"));
    assert!(plan(&off).subjects.is_empty());
}
