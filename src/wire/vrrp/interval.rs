//! The advert interval and its two encodings: whole seconds in a byte (RFC 3768, 5.3.7) and centiseconds in
//! 12 bits (RFC 9568, 5.2.7). Apart, because it is also what the configuration is checked against.

use super::Version;
use crate::time::Duration;
use core::num::NonZeroU16;

/// An advert interval that its version of VRRP can put into a packet; never 0 (RFC 9568, erratum 8301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvertInterval {
    version: Version,
    /// In the version's unit.
    units: NonZeroU16,
}

/// Why a duration is no advert interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum IntervalError {
    /// Version 2 counts 1 to 255 whole seconds.
    #[error("VRRP version 2 can only say whole seconds, 1 s to 255 s")]
    V2,
    /// Version 3 counts 1 to 4095 centiseconds.
    #[error("VRRP version 3 can only say multiples of 10 ms, 10 ms to 40.95 s")]
    V3,
}

impl AdvertInterval {
    /// `interval`, if `version` can say it exactly.
    pub fn new(version: Version, interval: Duration) -> Result<Self, IntervalError> {
        let nearest = Self::nearest(version, interval);
        if nearest.duration() == interval {
            return Ok(nearest);
        }
        Err(match version {
            Version::V2 => IntervalError::V2,
            Version::V3 => IntervalError::V3,
        })
    }

    /// The shortest interval not below `interval` that `version` can say, or its longest.
    ///
    /// Rounded up, because a receiver that is promised more than it gets waits a little longer, while one that
    /// is promised less takes over from a master that is well.
    pub fn nearest(version: Version, interval: Duration) -> Self {
        let units = interval.as_nanos().div_ceil(unit(version).as_nanos());
        let units = u16::try_from(units).unwrap_or(u16::MAX).min(most(version));
        Self { version, units: NonZeroU16::new(units).unwrap_or(NonZeroU16::MIN) }
    }

    /// The interval a packet of `version` says, unless that is 0; bits above the field's width are ignored.
    pub(super) fn decode(version: Version, field: u16) -> Option<Self> {
        NonZeroU16::new(field & most(version)).map(|units| Self { version, units })
    }

    /// The number in the packet: seconds in version 2, centiseconds in version 3.
    pub const fn units(self) -> u16 {
        self.units.get()
    }

    /// The interval.
    pub fn duration(self) -> Duration {
        unit(self.version) * u32::from(self.units())
    }

    /// The version of VRRP that it is for.
    pub const fn version(self) -> Version {
        self.version
    }
}

impl From<AdvertInterval> for Duration {
    fn from(interval: AdvertInterval) -> Self {
        interval.duration()
    }
}

const fn unit(version: Version) -> Duration {
    match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => Duration::from_millis(10),
    }
}

/// The greatest number of units; all ones, so it is the field's mask as well.
const fn most(version: Version) -> u16 {
    match version {
        Version::V2 => 0x00ff,
        Version::V3 => 0x0fff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_2_counts_1_to_255_whole_seconds() {
        for seconds in [1, 255] {
            let interval = AdvertInterval::new(Version::V2, Duration::from_secs(seconds)).unwrap();
            assert_eq!(u64::from(interval.units()), seconds);
            assert_eq!(interval.duration(), Duration::from_secs(seconds));
        }
        for wrong in [Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(256), Duration::MAX] {
            assert_eq!(AdvertInterval::new(Version::V2, wrong), Err(IntervalError::V2), "{wrong:?}");
        }
    }

    #[test]
    fn version_3_counts_1_to_4095_centiseconds() {
        for (millis, units) in [(10, 1), (1000, 100), (40_950, 4095)] {
            let interval = AdvertInterval::new(Version::V3, Duration::from_millis(millis)).unwrap();
            assert_eq!((interval.units(), interval.duration()), (units, Duration::from_millis(millis)));
        }
        for wrong in [
            Duration::ZERO,
            Duration::from_millis(5),
            Duration::from_millis(15),
            Duration::from_nanos(10_000_001),
            Duration::from_millis(40_960),
            Duration::MAX,
        ] {
            assert_eq!(AdvertInterval::new(Version::V3, wrong), Err(IntervalError::V3), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_rounded_up_within_the_range() {
        let units = |version, interval| AdvertInterval::nearest(version, interval).units();
        assert_eq!(units(Version::V3, Duration::ZERO), 1);
        assert_eq!(units(Version::V3, Duration::from_millis(11)), 2);
        assert_eq!(units(Version::V3, Duration::MAX), 4095);
        assert_eq!(units(Version::V2, Duration::from_millis(100)), 1);
        assert_eq!(units(Version::V2, Duration::from_millis(2001)), 3);
        assert_eq!(units(Version::V2, Duration::from_secs(70_000)), 255);
    }

    #[test]
    fn zero_in_a_packet_is_no_interval_and_reserved_bits_are_ignored() {
        assert_eq!(AdvertInterval::decode(Version::V3, 0xf000), None);
        assert_eq!(AdvertInterval::decode(Version::V2, 0), None);
        let interval = AdvertInterval::decode(Version::V3, 0xf064).unwrap();
        assert_eq!(interval.duration(), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn every_interval_that_is_admitted_survives_the_packet(units in 1u16..=4095, two: bool) {
            let version = if two { Version::V2 } else { Version::V3 };
            let units = units.min(most(version));
            let interval = AdvertInterval::new(version, unit(version) * u32::from(units)).unwrap();
            prop_assert_eq!(AdvertInterval::decode(version, interval.units()), Some(interval));
        }
    }
}
