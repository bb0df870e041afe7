//! Notifiers together: order, bounds, and who waits for whom.

use super::news::tests::news;
use super::*;
use std::fs;

fn now() -> Instant {
    Instant::BOOT
}

/// A file that scripts of one test write to.
struct Record(PathBuf);

impl Record {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("vipd-notify-{}-{name}", std::process::id())))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// A program that appends what `echo` makes of `words`, and then does `more`.
    fn script(&self, words: &str, more: &str) -> command::Settings {
        let text = format!("echo {words} >> {}; {more}", self.0.display());
        let argv = ["/bin/sh", "-c", &text].map(str::to_owned).to_vec();
        command::Settings { programs: command::Programs::Every(argv), timeout: Duration::from_secs(20) }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn plan(subjects: &[(&str, Settings)]) -> Plan {
    let subject = |name: &str| Subject::Instance(name.to_owned());
    let subjects = subjects.iter().map(|(name, settings)| (subject(name), settings.clone())).collect();
    Plan { subjects, mail: None }
}

fn scripted(script: command::Settings) -> Settings {
    Settings { script: Some(script), ..Settings::default() }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_hundred_changes_arrive_in_order_or_are_counted() {
    let record = Record::new("hundred");
    let (notifiers, _reports) = Notifiers::new(now, None);
    notifiers.apply(&plan(&[("web", scripted(record.script("$VIPD_EVENT_ID $VIPD_SKIPPED", "")))]));
    for number in 0..100 {
        notifiers.tell(&news("web", Word::Master, number));
    }
    assert_eq!(notifiers.finish(LONG).await, 0);
    let numbers = |line: &str| {
        let (id, skipped) = line.split_once(' ').unwrap();
        (id.strip_prefix("lb1-").unwrap().parse::<u64>().unwrap(), skipped.parse::<u64>().unwrap())
    };
    let told: Vec<_> = record.text().lines().map(numbers).collect();
    assert!(told.is_sorted_by(|a, b| a.0 < b.0), "{told:?}");
    assert_eq!(told.last().unwrap().0, 99);
    let skipped: u64 = told.iter().map(|(_, skipped)| skipped).sum();
    let [view] = notifiers.view().try_into().unwrap();
    assert_eq!(
        (told.len() as u64 + skipped, view.dropped, view.delivered),
        (100, skipped, told.len() as u64)
    );
}

#[tokio::test]
async fn one_that_hangs_delays_no_other() {
    let (stuck, quick) = (Record::new("stuck"), Record::new("quick"));
    let (notifiers, _reports) = Notifiers::new(now, None);
    let both = [
        ("web", scripted(stuck.script("x", "sleep 1000"))),
        ("db", scripted(quick.script("$VIPD_KIND $VIPD_NAME $VIPD_STATE $VIPD_PRIORITY", ""))),
    ];
    notifiers.apply(&plan(&both));
    notifiers.tell(&news("web", Word::Master, 1));
    notifiers.tell(&news("db", Word::Master, 2));
    let waiting = async {
        while notifiers.view()[0].delivered == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    assert_eq!(quick.text(), "INSTANCE db MASTER 150\n");
    assert_eq!(notifiers.finish(Duration::from_millis(10)).await, 1, "one is not done");
}

#[tokio::test]
async fn a_failure_is_reported_once_for_each_reason_and_so_is_its_end() {
    let record = Record::new("failing");
    let path = record.0.with_extension("good");
    let (notifiers, mut reports) = Notifiers::new(now, None);
    let more = format!("test -e {}", path.display());
    notifiers.apply(&plan(&[("web", scripted(record.script("x", &more)))]));
    for number in 0..3 {
        notifiers.tell(&news("web", Word::Fault, number));
    }
    notifiers.finish(LONG).await;
    let trouble = |notifiers: &Notifiers| notifiers.view()[0].trouble.clone();
    assert_eq!(trouble(&notifiers).as_deref(), Some("exit status 1"));
    fs::write(&path, "").unwrap();
    notifiers.tell(&news("web", Word::Fault, 3));
    notifiers.finish(LONG).await;
    fs::remove_file(&path).unwrap();
    assert_eq!(trouble(&notifiers), None);
    let view = notifiers.view().remove(0);
    assert_eq!((view.delivered, view.failed), (1, 3));
    let mut said = Vec::new();
    while let Ok(report) = reports.try_recv() {
        said.push(report.what);
    }
    let failed = Happened::Failed { state: Word::Fault, why: "exit status 1".to_owned() };
    assert_eq!(said, [failed, Happened::Recovered]);
}

#[tokio::test]
async fn a_reload_neither_loses_nor_reorders_what_waits() {
    let record = Record::new("reload");
    let (notifiers, _reports) = Notifiers::new(now, None);
    notifiers.apply(&plan(&[("web", scripted(record.script("old $VIPD_EVENT_ID", "sleep 0.1")))]));
    for number in 0..3 {
        notifiers.tell(&news("web", Word::Master, number));
    }
    tokio::task::yield_now().await;
    notifiers.apply(&plan(&[("web", scripted(record.script("new $VIPD_EVENT_ID", "")))]));
    notifiers.tell(&news("web", Word::Master, 3));
    assert_eq!(notifiers.finish(LONG).await, 0);
    assert_eq!(record.text(), "old lb1-0\nnew lb1-1\nnew lb1-2\nnew lb1-3\n");
}

#[tokio::test]
async fn a_subject_that_is_gone_is_told_of_until_that_has_been_said() {
    let record = Record::new("gone");
    let (notifiers, _reports) = Notifiers::new(now, None);
    let web = Subject::Instance("web".to_owned());
    notifiers.apply(&plan(&[("web", scripted(record.script("$VIPD_STATE", "")))]));
    notifiers.apply(&plan(&[]));
    assert!(notifiers.is_leaving(&web));
    notifiers.tell(&news("web", Word::Deleted, 1));
    assert!(!notifiers.knows(&web));
    notifiers.tell(&news("web", Word::Master, 2));
    assert_eq!(notifiers.finish(LONG).await, 0);
    assert_eq!(record.text(), "DELETED\n");
}

#[tokio::test]
async fn what_another_agent_left_is_told_first_and_what_is_paused_is_left_to_the_next() {
    let record = Record::new("left");
    let settings = plan(&[("web", scripted(record.script("$VIPD_EVENT_ID", "")))]);
    let (first, _reports) = Notifiers::new(now, None);
    first.apply(&settings);
    first.pause(LONG).await;
    first.tell(&news("web", Word::Backup, 1));
    first.tell(&news("web", Word::Master, 2));
    let left = first.unfinished();
    assert_eq!(left.len(), 2);
    let (second, _reports) = Notifiers::new(now, None);
    second.apply(&settings);
    let strange = (Key::Mail, news("web", Word::Master, 9));
    assert_eq!(second.go_on_with(left.into_iter().chain([strange]).collect()), 1);
    second.tell(&news("web", Word::Fault, 3));
    assert_eq!(second.finish(LONG).await, 0);
    assert_eq!(record.text(), "lb1-1\nlb1-2\nlb1-3\n");
    first.resume();
    assert_eq!(first.finish(LONG).await, 0, "an upgrade that was refused goes on itself");
}

#[tokio::test]
async fn each_kind_of_change_goes_to_those_who_want_it() {
    let subject = Subject::Instance("web".to_owned());
    let script = Record::new("kinds").script("x", "");
    let on = BTreeMap::from([(Word::Master, vec!["/bin/true".to_owned()])]);
    let commands = command::Settings { programs: command::Programs::On(on), timeout: Duration::from_secs(1) };
    let mut settings = Settings {
        script: Some(script),
        commands: Some(commands),
        fifo: Some("/run/x".into()),
        mail: true,
        ..Settings::default()
    };
    let kinds = |settings: &Settings, word| {
        settings.ways(&subject, word).iter().map(Key::kind).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds(&settings, Word::Master), "command script fifo mail");
    assert_eq!(kinds(&settings, Word::Deleted), "script fifo mail");
    assert_eq!(kinds(&settings, Word::LowerAdvert), "fifo");
    assert_eq!(kinds(&settings, Word::MasterPriority), "");
    settings.priority_changes = true;
    assert_eq!(kinds(&settings, Word::MasterPriority), "fifo");
    assert!(!settings.is_empty() && Settings::default().is_empty());
}
