//! A FIFO, with a line a change, as keepalived writes it. Nobody is waited for: what nobody reads waits in the pipe, which
//! holds 64 KiB, and beyond that is lost.
//!
//! It is held open for reading, too. So a reader may come late, or go and come back, and finds what was written meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::stat::Mode;

use super::news::News;
use crate::reach::described;
use crate::reach::runner::Runner;

/// Who may read one that the agent makes: its own user and group.
const MODE: u32 = 0o640;

/// A FIFO, once it is open.
#[derive(Debug)]
pub(super) struct Fifo {
    path: PathBuf,
    runner: Runner,
    open: Option<File>,
}

impl Fifo {
    pub(super) const fn new(path: PathBuf, runner: Runner) -> Self {
        Self { path, runner, open: None }
    }

    /// Writes a line, all of it or nothing: it is shorter than what a pipe takes at once.
    pub(super) async fn tell(&mut self, news: &News) -> Result<String, String> {
        self.reopen().await?;
        let Some(pipe) = &mut self.open else { return Err("it is not open".to_owned()) };
        match pipe.write_all(news.line().as_bytes()) {
            Ok(()) => Ok("written".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err("it is full: nobody reads it; the line is lost".to_owned())
            }
            Err(error) => {
                self.open = None;
                Err(described(&error))
            }
        }
    }

    /// Opens what is there, unless it is open already: a reader may have removed it and made another.
    async fn reopen(&mut self) -> Result<(), String> {
        let (path, known, runner) = (self.path.clone(), self.open.take(), self.runner.clone());
        let opened = tokio::task::spawn_blocking(move || match known {
            Some(pipe) if is_at(&pipe, &path) => Ok(pipe),
            Some(_) | None => open(&path, runner.as_deref()),
        });
        let opened = opened.await.map_err(|error| format!("the agent could not look: {error}"))?;
        self.open = Some(opened?);
        Ok(())
    }
}

fn is_at(pipe: &File, path: &Path) -> bool {
    match (pipe.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        (Ok(_), Err(_)) | (Err(_), _) => false,
    }
}

/// Opens it, and makes it if there is none.
fn open(path: &Path, runner: Option<&PathBuf>) -> Result<File, String> {
    make(path, runner)?;
    let options = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).to_owned();
    options.open(path).map_err(failed("open"))
}

/// Makes it if there is none, for the group of the script runner's socket to read, if there is one: its user is not the agent's.
pub(super) fn make(path: &Path, runner: Option<&PathBuf>) -> Result<(), String> {
    match nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => {
            let mode = fs::Permissions::from_mode(MODE);
            fs::set_permissions(path, mode).map_err(failed("set the mode of"))?;
            let readers = runner.map(|socket| fs::metadata(socket).map(|socket| socket.gid())).transpose();
            let given = readers.and_then(|group| std::os::unix::fs::chown(path, None, group));
            // Whoever cannot read it says so itself.
            if let Err(error) = given {
                tracing::warn!(
                    "{} is not the script runner's to read: {}",
                    path.display(),
                    described(&error)
                );
            }
        }
        Err(nix::errno::Errno::EEXIST) => {}
        Err(errno) => return Err(failed("make")(errno.into())),
    }
    // Looked at before it is opened: to open a device may do something.
    let kind = fs::metadata(path).map_err(failed("look at"))?.file_type();
    if !kind.is_fifo() {
        return Err("it is no FIFO; remove it, or write another path".to_owned());
    }
    Ok(())
}

fn failed(what: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("cannot {what} it: {}", described(&error))
}

#[cfg(test)]
mod tests {
    use super::super::news::Word;
    use super::super::news::tests::news;
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("vipd-fifo-{}-{name}", std::process::id())))
        }

        fn read(&self) -> BufReader<File> {
            let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).to_owned();
            BufReader::new(options.open(&self.0).unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_file(&self.0).unwrap();
        }
    }

    fn line(reader: &mut BufReader<File>) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    #[tokio::test]
    async fn a_fifo_is_made_and_a_late_reader_finds_what_was_written() {
        let scratch = Scratch::new("late");
        let mut fifo = Fifo::new(scratch.0.clone(), None);
        fifo.tell(&news("web", Word::Backup, 1)).await.unwrap();
        assert_eq!(fs::metadata(&scratch.0).unwrap().mode() & 0o7777, MODE);
        fifo.tell(&news("web", Word::Master, 2)).await.unwrap();
        let mut reader = scratch.read();
        assert_eq!(line(&mut reader), "INSTANCE \"web\" BACKUP 150\n");
        assert_eq!(line(&mut reader), "INSTANCE \"web\" MASTER 150\n");
    }

    #[tokio::test]
    async fn a_reader_may_go_and_come_back() {
        let scratch = Scratch::new("back");
        let mut fifo = Fifo::new(scratch.0.clone(), None);
        fifo.tell(&news("a", Word::Master, 1)).await.unwrap();
        let mut reader = scratch.read();
        line(&mut reader);
        drop(reader);
        fifo.tell(&news("b", Word::Master, 2)).await.unwrap();
        assert_eq!(line(&mut scratch.read()), "INSTANCE \"b\" MASTER 150\n");
    }

    #[tokio::test]
    async fn a_full_fifo_takes_no_more_and_no_half_line_and_goes_on_when_it_is_read() {
        let scratch = Scratch::new("full");
        let mut fifo = Fifo::new(scratch.0.clone(), None);
        let mut lines = 0;
        let said = loop {
            match fifo.tell(&news("web", Word::Master, lines)).await {
                Ok(_) => lines += 1,
                Err(said) => break said,
            }
        };
        assert_eq!(said, "it is full: nobody reads it; the line is lost");
        let mut reader = scratch.read();
        let mut all = vec![0; 1 << 17];
        let mut read = 0;
        while let Ok(n) = reader.get_mut().read(&mut all[read..]) {
            read += n;
        }
        let text = String::from_utf8(all[..read].to_vec()).unwrap();
        assert_eq!(text.lines().count() as u64, lines);
        assert!(text.lines().all(|line| line == "INSTANCE \"web\" MASTER 150"));
        fifo.tell(&news("db", Word::Fault, 0)).await.unwrap();
        assert_eq!(line(&mut reader), "INSTANCE \"db\" FAULT 150\n");
    }

    #[tokio::test]
    async fn another_fifo_in_its_place_is_found() {
        let scratch = Scratch::new("another");
        let mut fifo = Fifo::new(scratch.0.clone(), None);
        fifo.tell(&news("a", Word::Master, 1)).await.unwrap();
        fs::remove_file(&scratch.0).unwrap();
        nix::unistd::mkfifo(&scratch.0, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        fifo.tell(&news("b", Word::Master, 2)).await.unwrap();
        assert_eq!(line(&mut scratch.read()), "INSTANCE \"b\" MASTER 150\n");
    }

    #[tokio::test]
    async fn what_is_no_fifo_is_left_alone() {
        let scratch = Scratch::new("file");
        fs::write(&scratch.0, "mine").unwrap();
        let said = Fifo::new(scratch.0.clone(), None).tell(&news("a", Word::Master, 1)).await.unwrap_err();
        assert_eq!(said, "it is no FIFO; remove it, or write another path");
        assert_eq!(fs::read_to_string(&scratch.0).unwrap(), "mine");
    }
}
