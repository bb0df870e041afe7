//! Files that are torn, full, refused or shared; and what is read of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::agent::history::{History, Line};
use crate::agent::record::Record;
use crate::agent::report::Role;
use crate::sys::clock;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vipd-archive-{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&path));
    path
}

/// Begins when the archive before has let go, however slow the disk is.
fn begin(directory: &Path) -> Archive {
    let until = clock::now() + Duration::from_secs(20);
    loop {
        let archive = Archive::begin(directory);
        if archive.trouble().is_none() {
            return archive;
        }
        assert!(clock::now() < until, "{:?}", archive.trouble());
        archive.finish();
    }
}

fn transition(reason: &str) -> Record {
    let (from, to, reason_kind) = (Role::Backup, Role::Master, "master_no_response".to_owned());
    Record::Transition { from, to, reason: reason.to_owned(), reason_kind, silence_ms: Some(361.0) }
}

fn entry(record: Record) -> Arc<Entry> {
    History::default().add("2026-11-21T10:25:00Z".parse().unwrap(), Some("web".to_owned()), record)
}

fn lines(directory: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    read::each(directory, "2020-01-01T00:00:00Z".parse().unwrap(), |line| lines.push(line)).unwrap();
    lines
}

#[test]
fn what_is_kept_is_read_again_and_its_group_may_read_it() {
    let directory = scratch("kept");
    for _ in 0..2 {
        let archive = begin(&directory);
        archive.keep(&entry(transition("no master heard for 361 ms")));
        archive.finish();
        assert_eq!(archive.trouble(), None);
    }
    begin(&directory).finish();
    let read = lines(&directory);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0], Line::from(&*entry(transition("no master heard for 361 ms"))));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory) & 0o027, mode(&directory.join(NEWER))), (0, 0o640));
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_line_that_a_crash_has_torn_costs_itself_only() {
    let directory = scratch("torn");
    let archive = Archive::begin(&directory);
    archive.keep(&entry(transition("first")));
    archive.finish();
    begin(&directory).finish();
    let path = directory.join(NEWER);
    let mut text = fs::read(&path).unwrap();
    let half = text[..text.len() / 2].to_vec();
    text.extend(half);
    fs::write(&path, text).unwrap();
    let archive = begin(&directory);
    archive.keep(&entry(transition("second")));
    archive.finish();
    begin(&directory).finish();
    let said: Vec<_> = lines(&directory).into_iter().map(|line| line.text).collect();
    assert_eq!(said, ["BACKUP -> MASTER: first", "BACKUP -> MASTER: second"]);
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_files_stay_within_their_bound_and_the_newest_events_are_there() {
    let directory = scratch("bound");
    let long = "x".repeat(16 << 10);
    // Each agent writes what passes at once: together more than both files hold.
    for round in 0..7 {
        let archive = begin(&directory);
        for number in 0..100 {
            archive.keep(&entry(transition(&format!("{round} {number} {long}"))));
        }
        archive.finish();
        assert_eq!(archive.trouble(), None);
    }
    // It is done when the next one may begin.
    begin(&directory).finish();
    let size = |name: &str| fs::metadata(directory.join(name)).unwrap().len();
    assert!(size(NEWER) <= LARGEST && size(OLDER) <= LARGEST && size(OLDER) > LARGEST / 2);
    let read = lines(&directory);
    let last = &read.last().unwrap().text;
    assert!(last.starts_with("BACKUP -> MASTER: 6 99 "), "{}", &last[..40]);
    assert!(!read.iter().any(|line| line.text.starts_with("BACKUP -> MASTER: 0 0 ")));
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_flood_is_cut_off_counted_and_leaves_room_for_changes() {
    let directory = scratch("flood");
    let archive = Archive::begin(&directory);
    for _ in 0..900 {
        archive.keep(&entry(Record::SendRecovered));
    }
    archive.keep(&entry(transition("after the flood")));
    archive.finish();
    begin(&directory).finish();
    let read = lines(&directory);
    let count = |wanted: &Record| read.iter().filter(|line| line.record == *wanted).count();
    assert_eq!(count(&Record::SendRecovered), 500);
    assert_eq!(count(&Record::Lost { count: 400 }), 1);
    assert_eq!(count(&transition("after the flood")), 1);
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_directory_that_refuses_is_named_and_tried_again_and_two_agents_do_not_share_one() {
    let directory = scratch("refused");
    fs::write(&directory, "a file").unwrap();
    let archive = Archive::begin(&directory);
    let trouble = archive.trouble().unwrap_or_else(|| {
        archive.finish();
        archive.trouble().unwrap()
    });
    assert!(trouble.starts_with(&format!("history is not kept in {}: ", directory.display())), "{trouble}");
    archive.keep(&entry(transition("lost")));
    archive.finish();
    fs::remove_file(&directory).unwrap();
    let first = Archive::begin(&directory);
    let second = Archive::begin(&directory);
    assert_eq!(first.trouble(), None);
    assert!(second.trouble().unwrap().ends_with("another agent keeps its own there"));
    first.finish();
    second.finish();
    fs::remove_dir_all(&directory).unwrap();
}
