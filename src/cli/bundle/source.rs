//! Where parts of a bundle come from: programs and files, each bounded in size and time, with a reason if there is nothing.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::time::Duration;

/// How large a part may be; of what is longer the rest is left out.
const LARGEST: u64 = 4 << 20;
/// How much of a complaint is kept.
const COMPLAINT: u64 = 4096;
/// How long a part may take; longer than a client of an agent that hangs waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where one part comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// What programs print, one after the other, under their names.
    Programs(Vec<Vec<String>>),
    /// This program with other arguments.
    Own(Vec<String>),
    /// Files, under their names; a `*` stands for any name.
    Files(Vec<String>),
}

impl Source {
    /// What it says, or why it says nothing.
    pub(super) async fn read(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Own(arguments) => {
                let program =
                    std::env::current_exe().map_err(|error| format!("cannot find vipctl: {error}"))?;
                printed(&program, &arguments).await
            }
            Self::Programs(commands) => several(commands).await,
            Self::Files(patterns) => files(&patterns),
        }
    }
}

async fn several(commands: Vec<Vec<String>>) -> Result<Vec<u8>, String> {
    let (mut all, mut complaints) = (Vec::new(), Vec::new());
    let mut any = false;
    for command in commands {
        let Some((program, arguments)) = command.split_first() else { continue };
        all.extend(format!("# {}\n", command.join(" ")).into_bytes());
        match printed(Path::new(program), arguments).await {
            Ok(text) => {
                any = true;
                all.extend(text);
            }
            Err(why) => {
                all.extend(format!("{why}\n").into_bytes());
                complaints.push(why);
            }
        }
        all.push(b'\n');
    }
    complaints.dedup();
    if any { Ok(all) } else { Err(complaints.join("; ")) }
}

/// What a program prints to its standard output, or why nothing came of it.
async fn printed(program: &Path, arguments: &[String]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env("SYSTEMD_PAGER", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| format!("cannot run {name}: {error}"))?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(format!("{name} has no output"));
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let reading = async { tokio::join!(take(out, LARGEST, &mut said), take(err, COMPLAINT, &mut complaint)) };
    let is_late = timeout(PATIENCE, reading).await.is_err();
    if is_late {
        said.extend(format!("\n# cut: {name} took longer than {} s\n", PATIENCE.as_secs()).into_bytes());
        return Ok(said);
    }
    if said.len() as u64 >= LARGEST {
        said.extend(format!("\n# cut: {name} said more than {} MiB\n", LARGEST >> 20).into_bytes());
        return Ok(said);
    }
    let status = timeout(PATIENCE, child.wait()).await.ok().and_then(Result::ok);
    if !said.is_empty() || status.is_some_and(|status| status.success()) {
        return Ok(said);
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let first = complaint.lines().find(|line| !line.trim().is_empty());
    Err(first.map_or_else(|| format!("{name} says nothing"), |line| line.trim().to_owned()))
}

async fn take(from: impl AsyncRead + Unpin, most: u64, into: &mut Vec<u8>) {
    // What was read before an error is all there is.
    if from.take(most).read_to_end(into).await.is_err() {}
}

/// Files under their names, as far as there is room.
fn files(patterns: &[String]) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut why = format!("there is no {}", patterns.join(" and no "));
    for path in patterns.iter().flat_map(|pattern| matching(pattern)) {
        match file(&path) {
            Ok(bytes) if all.len() as u64 + bytes.len() as u64 > LARGEST => {
                all.extend(b"# cut: there is more\n");
                break;
            }
            // A line is shown as one, as sysctl does.
            Ok(bytes) if bytes.split(|byte| *byte == b'\n').count() <= 2 => {
                let value = String::from_utf8_lossy(&bytes);
                all.extend(format!("{} = {}\n", path.display(), value.trim()).into_bytes());
            }
            Ok(bytes) => {
                all.extend(format!("# {}\n", path.display()).into_bytes());
                all.extend(bytes);
            }
            Err(error) => why = error,
        }
    }
    if all.is_empty() { Err(why) } else { Ok(all) }
}

fn matching(pattern: &str) -> Vec<PathBuf> {
    glob::glob(pattern).into_iter().flatten().filter_map(Result::ok).collect()
}

/// A file, as far as it is not too large; the newest part of one that is.
pub(super) fn file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut file =
        fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    let mut bytes = Vec::new();
    if metadata.len() > LARGEST {
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(-i64::try_from(LARGEST).unwrap_or(0)))
            .map_err(failed)?;
        bytes.extend(b"# cut: the end of the file\n");
    }
    file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
