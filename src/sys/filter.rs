//! The words of which socket filters are made (classic BPF): loads in network order, comparisons that skip, and an end.

use socket2::SockFilter;

/// Keeps all of the packet.
pub(super) const ACCEPT: SockFilter = SockFilter::new(RETURN, 0, 0, u32::MAX);
/// Keeps nothing.
pub(super) const DROP: SockFilter = SockFilter::new(RETURN, 0, 0, 0);

/// `BPF_RET | BPF_K`: how many bytes to keep.
const RETURN: u16 = 0x06;

/// `BPF_LD | BPF_W | BPF_ABS`.
pub(super) const fn load_word(at: u32) -> SockFilter {
    SockFilter::new(0x20, 0, 0, at)
}

/// `BPF_LD | BPF_H | BPF_ABS`.
pub(super) const fn load_half(at: u32) -> SockFilter {
    SockFilter::new(0x28, 0, 0, at)
}

/// `BPF_LD | BPF_B | BPF_ABS`.
pub(super) const fn load_byte(at: u32) -> SockFilter {
    SockFilter::new(0x30, 0, 0, at)
}

/// `BPF_JMP | BPF_JEQ | BPF_K`: how many instructions to skip if equal, and if not.
pub(super) const fn if_equal(value: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new(0x15, then, otherwise, value)
}
