//! The pages of what `vipctl doctor --peer` compares: `V13xx`. Each example is what it says then.

use super::{Code, Page};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::PeerUnreached,
        meaning: "ssh did not reach the other node, was not let in without a password, or 'vipctl doctor' there did not answer.",
        importance: "Backups are silent on the wire: whether the other node could take over is not known without asking it.",
        remedy: "Try the command that is shown by hand; it must end without asking for anything. See ssh-copy-id(1).",
        example: "ssh -o BatchMode=yes -p 22 lb2 vipctl doctor --no-probe --json",
    },
    Page {
        code: Code::PeerSilent,
        meaning: "The other node answers, and no agent runs there.",
        importance: "Nobody takes over if this node fails.",
        remedy: "Start it, and see that it starts at boot.",
        example: "systemctl enable --now vipd",
    },
    Page {
        code: Code::PeerLacks,
        meaning: "A virtual router, by its interface's family and virtual_router_id, is configured on one of the nodes only.",
        importance: "Its addresses have one node, and no other to move to.",
        remedy: "Configure it on both nodes, or remove it.",
        example: "web, virtual router id 51, is configured here and not on lb2",
    },
    Page {
        code: Code::PeersDisagree,
        meaning: "What has to be the same on both nodes is not: version, interval, addresses, authentication, keys, multicast \
                  group or MTU.",
        importance: "Adverts are discarded, takeovers come too early or too late, or addresses answer nowhere after one.",
        remedy: "Make the two configurations agree and reload both nodes; 'vipctl plan' says what that moves.",
        example: "web: version is 3 here and 2 on lb2",
    },
    Page {
        code: Code::PeersApart,
        meaning: "With unicast each node sends to the peers that it lists. One does not list the other, or one sends unicast \
                  and the other multicast.",
        importance: "They do not hear each other, and both are master.",
        remedy: "Have each 'peers' list the other's 'source'.",
        example: "web: lb2 sends from 192.0.2.2, which is not among the peers here",
    },
    Page {
        code: Code::EqualPriorities,
        meaning: "Both nodes bid with the same priority.",
        importance: "The greater address decides, which is seldom what was meant, and both wait equally long before they take \
                     over.",
        remedy: "Give the node that should be master the greater one, for example 150 and 100.",
        example: "web: the priority is 100 on both nodes",
    },
    Page {
        code: Code::PeerVersion,
        meaning: "The programs on the two nodes are not of the same version.",
        importance: "They understand each other, and one has mistakes that the other has not. Between the two steps of an \
                     upgrade it is normal.",
        remedy: "Install the newer one on both and run 'vipctl upgrade'.",
        example: "vipd is 0.1.0 here and 0.2.0 on lb2",
    },
    Page {
        code: Code::PeerClock,
        meaning: "The wall clocks of the two nodes differ by more than a second.",
        importance: "Signed adverts are believed only within 'time_window', and logs cannot be compared.",
        remedy: "Turn NTP on, on both nodes.",
        example: "the clock of lb2 is 4.1 s ahead",
    },
    Page {
        code: Code::PeerProblems,
        meaning: "'vipctl doctor' finds a problem on the other node.",
        importance: "A node that is only needed when the first one fails is best repaired before.",
        remedy: "Do there what it says.",
        example: "lb2: V1101 the policy of 'inet filter input' drops them",
    },
    Page {
        code: Code::TwoMasters,
        meaning: "Both nodes say that they are master of an instance, or neither is.",
        importance: "The addresses answer twice, or nowhere. For a moment during a takeover it is normal.",
        remedy: "Run it again. If it stays, something keeps adverts from arriving: look at the other findings.",
        example: "web: both nodes are master",
    },
];
