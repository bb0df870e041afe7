//! The agent's side of a runner.
//!
//! It can fail in ways of its own, and each is a failing check with its reason: an agent that is told to use a runner never
//! does without. A runner that ends in the middle, as at an upgrade, is asked once more. What it says of a script is taken
//! for no more than what a script says: it runs under the scripts' user.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use super::frame::{Answer, Request};
use crate::reach::arguments::Arguments;
use crate::reach::child::{End, Task};
use crate::reach::script::{KILLED, Words};
use crate::reach::{Run, first_line, lowered};
use crate::time::Duration;

/// Has the runner at `socket` run a script.
pub async fn run(socket: &Path, task: &Task, timeout: Duration, run: &mut Run) -> Result<End, String> {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    match ask(socket, &Request::Run { task: task.clone(), timeout_ms }, run).await? {
        Last::Ended(end) => Ok(end),
        Last::Counted(_) => Err("cannot follow the script runner: it counts".to_owned()),
    }
}

/// Has it count the processes that match a name or a path, and arguments if there are any to match.
pub async fn count(
    socket: &Path,
    process: &str,
    arguments: Option<&Arguments>,
    check: &str,
    run: &mut Run,
) -> Result<u32, String> {
    let (process, check) = (process.to_owned(), check.to_owned());
    let request = match arguments {
        None => Request::Count { process, check },
        Some(arguments) => Request::Match { process, arguments: arguments.clone(), check },
    };
    match ask(socket, &request, run).await? {
        Last::Counted(number) => Ok(number),
        Last::Ended(end) => Err(end.to_string()),
    }
}

/// The answer after which nothing follows.
enum Last {
    Ended(End),
    Counted(u32),
}

async fn ask(socket: &Path, request: &Request, run: &mut Run) -> Result<Last, String> {
    let mut again = true;
    loop {
        run.phase = " waiting for the script runner";
        run.output.clear();
        match once(socket, request, run).await {
            Err(Trouble::Gone) if again => again = false,
            Err(Trouble::Gone) => return Err("the script runner ended before it was done".to_owned()),
            Err(Trouble::Away(error)) => {
                let socket = socket.display();
                return Err(format!("cannot reach the script runner at {socket}: {}", lowered(&error)));
            }
            Err(Trouble::Strange(what)) => return Err(format!("cannot follow the script runner: {what}")),
            Ok(last) => return Ok(last),
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

async fn once(socket: &Path, request: &Request, run: &mut Run) -> Result<Last, Trouble> {
    let mut stream = UnixStream::connect(socket).await.map_err(Trouble::Away)?;
    request.write(&mut stream).await.map_err(|error| trouble(&error))?;
    let mut words = match request {
        Request::Run { task, .. } => Words::of(task),
        Request::Count { .. } | Request::Match { .. } => Words::First { read: 0 },
    };
    loop {
        match Answer::read(&mut stream).await.map_err(|error| trouble(&error))? {
            Answer::Started => run.phase = KILLED,
            Answer::Output(bytes) => {
                if let Err(too_much) = words.take(&bytes, &mut run.output) {
                    return Ok(Last::Ended(End::Failed(too_much)));
                }
            }
            Answer::Ended(End::Failed(why)) => {
                return Ok(Last::Ended(End::Failed(first_line(why.as_bytes()))));
            }
            Answer::Ended(end) => return Ok(Last::Ended(end)),
            Answer::Counted(number) => return Ok(Last::Counted(number)),
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
