//! What is written is read again; what is not as it was written is not read at all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;

const BOOT: &str = "0a4a2c8c-6f3c-4d59-a9a4-3f3e6d6e9a11";
const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

/// A directory of its own, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vipd-state-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, text: &[u8]) {
        fs::write(self.0.join(NAME), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.join(NAME)).unwrap()
    }

    fn read(&self) -> Result<Option<Inheritance>, Unusable> {
        read(&self.0, BOOT, NOW)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn state() -> Inheritance {
    let id = InstanceId(3);
    let link = LinkIndex(7);
    let place = |net: &str| Place { link, net: net.parse().unwrap() };
    let resignation = Datagram {
        instance: id,
        endpoint: Endpoint { link, family: Family::Ipv4 },
        source: "192.0.2.1".parse().unwrap(),
        destination: "224.0.0.18".parse().unwrap(),
        payload: vec![0x31, 51, 0, 1],
    };
    let estate = Estate {
        interval: Duration::from_millis(100),
        places: vec![place("192.0.2.10/32"), place("2001:db8::10/64")],
        leases: BTreeMap::new(),
        resignations: vec![resignation],
    };
    let inherited = Inherited {
        identity: Identity {
            interface: "eth0".into(),
            vrid: Vrid::new(51).unwrap(),
            version: Version::V3,
            sources: Some(vec!["192.0.2.1".parse().unwrap()]),
            families: vec![Family::Ipv4, Family::Ipv6],
            virtual_mac: true,
        },
        name: "web".into(),
        id,
        term: 2,
        stepped_down: true,
        adoptions: vec![Instant::from_nanos(999_000_000_000)],
        estate: Some(estate),
    };
    let checks = BTreeMap::from([("disk".to_owned(), Verdict::Down), ("nginx".to_owned(), Verdict::Up)]);
    let values = BTreeMap::from([("score".to_owned(), -7)]);
    Inheritance { instances: vec![inherited], checks, values, handed_on: true }
}

fn written(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    write(&scratch.0, BOOT, &state()).unwrap();
    scratch
}

#[test]
fn what_is_written_is_read_again_and_for_our_own_user_alone() {
    let scratch = written("whole");
    assert_eq!(scratch.read().unwrap(), Some(state()));
    assert_eq!(fs::metadata(scratch.0.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
    write(&scratch.0, BOOT, &Inheritance { handed_on: false, ..state() }).unwrap();
    assert!(!scratch.read().unwrap().unwrap().handed_on);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "nothing temporary stays");
}

#[test]
fn until_when_others_wait_is_written_where_no_lease_says_it() {
    let scratch = Scratch::new("bare");
    let mut bare = state();
    let estate = bare.instances[0].estate.as_mut().unwrap();
    let (places, until) = (std::mem::take(&mut estate.places), Instant::from_nanos(1_000_300_000_000));
    estate.leases = BTreeMap::from([(Family::Ipv4, until)]);
    write(&scratch.0, BOOT, &bare).unwrap();
    assert_eq!(scratch.read().unwrap(), Some(bare.clone()));
    let text = scratch.text();
    scratch.put(text.replace("1000300000000", "9000300000000").as_bytes());
    assert!(matches!(scratch.read(), Err(Unusable::Nonsense("until when it is alive"))));
    // With addresses the kernel knows better.
    bare.instances[0].estate.as_mut().unwrap().places = places;
    write(&scratch.0, BOOT, &bare).unwrap();
    assert_eq!(scratch.read().unwrap(), Some(state()));
}

#[test]
fn no_file_is_no_state_and_may_be_removed_twice() {
    let scratch = written("none");
    for _ in 0..2 {
        remove(&scratch.0).unwrap();
        assert_eq!(scratch.read().unwrap(), None);
    }
}

#[test]
fn a_file_that_was_cut_short_anywhere_is_no_state() {
    let scratch = written("cut");
    let text = scratch.text();
    for length in 0..text.len() {
        scratch.put(&text.as_bytes()[..length]);
        assert!(matches!(scratch.read(), Err(Unusable::Malformed(_))), "{length}");
    }
}

#[test]
fn noise_is_no_state() {
    let scratch = Scratch::new("noise");
    for text in [
        &b""[..],
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"{\"schema\":1}",
        b"{\"schema\":\"1\"}",
        "[".repeat(10_000).as_bytes(),
    ] {
        scratch.put(text);
        assert!(matches!(scratch.read(), Err(Unusable::Malformed(_))), "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_file_of_another_schema_or_boot_is_no_state() {
    let scratch = written("other");
    let text = scratch.text();
    scratch.put(text.replace("\"schema\":1", "\"schema\":2").as_bytes());
    assert!(matches!(scratch.read(), Err(Unusable::Schema(2))));
    scratch.put(b"{\"schema\":9,\"of\":\"another shape\"}");
    assert!(matches!(scratch.read(), Err(Unusable::Schema(9))));
    scratch.put(text.replace(BOOT, "another").as_bytes());
    assert!(matches!(scratch.read(), Err(Unusable::OtherBoot)));
}

#[test]
fn what_cannot_be_is_no_state() {
    let scratch = written("nonsense");
    let text = scratch.text();
    for (from, to, what) in [
        ("\"number\":3", "\"number\":0", "an instance's number"),
        ("\"number\":3", "\"number\":4000000000", "an instance's number"),
        ("\"virtual_router_id\":51", "\"virtual_router_id\":0", "a virtual router identifier"),
        ("\"version\":3", "\"version\":4", "a version"),
        ("\"term\":2", "\"term\":18446744073709551615", "a term"),
        ("\"adoptions_ns\":[999", "\"adoptions_ns\":[1001", "the time of an adoption"),
        ("\"interval_ms\":100", "\"interval_ms\":0", "an interval"),
        ("192.0.2.10/32", "192.0.2.10/33", "an address"),
    ] {
        assert!(text.contains(from), "{from}");
        scratch.put(text.replace(from, to).as_bytes());
        match scratch.read() {
            Err(Unusable::Nonsense(said)) => assert_eq!(said, what),
            other => panic!("{to}: {other:?}"),
        }
    }
    scratch.put(text.replace("\"term\":2", "\"term\":2,\"more\":1").as_bytes());
    assert!(matches!(scratch.read(), Err(Unusable::Malformed(_))));
}

#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let scratch = Scratch::new("long");
    fs::File::create(scratch.0.join(NAME)).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(scratch.read(), Err(Unusable::TooLong)));
}

#[test]
fn a_link_to_another_file_is_not_followed() {
    let scratch = written("link");
    fs::rename(scratch.0.join(NAME), scratch.0.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(scratch.0.join("elsewhere"), scratch.0.join(NAME)).unwrap();
    assert!(matches!(scratch.read(), Err(Unusable::Unreadable(_))));
}
