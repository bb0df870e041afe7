//! How the world outside is reached, whoever wants something of it: a server by TCP, TLS and HTTP, a program as a child
//! or by the runner.
//!
//! Checks ask and notifiers tell; both need the same way there. What is sent and what an answer means is theirs.
//!
//! What may block in the kernel (a dead NFS server, a name service) happens on the runtime's blocking threads.

pub mod arguments;
pub mod blocking;
pub mod child;
pub mod connect;
pub mod guard;
pub mod http;
pub mod runner;
pub mod script;
pub mod tls;
pub mod url;

use std::io;

/// What a run leaves behind even when it is cut off.
#[derive(Debug, Default)]
pub struct Run {
    /// What it is doing, as the end of "timed out after 1s ..".
    pub phase: &'static str,
    /// What was written to it.
    pub output: Vec<u8>,
    /// The number that was read.
    pub value: Option<i32>,
}

/// The kernel's own words for an error, without its number.
pub fn described(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

/// As [`described`], for the end of a sentence: "connection refused".
pub fn lowered(error: &io::Error) -> String {
    let words = described(error);
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// At most `limit` bytes of somebody else's text, safe for a terminal and a log; line breaks and tabs stay.
pub fn printable(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).replace("\r\n", "\n");
    let moves = |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if moves(c) || c.is_control() && c != '\n' && c != '\t' { '?' } else { c }).collect()
}

/// The last line of somebody else's text that says anything, at most 200 characters of it.
pub fn last_line(bytes: &[u8]) -> String {
    let text = printable(&bytes[bytes.len().saturating_sub(1024)..], 1024);
    shortened(text.lines().rev().map(str::trim).find(|line| !line.is_empty()))
}

/// The first line of somebody else's text that says anything, at most 200 characters of it.
pub fn first_line(bytes: &[u8]) -> String {
    let text = printable(bytes, 1024);
    shortened(text.lines().map(str::trim).find(|line| !line.is_empty()))
}

fn shortened(line: Option<&str>) -> String {
    let line = line.unwrap_or_default();
    line.chars().take(200).map(|c| if c == '\t' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(first_line(b"\n  \x1b[31mred\x07\r\nnext"), "?[31mred?");
        assert_eq!(printable(b"a\xffb\tc\nd\x00", 100), "a\u{fffd}b\tc\nd?");
        assert_eq!(printable("a\u{202e}b".as_bytes(), 100), "a?b");
        assert_eq!(last_line(b"first\n \x1b[31mred \n\n"), "?[31mred");
        assert_eq!(last_line(b"\n"), "");
        assert_eq!(first_line(b""), "");
        assert_eq!(first_line(&[b'x'; 5000]).len(), 200);
    }
}
