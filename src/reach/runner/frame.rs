//! What an agent and its runner say to each other: a connection a run, and on it
//!
//! ```text
//!   agent -> runner   Run        one request; nothing may follow
//!         <-          Started, Output.., Ended            Ended alone if it could not be started
//!   agent -> runner   Count, Match
//!         <-          Counted                             or Ended with the reason why not
//! ```
//!
//! Each is a frame: four bytes of length, most significant first, then a byte that says what it is, then the contents.
//! Whoever closes the connection earlier takes no interest any more: the agent when the time is up, and then the
//! script is killed. Both sides believe lengths only up to a limit, for neither trusts the other with its memory.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::reach::arguments::Arguments;
use crate::reach::child::{CHUNK, End, Task};

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// To run a script.
    Run {
        /// What is to run.
        task: Task,
        /// How long it may take. The agent keeps the time itself and closes the connection; this is for one that is
        /// stopped and does not.
        timeout_ms: u64,
    },
    /// How many processes match.
    Count {
        /// The name or the path.
        process: String,
        /// The check's name.
        check: String,
    },
    /// How many processes match, their arguments included. Apart from the other, so that a runner that knows nothing of
    /// arguments refuses it instead of counting too many.
    Match {
        /// The name or the path.
        process: String,
        /// What has to follow it.
        arguments: Arguments,
        /// The check's name.
        check: String,
    },
}

/// What a runner answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The script runs.
    Started,
    /// It wrote this, never nothing.
    Output(Vec<u8>),
    /// It ended. Nothing follows.
    Ended(End),
    /// So many processes. Nothing follows.
    Counted(u32),
}

impl Request {
    /// Sends it.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        write(to, b'r', &serde_json::to_vec(self)?, LONGEST_REQUEST).await
    }

    /// Waits for one.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        match read(from, LONGEST_REQUEST).await? {
            (b'r', contents) => Ok(serde_json::from_slice(&contents)?),
            (kind, _) => Err(strange(kind)),
        }
    }
}

impl Answer {
    /// Sends it.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match self {
            Self::Started => write(to, b's', &[], LONGEST_ANSWER).await,
            Self::Output(bytes) => write(to, b'o', bytes, LONGEST_ANSWER).await,
            Self::Ended(end) => write(to, b'e', &serde_json::to_vec(end)?, LONGEST_ANSWER).await,
            Self::Counted(number) => write(to, b'n', &serde_json::to_vec(number)?, LONGEST_ANSWER).await,
        }
    }

    /// Waits for one.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        match read(from, LONGEST_ANSWER).await? {
            (b's', _) => Ok(Self::Started),
            (b'o', bytes) => Ok(Self::Output(bytes)),
            (b'e', contents) => Ok(Self::Ended(serde_json::from_slice(&contents)?)),
            (b'n', contents) => Ok(Self::Counted(serde_json::from_slice(&contents)?)),
            (kind, _) => Err(strange(kind)),
        }
    }
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    kind: u8,
    contents: &[u8],
    limit: usize,
) -> io::Result<()> {
    let length = u32::try_from(contents.len()).ok().filter(|_| contents.len() <= limit);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is too long"))?;
    let mut frame = Vec::with_capacity(contents.len() + 5);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(kind);
    frame.extend_from_slice(contents);
    to.write_all(&frame).await
}

async fn read(from: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<(u8, Vec<u8>)> {
    let length = from.read_u32().await?;
    let kind = from.read_u8().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= limit);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"))?;
    let mut contents = vec![0; length];
    from.read_exact(&mut contents).await?;
    Ok((kind, contents))
}

fn strange(kind: u8) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of kind {kind} has no place here"))
}

/// The kernel itself takes no more than 2 MiB of arguments, and a configuration is no longer than 1 MiB.
const LONGEST_REQUEST: usize = 2 << 20;
/// What is read of a script at once; no reason is as long.
const LONGEST_ANSWER: usize = CHUNK;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let task = Task {
            argv: vec!["/bin/true".to_owned(), "\u{e9} \n".to_owned()],
            check: "x".to_owned(),
            news: None,
        };
        for request in [
            Request::Run { task, timeout_ms: 500 },
            Request::Count { process: "x".to_owned(), check: "y".to_owned() },
        ] {
            let mut bytes = Vec::new();
            request.write(&mut bytes).await.unwrap();
            assert_eq!(Request::read(&mut &bytes[..]).await.unwrap(), request);
        }
        let answers = [
            Answer::Started,
            Answer::Output(vec![0, 255, b'\n']),
            Answer::Output(vec![b'x'; CHUNK]),
            Answer::Ended(End::Exit(3)),
            Answer::Ended(End::Signal(9)),
            Answer::Counted(7),
            Answer::Ended(End::Failed("cannot run /x: No such file or directory".to_owned())),
        ];
        let mut bytes = Vec::new();
        for answer in &answers {
            answer.write(&mut bytes).await.unwrap();
        }
        let mut rest = &bytes[..];
        for answer in answers {
            assert_eq!(Answer::read(&mut rest).await.unwrap(), answer);
        }
        assert_eq!(Answer::read(&mut rest).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn the_form_of_a_frame_is_the_same_for_ever() {
        let mut bytes = Vec::new();
        let task = Task { argv: vec!["/x".to_owned()], check: "y".to_owned(), news: None };
        Request::Run { task, timeout_ms: 7 }.write(&mut bytes).await.unwrap();
        Answer::Ended(End::Exit(3)).write(&mut bytes).await.unwrap();
        let request = br#"{"run":{"task":{"argv":["/x"],"check":"y"},"timeout_ms":7}}"#;
        assert_eq!(request.len(), 0x3b);
        let expected = [b"\0\0\0\x3br".as_slice(), request, b"\0\0\0\x0ae", br#"{"exit":3}"#].concat();
        assert_eq!(bytes, expected);
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_not_believed() {
        let long = [0xff; 16];
        assert_eq!(Request::read(&mut &long[..]).await.unwrap_err().to_string(), "a frame is too long");
        let mut bytes = Vec::new();
        let answer = Answer::Output(vec![0; LONGEST_ANSWER + 1]);
        assert_eq!(answer.write(&mut bytes).await.unwrap_err().to_string(), "it is too long");
        assert!(bytes.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_noise_is_taken_for_more_than_it_is(noise: Vec<u8>, kind in "[rsoen]", length in 0..64_u32) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let framed = [&length.to_be_bytes(), kind.as_bytes(), &noise].concat();
            for bytes in [&noise, &framed] {
                if let Ok(Answer::Output(output)) = runtime.block_on(Answer::read(&mut &bytes[..])) {
                    assert!(output.len() + 5 <= bytes.len());
                }
                if let Ok(request) = runtime.block_on(Request::read(&mut &bytes[..])) {
                    let mut again = Vec::new();
                    runtime.block_on(request.write(&mut again)).unwrap();
                    assert_eq!(runtime.block_on(Request::read(&mut &again[..])).unwrap(), request);
                }
            }
        }
    }

    #[tokio::test]
    async fn noise_is_an_error() {
        for noise in [b"\0\0\0\0q".as_slice(), b"\0\0\0\x01e{", b"\0\0", b"\0\0\0\x05r{}"] {
            assert!(Answer::read(&mut &noise[..]).await.is_err(), "{noise:?}");
            assert!(Request::read(&mut &noise[..]).await.is_err(), "{noise:?}");
        }
    }
}
