//! The pages of what `vipctl doctor` looks at on one node: `V10xx` to `V12xx`. Each example is what it says then.

use super::{Code, Page};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::ReversePath,
        meaning: "'rp_filter' is 1: the kernel drops packets whose answer would leave by another interface than they came by.",
        importance: "With two interfaces in one network, or peers behind another one, adverts are dropped without a word, and \
                     both nodes are master.",
        remedy: "Set it to 2, which drops only what no interface could answer, for the interface and for 'all': the greater \
                 of both counts. Make it last in /etc/sysctl.d.",
        example: "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=2",
    },
    Page {
        code: Code::ArpIgnore,
        meaning: "'arp_ignore' says for which of its addresses a host answers ARP on an interface: 0 for all, 1 for those of \
                  the interface, 8 for none.",
        importance: "With 0 and two interfaces in one network either one may answer, and packets come by the wrong one. With 8 \
                     nobody finds the virtual addresses.",
        remedy: "Set it to 1 for the interface and for 'all'.",
        example: "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.eth0.arp_ignore=1",
    },
    Page {
        code: Code::ArpAnnounce,
        meaning: "'arp_announce' says with which of its addresses a host asks by ARP. With 0 it may be one of another \
                  interface, a virtual one too.",
        importance: "Neighbours learn from the question, and send packets for that address to the wrong interface.",
        remedy: "Set it to 2 for 'all' and for the interfaces of the network.",
        example: "sysctl -w net.ipv4.conf.all.arp_announce=2",
    },
    Page {
        code: Code::AcceptDad,
        meaning: "'accept_dad' is 2: if the interface's own IPv6 address turns out to be somebody else's, too, IPv6 is turned \
                  off on the whole interface.",
        importance: "One forged or misplaced answer takes all IPv6 addresses of the node away, virtual ones with them.",
        remedy: "Set it to 1, which gives up the one address only.",
        example: "sysctl -w net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.eth0.accept_dad=1",
    },
    Page {
        code: Code::Ipv6Off,
        meaning: "IPv6 is turned off on an interface that is to hold IPv6 addresses.",
        importance: "The kernel refuses the addresses and the adverts of that family; the instance is in FAULT.",
        remedy: "Turn it on, also in /etc/sysctl.d and on the kernel's command line, or remove the addresses.",
        example: "sysctl -w net.ipv6.conf.eth0.disable_ipv6=0",
    },
    Page {
        code: Code::Firewall,
        meaning: "Adverts are packets of IP protocol 112, without ports. A rule, or a policy without a rule for them, drops \
                  those that arrive or those that leave.",
        importance: "A node that hears nobody becomes master: there are two, and clients reach one or the other.",
        remedy: "Let protocol 112 in and out, in the firewall's own configuration so that it lasts. The command that is shown \
                 puts a rule in front of all others until the next reload of the firewall.",
        example: "nft insert rule inet filter input meta l4proto 112 accept",
    },
    Page {
        code: Code::NotJoined,
        meaning: "Adverts go to 224.0.0.18 or ff02::12. The agent runs, and the kernel says that nobody on this host is in \
                  that group on this interface.",
        importance: "Adverts are not delivered, and the node becomes a second master.",
        remedy: "Start the agent anew; it joins again. If it comes back, report it.",
        example: "cat /proc/net/igmp",
    },
    Page {
        code: Code::Snooping,
        meaning: "A bridge passes a multicast group on only to ports that asked for it lately. Without a querier nobody is \
                  reminded to ask.",
        importance: "Some minutes after the start adverts stop arriving, and both nodes are master. 224.0.0.18 is always \
                     passed on; other groups and IPv6 ones are not.",
        remedy: "Make the bridge a querier, or turn snooping off.",
        example: "ip link set br0 type bridge mcast_querier 1",
    },
    Page {
        code: Code::OtherRouter,
        meaning: "Somebody advertises a virtual router with the same number on this interface, with other addresses or in \
                  another version: most likely another pair, of vipd, keepalived or routers.",
        importance: "Each takes the other for its own master, or for a second one, and addresses answer nowhere or twice.",
        remedy: "Give one of the two pairs another virtual_router_id, on all its nodes.",
        example: "10.0.0.9 has virtual router id 51, too, and advertises 10.0.0.100",
    },
    Page {
        code: Code::AnsweredElsewhere,
        meaning: "A host answers ARP or neighbour solicitations for a virtual address although it is not known as master, or \
                  several do.",
        importance: "Clients reach whoever answers first.",
        remedy: "Find the host by its Ethernet address: a node whose agent died without a lease, or a machine that has the \
                 address in its own configuration.",
        example: "192.0.2.10 is answered for by 02:00:00:00:00:07, which is not known as\nmaster",
    },
    Page {
        code: Code::AdvertsDiffer,
        meaning: "Since it started the agent has heard adverts for its virtual routers that are of another version, interval, \
                  password, key or checksum, or list other addresses.",
        importance: "What is discarded is not heard: both nodes may be master. Numbers that have stopped growing are history.",
        remedy: "Compare the two nodes with 'vipctl doctor --peer ssh://HOST', and make them agree.",
        example: "adverts since the start: 12 discarded, for they are of another VRRP version",
    },
    Page {
        code: Code::Mtu,
        meaning: "An advert lists all addresses in one packet, which is larger than the interface carries; or the interface is \
                  too small for IPv6.",
        importance: "What does not fit is not listed. It moves all the same, and the other node may warn of other addresses.",
        remedy: "Raise the MTU on the interface, and on everything between the nodes, or use more instances.",
        example: "90 of 120 IPv6 addresses fit into an advert at an MTU of 1500",
    },
    Page {
        code: Code::LinkMissing,
        meaning: "The interface of an instance is not there, is down, has no carrier or no address to send adverts from.",
        importance: "The instance is in FAULT, or will be.",
        remedy: "Compare 'interface' with 'ip -brief link', and give the interface an address that stays on this host.",
        example: "there is no interface eth1",
    },
    Page {
        code: Code::Capabilities,
        meaning: "The agent's process lacks CAP_NET_ADMIN, by which addresses are added, or CAP_NET_RAW, by which adverts are \
                  sent.",
        importance: "It cannot do what it is there for.",
        remedy: "Use the unit that comes with vipd, or add both to AmbientCapabilities= and CapabilityBoundingSet=.",
        example: "systemctl edit vipd.service",
    },
    Page {
        code: Code::Unit,
        meaning: "The unit vipd.service is not enabled, is masked or has failed, does not restart the agent, or differs from \
                  the one that was installed.",
        importance: "After a boot or a crash this node takes no part, which is noticed when the other one fails, too.",
        remedy: "Paste the command that is shown.",
        example: "systemctl enable vipd.service",
    },
    Page {
        code: Code::Managed,
        meaning: "systemd-networkd or NetworkManager manages the interface, and removes what it does not know when it starts \
                  anew or is told to reconfigure it.",
        importance: "Virtual addresses vanish for the moment until the agent puts them back.",
        remedy: "Write 'KeepConfiguration=static' for systemd-networkd, or take the interface away from NetworkManager.",
        example: "networkctl edit 10-eth0.network   # [Network] KeepConfiguration=static",
    },
    Page {
        code: Code::CannotBind,
        meaning: "A service listens on a virtual address, which is there on the master only, and 'ip_nonlocal_bind' is 0.",
        importance: "On a backup the service does not start, and after a takeover it is not there.",
        remedy: "Set 'ip_nonlocal_bind' to 1 on both nodes, or have the service listen on all addresses.",
        example: "sysctl -w net.ipv4.ip_nonlocal_bind=1",
    },
    Page {
        code: Code::Clock,
        meaning: "Nothing keeps the clock of this host right.",
        importance: "Signed adverts are believed only if the clocks agree; logs of the two nodes cannot be compared.",
        remedy: "Turn NTP on: systemd-timesyncd, chrony or another.",
        example: "timedatectl set-ntp true",
    },
];
