//! Floor 0: what can be wrong, each kind with a number that stays: `V0201` means the same in every version, in text, in
//! JSON, in tickets and in search engines. Whoever finds something wrong names its code here; nobody recognises a text.
//!
//! | numbers | what is wrong |
//! |---|---|
//! | `V01xx` | the configuration's file, before anything in it is understood |
//! | `V02xx` | a key or a value by itself |
//! | `V03xx` | keys of one place that do not go together |
//! | `V04xx` | things that name each other, or claim the same |
//! | `V05xx` | what is allowed and probably not meant |
//! | `V06xx` | a change that makes two masters |
//! | `V07xx` | the running agent: what it warns of |
//! | `V08xx` | the running agent: why an instance is in FAULT |
//! | `V10xx` | `vipctl doctor`: the kernel |
//! | `V11xx` | `vipctl doctor`: the network |
//! | `V12xx` | `vipctl doctor`: the agent and its surroundings |
//! | `V13xx` | `vipctl doctor --peer`: the pair |
//!
//! A number is never given twice, also not after its meaning is gone. Pure data: the pages are in the files beside.

mod configuration;
mod host;
mod pair;
mod running;
mod together;

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

macro_rules! codes {
    ($($name:ident = $number:literal $title:literal,)+) => {
        /// A kind of thing that can be wrong. The discriminant is the number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code { $(#[doc = $title] $name = $number,)+ }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    FileUnread = 101 "the file cannot be read",
    NotText = 102 "the file is too long, or not UTF-8",
    Syntax = 103 "the file is not YAML as it is read here",
    BeyondTrees = 104 "YAML that could mean something else than it seems to say",
    KeyTwice = 105 "a key is written twice",
    FileEmpty = 106 "the file is empty",
    Unexplained = 107 "the file cannot be understood, for a reason that is not known",

    UnknownKey = 201 "a key that is not known here",
    KeyMissing = 202 "a key is missing",
    NoValue = 203 "nothing is written where a value belongs",
    WrongShape = 204 "a list, a text or keys where another of them belongs",
    BadValue = 205 "a value that this key cannot have",
    BadName = 206 "a name that cannot be one",
    TooMany = 207 "more entries than there can be",
    NamedFile = 208 "a file that the configuration names cannot be used",

    WrittenTwice = 301 "the same thing is written twice",
    OneOf = 302 "a choice that is not made, or made twice",
    Contradiction = 303 "two keys that exclude each other",
    NothingToDo = 304 "a key that has nothing to work on here",
    OtherFamily = 305 "IPv4 where IPv6 belongs, or the other way round",
    OtherVersion = 306 "what this version of VRRP does not have",
    Owner = 307 "what an owner, with priority 255, cannot have",
    VirtualSource = 308 "an address of the wrong side: virtual, own or the peer's",
    Interval = 309 "an advert interval that this version of VRRP cannot carry",

    NobodyNamed = 401 "a name that nothing has",
    NameTaken = 402 "a name that something else has",
    SameRouter = 403 "two instances that are one virtual router",
    SameAddress = 404 "an address in two places",
    SamePath = 405 "a route or rule in two places",
    SharedFifo = 406 "a FIFO with two readers",

    SecretExposed = 501 "a secret in a file that others can read",
    InClear = 502 "something secret goes over the network in clear",
    NoEffect = 503 "something that has no effect",
    Clamped = 504 "weights that a priority has no room for",
    UnsignedAccepted = 505 "adverts without a signature count as well",
    UnequalGroup = 506 "members of a group that bid or preempt differently",
    UnseenProgram = 507 "a program that cannot be judged from here",

    PeersDeaf = 601 "a change after which two nodes do not hear each other",

    SecondMaster = 701 "another host is master, too",
    NoHolder = 702 "nobody is known to be master",
    FamilyUnheard = 703 "of one family, or one member of a group, no master is heard",
    NotInstalled = 704 "a virtual address is not in the kernel",
    PathMissing = 705 "a route or rule is not in the kernel",
    CheckDown = 706 "a check is down",
    OtherAddresses = 707 "the master advertises other addresses than this configuration",
    AdvertsDiscarded = 708 "a router's adverts are discarded, for the configurations disagree",
    ClockAhead = 709 "the peer's clock is wrong, or ours",
    NotSent = 710 "adverts cannot be sent",
    ServedAsLastResort = 711 "served although a check is down, as nobody else does",
    Gate = 712 "addresses would outlive the agent",
    Unguarded = 713 "a second agent could run beside this one",
    NotRealtime = 714 "urgency that was asked for and not granted",
    NotTold = 715 "a notifier does not get through",
    NotKept = 716 "something cannot be kept on disk",
    NotServed = 717 "metrics cannot be served",

    InFault = 800 "FAULT: an instance cannot be master",
    Excluded = 801 "FAULT: another agent runs on this host",
    InterfaceMissing = 802 "FAULT: the interface does not exist",
    InterfaceDown = 803 "FAULT: the interface is down, or has no carrier",
    NoSource = 804 "FAULT: there is no address to send adverts from",
    NoSocket = 805 "FAULT: adverts cannot be sent or heard",
    GateStuck = 806 "FAULT: nftables does not answer",
    NoVirtualLink = 807 "FAULT: the link with the virtual MAC cannot be had",
    CheckFault = 808 "FAULT: a tracked check says so",
    AddressTaken = 809 "FAULT: a virtual address is configured on the interface already",

    ReversePath = 1001 "a strict reverse-path filter",
    ArpIgnore = 1002 "ARP requests that are answered by the wrong interface, or not at all",
    ArpAnnounce = 1003 "ARP requests with an address of another interface",
    AcceptDad = 1004 "a duplicate address turns IPv6 off",
    Ipv6Off = 1005 "IPv6 is off where an IPv6 address belongs",

    Firewall = 1101 "a firewall drops adverts",
    NotJoined = 1102 "the multicast group of VRRP is not listened to",
    Snooping = 1103 "a bridge may stop passing multicast on",
    OtherRouter = 1104 "another router has this virtual router id",
    AnsweredElsewhere = 1105 "a host that is not master answers for an address",
    AdvertsDiffer = 1106 "adverts were heard that do not agree with this configuration",
    Mtu = 1107 "adverts do not fit the interface",
    LinkMissing = 1108 "the interface cannot carry adverts",

    Capabilities = 1201 "the agent lacks a right",
    Unit = 1202 "the unit does not start the agent when it should",
    Managed = 1203 "another program manages the interface",
    CannotBind = 1204 "a service cannot start on a backup",
    Clock = 1205 "the clock is not kept right",

    PeerUnreached = 1301 "the other node cannot be asked",
    PeerSilent = 1302 "no agent runs on the other node",
    PeerLacks = 1303 "an instance is on one node only",
    PeersDisagree = 1304 "the two nodes do not have the same settings",
    PeersApart = 1305 "the two nodes do not send to each other",
    EqualPriorities = 1306 "the two nodes have the same priority",
    PeerVersion = 1307 "the two nodes run different versions of vipd",
    PeerClock = 1308 "the clocks of the two nodes differ",
    PeerProblems = 1309 "the other node has problems of its own",
    TwoMasters = 1310 "both nodes are master, or neither is",
}

/// What stands behind a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The code.
    pub code: Code,
    /// What it means.
    pub meaning: &'static str,
    /// What happens if nobody cares.
    pub importance: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// For a mistake in a configuration a file that makes it, otherwise what is seen or typed.
    pub example: &'static str,
}

impl Code {
    /// The number after the `V`.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Its page. Every code has one, which is tested.
    pub fn page(self) -> Option<&'static Page> {
        Page::all().find(|page| page.code == self)
    }
}

impl Page {
    /// Every page, by number.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        configuration::PAGES
            .iter()
            .chain(together::PAGES)
            .chain(running::PAGES)
            .chain(host::PAGES)
            .chain(pair::PAGES)
    }
}

impl fmt::Display for Code {
    /// `V0201`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{:04}", self.number())
    }
}

impl FromStr for Code {
    type Err = NoCode;

    /// Reads what is displayed; a small `v` does, too.
    fn from_str(text: &str) -> Result<Self, NoCode> {
        let digits = text.strip_prefix(['V', 'v']).filter(|digits| digits.len() == 4).ok_or(NoCode)?;
        let number = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        let number: u16 = number.ok_or(NoCode)?;
        Self::ALL.iter().copied().find(|code| code.number() == number).ok_or(NoCode)
    }
}

/// There is no such code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCode;

/// A sentence for the operator, and what kind of thing it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The kind.
    pub code: Code,
    /// The sentence.
    pub text: String,
}

impl Warning {
    /// A sentence of that kind.
    pub const fn new(code: Code, text: String) -> Self {
        Self { code, text }
    }
}

impl fmt::Display for Warning {
    /// The sentence and the code: `web: IPv4 adverts cannot be sent [V0710]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.text, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn every_code_has_one_page_and_pages_are_in_the_order_of_their_numbers() {
        let pages: Vec<_> = Page::all().map(|page| page.code).collect();
        assert_eq!(pages, Code::ALL);
        assert!(Code::ALL.is_sorted_by(|a, b| a.number() < b.number()), "a number is given twice");
    }

    #[test]
    fn a_page_leaves_nothing_out() {
        for page in Page::all() {
            for text in [page.code.title(), page.meaning, page.importance, page.remedy, page.example] {
                assert!(!text.trim().is_empty() && text.trim() == text, "{}: {text:?}", page.code);
            }
            assert!(page.code.title().len() <= 70, "{}: a line is 80 wide", page.code);
            for sentences in [page.meaning, page.importance, page.remedy] {
                assert!(sentences.ends_with('.') && !sentences.contains('\n'), "{}: {sentences}", page.code);
            }
            assert!(page.example.lines().all(|line| line.chars().count() <= 76), "{}", page.code);
        }
    }

    #[test]
    fn a_code_is_read_as_it_is_shown() {
        for code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(*code));
            assert_eq!(code.to_string().to_lowercase().parse(), Ok(*code));
        }
        for text in ["", "V", "V9999", "0201", "V201", "V00201", "V+201", "V020१", "web"] {
            assert_eq!(text.parse::<Code>(), Err(NoCode), "{text}");
        }
    }

    #[test]
    fn a_warning_ends_with_its_code() {
        let warning = Warning::new(Code::NotSent, "web: IPv4 adverts cannot be sent".to_string());
        assert_eq!(warning.to_string(), "web: IPv4 adverts cannot be sent [V0710]");
    }
}
