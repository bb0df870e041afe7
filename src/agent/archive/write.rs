//! The thread that writes history files: the only one that waits for that disk.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;

use super::pace::Pace;
use super::{LARGEST, NEWER, OLDER, Shared};
use crate::agent::history::{Entry, Line};
use crate::agent::record::Record;
use crate::sys::clock;
use crate::time::{Duration, Instant};

/// How long a change may be in memory only.
const SYNC: Duration = Duration::from_millis(500);
/// How long a disk that refused is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The files, as far as they could be opened.
pub(super) struct Writer {
    directory: PathBuf,
    shared: Arc<Shared>,
    open: Option<Open>,
    /// When to try again.
    retry_at: Option<Instant>,
    /// When what was written has to be on the disk.
    sync_at: Option<Instant>,
    changes: Pace,
    others: Pace,
}

/// The newer file, ready to be written to.
struct Open {
    file: File,
    size: u64,
    _lock: Flock<File>,
}

impl Writer {
    pub(super) fn new(directory: PathBuf, shared: Arc<Shared>) -> Self {
        let now = clock::now();
        // However much happens, both files together hold a day.
        let changes = Pace::new(2000, Duration::from_secs(5), now);
        let others = Pace::new(500, Duration::from_secs(30), now);
        let mut writer =
            Self { directory, shared, open: None, retry_at: None, sync_at: None, changes, others };
        // At once, so that a directory that refuses is known before anything happens.
        writer.make_ready(now);
        writer
    }

    /// Writes what comes until nothing more will.
    pub(super) fn write_all(&mut self, entries: &Receiver<Arc<Entry>>) {
        loop {
            let now = clock::now();
            if self.sync_at.is_some_and(|at| at <= now) {
                self.sync();
            }
            let wait = self.sync_at.into_iter().chain(self.retry_at).min();
            let wait = wait.map_or(Duration::from_secs(3600), |at| at.since(now));
            match entries.recv_timeout(wait) {
                Ok(entry) => self.keep(&entry),
                Err(RecvTimeoutError::Timeout) => self.make_ready(clock::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn keep(&mut self, entry: &Entry) {
        let now = clock::now();
        let is_change = entry.record.is_milestone();
        let pace = if is_change { &mut self.changes } else { &mut self.others };
        if !pace.admits(now) {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.make_ready(now);
        match self.append(entry) {
            Ok(()) if is_change => self.sync_at = self.sync_at.or(Some(now + SYNC)),
            Ok(()) => {}
            Err(error) => self.give_up(&error, now),
        }
    }

    /// Writes one line, after one that says how many are missing before it.
    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut text = Vec::new();
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let record = Record::Lost { count: lost };
            let said = record.to_string();
            let (sequence, time) = (entry.sequence.saturating_sub(1), entry.time);
            push(&mut text, &Line { sequence, time, instance: None, record, text: said })?;
        }
        push(&mut text, &Line::from(entry))?;
        let written = self.write(&text);
        if written.is_err() {
            self.shared.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
        written
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let length = text.len() as u64;
        if self.open.as_ref().is_some_and(|open| open.size > 0 && open.size + length > LARGEST) {
            self.rotate()?;
        }
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        open.file.write_all(text)?;
        open.size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let newer = self.directory.join(NEWER);
        let Some(Open { file, _lock: lock, .. }) = self.open.take() else { return Ok(()) };
        file.sync_data()?;
        fs::rename(&newer, self.directory.join(OLDER))?;
        let (file, size) = opened(&newer)?;
        self.open = Some(Open { file, size, _lock: lock });
        Ok(())
    }

    fn sync(&mut self) {
        self.sync_at = None;
        let synced = self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data());
        if let Err(error) = synced {
            self.give_up(&error, clock::now());
        }
    }

    /// Opens what is not open, unless that was tried just now.
    fn make_ready(&mut self, now: Instant) {
        if self.open.is_some() || self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        match ready(&self.directory) {
            Ok(open) => {
                self.open = Some(open);
                self.retry_at = None;
                self.shared.set_trouble(None);
            }
            Err(error) => self.give_up(&error, now),
        }
    }

    fn give_up(&mut self, error: &io::Error, now: Instant) {
        self.open = None;
        // Whatever was there stays as it is; the next attempt looks at the end of the file first.
        if error.kind() == io::ErrorKind::NotConnected {
            return;
        }
        self.retry_at = Some(now + PAUSE);
        let trouble = format!("history is not kept in {}: {error}", self.directory.display());
        self.shared.set_trouble(Some(trouble));
    }
}

fn push(text: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

fn ready(directory: &Path) -> io::Result<Open> {
    make(directory)?;
    let lock = locked(directory)?;
    let (file, size) = opened(&directory.join(NEWER))?;
    Ok(Open { file, size, _lock: lock })
}

/// Makes the state directory, if it is not there.
pub(in crate::agent) fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o750).create(directory)
}

/// Two agents would rotate each other's file away.
fn locked(directory: &Path) -> io::Result<Flock<File>> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o640).custom_flags(libc::O_NOFOLLOW);
    Flock::lock(options.open(path)?, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => io::Error::other("another agent keeps its own there"),
        errno => errno.into(),
    })
}

/// A history file to append to, and its size. What a crash has torn becomes a line of its own.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = options.open(path)?;
    // Whatever the umask is: the group may read.
    file.set_permissions(Permissions::from_mode(0o640))?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}
