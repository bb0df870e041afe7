//! Other programs that are asked, each with a limit in time and size.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::finding::Obstacle;
use crate::time::Duration;

/// How much of an answer is read: a ruleset with a hundred thousand elements, and then some.
const LARGEST: u64 = 32 << 20;

/// What a program said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs a program for at most so long; whatever is not allowed, not there or not in time comes back as why.
pub(super) fn ask(argv: &[&str], patience: Duration) -> Result<Said, (Obstacle, String)> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(Said::default()) };
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => (Obstacle::Absent, format!("there is no program '{program}'")),
        _ => (Obstacle::Failed, format!("{program}: {error}")),
    })?;
    let failed = |error: io::Error| (Obstacle::Failed, format!("{program}: {error}"));
    let (tell, told) = mpsc::channel();
    for (stream, name) in streams(&mut child) {
        let tell = tell.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stream.take(LARGEST).read_to_end(&mut bytes).map(|_| bytes);
            // Nobody waits for it any more if it came too late.
            if tell.send((name, read)).is_err() {}
        });
    }
    drop(tell);
    let mut said = Said::default();
    while let Some((name, read)) = next(&told, patience)
        .inspect_err(|()| end(&mut child))
        .map_err(|()| (Obstacle::Failed, format!("{program} says nothing for {} ms", patience.as_millis())))?
    {
        let text = String::from_utf8_lossy(&read.map_err(failed)?).into_owned();
        if name == "out" { said.out = text } else { said.err = text }
    }
    said.code = child.wait().map_err(failed)?.code();
    Ok(said)
}

type Stream = Box<dyn Read + Send>;

fn streams(child: &mut Child) -> Vec<(Stream, &'static str)> {
    let out = child.stdout.take().map(|out| (Box::new(out) as Stream, "out"));
    let err = child.stderr.take().map(|err| (Box::new(err) as Stream, "err"));
    out.into_iter().chain(err).collect()
}

type Part = (&'static str, io::Result<Vec<u8>>);

/// The next part; none when all have come.
fn next(told: &mpsc::Receiver<Part>, patience: std::time::Duration) -> Result<Option<Part>, ()> {
    match told.recv_timeout(patience) {
        Ok(part) => Ok(Some(part)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(()),
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself in this moment; either way it is gone and collected.
    if child.kill().is_ok() && child.wait().is_err() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_and_one_that_is_not_there_is_said_to_be_absent() {
        let said = ask(&["sh", "-c", "echo a; echo b >&2; exit 3"], Duration::from_secs(10)).unwrap();
        assert_eq!(said, Said { code: Some(3), out: "a\n".to_owned(), err: "b\n".to_owned() });
        let (why, what) = ask(&["no-such-program"], Duration::from_secs(1)).unwrap_err();
        assert_eq!((why, what.as_str()), (Obstacle::Absent, "there is no program 'no-such-program'"));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let (why, what) = ask(&["sleep", "600"], Duration::from_millis(20)).unwrap_err();
        assert_eq!((why, what.as_str()), (Obstacle::Failed, "sleep says nothing for 20 ms"));
    }
}
