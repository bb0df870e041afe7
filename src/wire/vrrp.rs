//! VRRP adverts (RFC 3768 and RFC 9568, 5.2).

/// The protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds, an authentication field.
    V2,
    /// RFC 9568: both families, hundredths of a second.
    V3,
}

/// What a version 2 advert carries in its authentication field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Type 0.
    None,
    /// Type 1 of RFC 2338: a password in clear text, padded with zeros.
    Simple([u8; 8]),
}

impl core::fmt::Debug for Authentication {
    /// Never shows the password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Simple(_) => "Simple(..)",
        })
    }
}

/// Which bytes the IPv4 version 3 checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumForm {
    /// The message and the pseudo-header, as nearly everyone read RFC 5798.
    PseudoHeader,
    /// The message alone, as RFC 9568, 5.2.8 has it.
    Message,
}
