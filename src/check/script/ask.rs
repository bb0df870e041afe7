//! The agent's side of a runner: a script that another process starts, under another user.
//!
//! It can fail in ways of its own, and each is a failing check with its reason: an agent that is told to leave its scripts
//! to a runner never runs one itself. A runner that ends in the middle, as at an upgrade, is asked once more.
//! What it says of a script is taken for no more than what a script says: it runs under the scripts' user.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use super::child::{End, Task};
use super::frame::{Answer, Request};
use super::{KILLED, Words, verdict};
use crate::check::{Run, first_line, lowered};
use crate::time::Duration;

/// Has the runner at `socket` run something.
pub(super) async fn run(
    socket: &Path,
    task: &Task,
    timeout: Duration,
    run: &mut Run,
) -> Result<String, String> {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let request = Request { task: task.clone(), timeout_ms };
    let mut again = true;
    loop {
        run.phase = " waiting for the script runner";
        run.output.clear();
        match once(socket, &request, run).await {
            Err(Trouble::Gone) if again => again = false,
            Err(Trouble::Gone) => return Err("the script runner ended before the script did".to_owned()),
            Err(Trouble::Away(error)) => {
                let socket = socket.display();
                return Err(format!("cannot reach the script runner at {socket}: {}", lowered(&error)));
            }
            Err(Trouble::Strange(what)) => return Err(format!("cannot follow the script runner: {what}")),
            Ok(outcome) => return outcome,
        }
    }
}

enum Trouble {
    /// Nobody can be asked.
    Away(io::Error),
    /// It was asked and is not there any more.
    Gone,
    /// It says something that has no meaning.
    Strange(String),
}

async fn once(socket: &Path, request: &Request, run: &mut Run) -> Result<Result<String, String>, Trouble> {
    let mut stream = UnixStream::connect(socket).await.map_err(Trouble::Away)?;
    request.write(&mut stream).await.map_err(|error| trouble(&error))?;
    let mut words = Words::default();
    loop {
        match Answer::read(&mut stream).await.map_err(|error| trouble(&error))? {
            Answer::Started => run.phase = KILLED,
            Answer::Output(bytes) => {
                if let Err(too_much) = words.take(&bytes, &mut run.output) {
                    return Ok(Err(too_much));
                }
            }
            Answer::Ended(End::Failed(why)) => return Ok(Err(first_line(why.as_bytes()))),
            Answer::Ended(end) => return Ok(verdict(&end, &run.output)),
        }
    }
}

fn trouble(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Trouble::Gone
        }
        _ => Trouble::Strange(lowered(error)),
    }
}
