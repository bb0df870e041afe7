//! The scalars that more than one topic reads. Each answers with a value, or with a whole sentence: what is
//! wrong and what to write.

use crate::codes::Code;
use std::net::IpAddr;

use super::problem::{At, Findings};

/// A whole number from `least` to `most`, without sign, leading zeros, dots or underscores.
pub(super) fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse()
        .ok()
        .filter(|number| plain && (least..=most).contains(number))
        .ok_or_else(|| format!("'{text}' is no number from {least} to {most}; write one"))
}

/// A text with something in it.
pub(super) fn some_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("is empty; write a text".to_owned()) } else { Ok(text.to_owned()) }
}

/// A path that means the same whoever reads it.
pub(super) fn absolute_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.contains('\0') {
        Ok(text.to_owned())
    } else {
        Err(format!("'{text}' is no absolute path; write one that begins with '/'"))
    }
}

/// Notes when a name of the operator's does not suit logs, paths and command lines.
pub(super) fn judge_name(name: &At<String>, findings: &Findings) {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let text = &name.value;
    if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(good) {
        let what = format!(
            "'{text}' is no name; write 1 to 64 letters, digits, '_', '.' or '-', the first one no '-'"
        );
        findings.error(&name.spot, Code::BadName, what);
    }
}

/// An address of a host, without a prefix.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let address: Option<IpAddr> = text.parse().ok();
    let of_a_host = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    address
        .filter(of_a_host)
        .ok_or_else(|| format!("'{text}' is no address of a host; write one without a prefix, as 192.0.2.1"))
}

/// An interface's name as the kernel takes it (`dev_valid_name` in `net/core/dev.c`).
pub(super) fn interface(text: &str) -> Result<String, String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    if text.is_empty() || text.len() > 15 || text == "." || text == ".." || text.contains(odd) {
        return Err(format!("'{text}' is no interface name; write one of 'ip link', at most 15 bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_decimal_ones() {
        assert_eq!(number("0", 0, 255), Ok(0));
        assert_eq!(number("255", 1, 255), Ok(255));
        for text in ["", "-1", "+1", "010", "0x10", "1_0", "1.0", "256", "99999999999", "ten", "١"] {
            let said = format!("'{text}' is no number from 1 to 255; write one");
            assert_eq!(number(text, 1, 255), Err(said));
        }
    }

    #[test]
    fn an_interface_is_named_as_the_kernel_allows() {
        for text in ["eth0", "bond0.100", "wan-1", "a23456789012345", "üüüüüüü"] {
            assert_eq!(interface(text).as_deref(), Ok(text));
        }
        for text in ["", ".", "..", "a/b", "a b", "a:1", "a234567890123456", "üüüüüüüü"] {
            let said = interface(text).unwrap_err();
            assert_eq!(
                said,
                format!("'{text}' is no interface name; write one of 'ip link', at most 15 bytes")
            );
        }
    }
}
