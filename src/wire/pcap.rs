//! Capture files as tcpdump and Wireshark read them: the classic format (draft-ietf-opsawg-pcap), with nanoseconds.
//!
//! Written here and not by a library: it is two headers of fixed numbers.

use core::time::Duration;

/// How many bytes of a packet are kept at most; more than any frame has.
pub const LONGEST: u32 = 262_144;

/// What a file of Ethernet frames begins with.
pub fn header() -> [u8; 24] {
    //  0                   1                   2                   3
    //  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    // +---------------------------------------------------------------+
    // |              Magic Number: 0xa1b23c4d, nanoseconds            |
    // +-------------------------------+-------------------------------+
    // |       Major Version, 2        |       Minor Version, 4        |
    // +-------------------------------+-------------------------------+
    // |                  Reserved, twice; then SnapLen                |
    // +---------------------------------------------------------------+
    // |                 LinkType: 1, LINKTYPE_ETHERNET                |
    // +---------------------------------------------------------------+
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    header[4..6].copy_from_slice(&2_u16.to_le_bytes());
    header[6..8].copy_from_slice(&4_u16.to_le_bytes());
    header[16..20].copy_from_slice(&LONGEST.to_le_bytes());
    header[20..].copy_from_slice(&1_u32.to_le_bytes());
    header
}

/// What a frame begins with that was seen at `stamp` of the wall clock: seconds, nanoseconds, and its length twice.
pub fn frame_header(stamp: Duration, length: usize) -> [u8; 16] {
    let seconds = u32::try_from(stamp.as_secs()).unwrap_or(u32::MAX);
    let length = u32::try_from(length).unwrap_or(LONGEST);
    let mut header = [0; 16];
    header[..4].copy_from_slice(&seconds.to_le_bytes());
    header[4..8].copy_from_slice(&stamp.subsec_nanos().to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    header[12..].copy_from_slice(&length.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_what_the_format_says() {
        let expected = [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        assert_eq!(header(), expected);
        let expected = [7, 0, 0, 0, 8, 0, 0, 0, 42, 0, 0, 0, 42, 0, 0, 0];
        assert_eq!(frame_header(Duration::new(7, 8), 42), expected);
    }
}
