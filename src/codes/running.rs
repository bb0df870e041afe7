//! The pages of what a running agent warns of, and of why an instance is in FAULT: `V07xx`, `V08xx`. Each example is what
//! `vipctl status` says then.

use super::{Code, Page};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::SecondMaster,
        meaning: "While this node was master, another host said that it is, too: by an advert, or by answering for one of the \
                  addresses.",
        importance: "Clients reach one or the other as chance has it, and connections break. It lasts as long as the two do \
                     not hear each other.",
        remedy: "Find out who it is, by the address in the message. A peer of this pair: run 'vipctl doctor' on both nodes. A \
                 stranger: give one of the two another virtual_router_id, or another address.",
        example: "problem: web has a second master, heard lately: 192.0.2.2 with priority 90",
    },
    Page {
        code: Code::NoHolder,
        meaning: "This node is not master, and hears no adverts of one.",
        importance: "Most likely nobody answers for the addresses. It is normal for the few intervals after a start.",
        remedy: "See with 'vipctl explain' why this node does not take over, and look at the other node.",
        example: "problem: nobody is known to hold web",
    },
    Page {
        code: Code::FamilyUnheard,
        meaning: "An instance has IPv4 and IPv6 addresses, or moves with other instances in a group. A master is heard, but \
                  not in one of the two families, or not of one of the instances.",
        importance: "The addresses of that part may answer nowhere, and this node takes all or nothing.",
        remedy: "See that the same families and members are configured on all nodes, that the network of this part is whole, and \
                 that no firewall drops its protocol 112.",
        example: "problem: no ipv6 adverts of web's master are heard",
    },
    Page {
        code: Code::NotInstalled,
        meaning: "A virtual address should be in the kernel and is not. The message has the kernel's reason, if there is one; \
                  'not installed yet' passes by itself.",
        importance: "Nobody answers for this address although this node is master.",
        remedy: "Remove what the kernel names: an interface that is missing, an address that somebody else keeps removing, \
                 IPv6 that is off. The agent tries again by itself.",
        example: "problem: web: 192.0.2.10/24 is not installed: interface eth1 does not exist",
    },
    Page {
        code: Code::PathMissing,
        meaning: "A route or rule should be in the kernel and is not, for the reason that the message has.",
        importance: "Packets of clients arrive, and the answers may take another way or none.",
        remedy: "See that its gateway can be reached and its interface is there. The agent tries again by itself.",
        example: "problem: web: the route to 10.0.0.0/8 via 192.0.2.1 is not installed: ..",
    },
    Page {
        code: Code::CheckDown,
        meaning: "A check of the configuration fails. What it saw last stands in brackets.",
        importance: "Depending on 'track', the instances that track it have a lower priority or are in FAULT.",
        remedy: "Repair the service, or the check. 'vipctl explain' says what the check moves.",
        example: "problem: check nginx is down (connection refused)",
    },
    Page {
        code: Code::OtherAddresses,
        meaning: "The adverts of the master are accepted, and list other virtual addresses than this node has.",
        importance: "At the next takeover some addresses answer nowhere, or on two hosts.",
        remedy: "Make 'addresses' the same on all nodes. 'vipctl doctor --peer ssh://HOST' shows the difference.",
        example: "problem: web: the master's IPv4 adverts list other addresses than this\nconfiguration; make the two configurations agree",
    },
    Page {
        code: Code::AdvertsDiscarded,
        meaning: "Adverts for this virtual router arrive and do not count: another version, interval, password or key, a peer \
                  that is not listed, a wrong checksum. The message says which.",
        importance: "Who is not heard is not known to be master: both nodes may hold the addresses.",
        remedy: "Make the two configurations agree. If the sender is no node of this pair, give this one another \
                 virtual_router_id.",
        example: "problem: web: adverts of 192.0.2.2 are discarded, they are of another VRRP\nversion; make the two configurations agree",
    },
    Page {
        code: Code::ClockAhead,
        meaning: "Signed adverts carry the sender's time. It differs from ours by more than half of 'time_window'.",
        importance: "Beyond the whole window adverts are discarded, and both nodes are master.",
        remedy: "Have both clocks set by NTP: 'timedatectl' says whether they are.",
        example: "problem: web: the clock of 192.0.2.2 is 4 s ahead, more than half of the\ntime_window; set the clocks of both nodes",
    },
    Page {
        code: Code::NotSent,
        meaning: "The kernel refuses to send adverts.",
        importance: "The other node hears nothing and takes over; this one gives the addresses up.",
        remedy: "Look at 'vipctl events' for what the kernel said; most often a firewall's output rule for protocol 112, or a \
                 route to a peer that is missing. 'vipctl doctor' looks for both.",
        example: "problem: web: IPv4 adverts cannot be sent",
    },
    Page {
        code: Code::ServedAsLastResort,
        meaning: "A tracked check says FAULT, and 'last_resort: true' has the node serve all the same, as nobody else does.",
        importance: "Clients get what a broken service gives them.",
        remedy: "Repair what the message names, on either node.",
        example: "problem: web is served from here as a last resort: check nginx is down",
    },
    Page {
        code: Code::Gate,
        meaning: "The nftables rules that keep addresses from answering once no adverts leave are not in force.",
        importance: "If the agent is killed or hangs, its addresses go on answering here after the other node has taken over.",
        remedy: "The message has what nftables said. A kernel of 5.16 or newer with nf_tables and the netdev family is needed, \
                 and the right CAP_NET_ADMIN.",
        example: "problem: without leases: nftables: Operation not supported",
    },
    Page {
        code: Code::Unguarded,
        meaning: "The name by which a second agent on this host would notice this one is taken, or cannot be had.",
        importance: "Two agents would remove each other's addresses.",
        remedy: "End the process that the message names, or find out what it is.",
        example: "problem: process 4711 of user 65534 has taken it ..",
    },
    Page {
        code: Code::NotRealtime,
        meaning: "'realtime' asks for a priority or for locked memory that the kernel does not grant.",
        importance: "The agent goes on, and is late when the host is busy.",
        remedy: "Let the unit grant it: see REAL TIME in vipd(8).",
        example: "problem: realtime.priority is not in force: the unit does not grant\nLimitRTPRIO=, see REAL TIME in vipd(8)",
    },
    Page {
        code: Code::NotTold,
        meaning: "A script, a FIFO, a webhook or the mail server did not take the last news.",
        importance: "Addresses move all the same; whoever relies on being told is not.",
        remedy: "The message has the reason. It is tried again by itself as vipd.yaml(5) says.",
        example: "problem: web: webhook https://hooks.example was not told MASTER of\nweb: status 503",
    },
    Page {
        code: Code::NotKept,
        meaning: "The agent cannot write to its state directory.",
        importance: "The history and drains do not survive a restart.",
        remedy: "See that the disk is not full and that the directory, /var/lib/vipd unless said otherwise, belongs to the \
                 agent's user.",
        example: "problem: the history is not kept: /var/lib/vipd: Permission denied",
    },
    Page {
        code: Code::NotServed,
        meaning: "The address of 'metrics' cannot be listened on.",
        importance: "Collectors get nothing; 'vipctl metrics' still answers.",
        remedy: "End who has the port ('ss -ltnp'), or write another one. If it is an address that is not there yet, it is \
                 tried again by itself.",
        example: "problem: metrics are not served on 127.0.0.1:9113: Address already in use",
    },
    Page {
        code: Code::InFault,
        meaning: "An instance cannot be master on this node, for the reason that the message has.",
        importance: "The other node serves its addresses. If it cannot either, nobody does.",
        remedy: "See 'vipctl explain NAME', which has the reason and since when.",
        example: "problem: web is in FAULT: ..",
    },
    Page {
        code: Code::Excluded,
        meaning: "Another agent guards addresses on this host, in another network namespace's name or runtime directory.",
        importance: "Of two agents only one can answer for what is in the kernel. This one waits.",
        remedy: "End the other one; the message has its process.",
        example: "problem: web is in FAULT: another agent runs on this host: process 812",
    },
    Page {
        code: Code::InterfaceMissing,
        meaning: "There is no interface of the configured name.",
        importance: "This node cannot hold the addresses. It is ready as soon as the interface appears.",
        remedy: "Compare 'interface' with 'ip link', and look at whoever makes the interface.",
        example: "problem: web is in FAULT: waiting for interface eth1 to appear",
    },
    Page {
        code: Code::InterfaceDown,
        meaning: "The interface is set down, or its cable, switch or host side is.",
        importance: "Nobody could reach the addresses here, so the other node has them.",
        remedy: "'ip link set INTERFACE up' if it was set down; otherwise look at the cable and the switch.",
        example: "problem: web is in FAULT: interface eth0 is down or has no carrier",
    },
    Page {
        code: Code::NoSource,
        meaning: "Adverts come from an address that stays on this host. There is none of this family on the interface, or the \
                  configured 'source' is on no interface.",
        importance: "Without one nothing can be sent, and peers take over.",
        remedy: "Give the interface an address of its own (for IPv6 its link-local one does), or correct 'source'.",
        example: "problem: web is in FAULT: eth0 has no IPv4 address of its own to send from",
    },
    Page {
        code: Code::NoSocket,
        meaning: "The kernel refuses the socket for protocol 112, its multicast group, or every advert that is sent.",
        importance: "A node that cannot be heard must not be master.",
        remedy: "The message has the kernel's reason. The agent needs the right CAP_NET_RAW; 'vipctl doctor' says if it has \
                 it, and if a firewall is in the way.",
        example: "problem: web is in FAULT: adverts cannot be sent: Operation not permitted",
    },
    Page {
        code: Code::GateStuck,
        meaning: "As master the node waited for nftables to let the addresses answer, for longer than a lease.",
        importance: "It answered nobody, so it lets the other node be master.",
        remedy: "Look for a program that keeps nftables busy: a large ruleset that is loaded again and again.",
        example: "problem: web is in FAULT: as master it answered nobody: nftables took longer\nthan 3000 ms",
    },
    Page {
        code: Code::NoVirtualLink,
        meaning: "'virtual_mac' wants a link of its own, and the kernel cannot make or keep it.",
        importance: "The addresses would answer with the wrong Ethernet address, so this node does not serve them.",
        remedy: "The message has the reason. The kernel needs macvlan, and nothing else may have a link of this name.",
        example: "problem: web is in FAULT: vrrp.51: File exists",
    },
    Page {
        code: Code::CheckFault,
        meaning: "A check that is tracked with 'fault' is down (or up, if reversed), or its value means FAULT.",
        importance: "That is what was asked for: the other node serves until the check is good again.",
        remedy: "Repair the service; 'vipctl status NAME' has what the check saw.",
        example: "problem: web is in FAULT: check uplink is down",
    },
    Page {
        code: Code::AddressTaken,
        meaning: "The host's own configuration gives one of the virtual addresses to an interface all the time.",
        importance: "The address would answer here also while the other node is master.",
        remedy: "Remove it from the host's network configuration ('ip address del'), or write 'priority: 255' if this host \
                 owns it.",
        example: "problem: web is in FAULT: 192.0.2.10/24 is on the interface already and is\nnot ours; remove one of the two",
    },
];
