//! Actions become effects, in order, in one exhaustive match.

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::protocol::{Protocol, token_of};
use crate::engine::action::{Action, Datagram, Endpoint, KernelWork};
use crate::engine::event::{Event, Refusal};
use crate::sys::vrrp_socket::VrrpSocket;

impl Protocol {
    /// Performs and removes all actions; `None` if every advert went out, else the failures.
    ///
    /// In their order, but for two things. The gate comes first: it closes at once, and it opens while the advert is
    /// sent, which takes the kernel all the way to the receivers. And telling comes last: it may wait.
    pub(super) fn perform(&mut self, actions: &mut Vec<Action>) -> Option<Vec<Event<'static>>> {
        self.order_gates(actions);
        let (mut failed, mut told) = (Vec::new(), Vec::new());
        for action in actions.drain(..) {
            match action {
                Action::Send(datagram) => failed.extend(self.send(&datagram)),
                Action::Kernel(KernelWork::Listen(listen)) if listen.groups.is_none() => {
                    self.listening.remove(&listen.endpoint);
                    self.stop_listening(listen.endpoint);
                }
                Action::Kernel(KernelWork::Listen(listen)) => {
                    self.listening.insert(listen.endpoint, listen.generation);
                    self.route.listen(listen);
                }
                Action::Kernel(KernelWork::Hold(hold)) => {
                    self.announcer.forget(&hold.remove);
                    self.route.hold(hold);
                }
                Action::Kernel(KernelWork::Link(link)) => self.route.link(link),
                Action::Kernel(KernelWork::Announce(announcement)) => self.announcer.announce(announcement),
                Action::Kernel(KernelWork::Pace(paces)) => self.announcer.pace(paces),
                // Ordered above.
                Action::Kernel(KernelWork::Gate(_)) => {}
                Action::Tell(notice) => told.push(notice),
            }
        }
        for notice in told {
            self.notices.push(notice);
        }
        (!failed.is_empty()).then_some(failed)
    }

    /// All together: what one event changes for many instances takes one transaction.
    fn order_gates(&self, actions: &mut Vec<Action>) {
        let gates = actions.extract_if(.., |action| matches!(action, Action::Kernel(KernelWork::Gate(_))));
        let mut ordered = Vec::new();
        for action in gates {
            let Action::Kernel(KernelWork::Gate(gate)) = action else { continue };
            if gate.places.is_empty() {
                self.announcer.free(gate.router);
            } else {
                self.announcer.bar(gate.router, gate.generation);
            }
            ordered.push(gate);
        }
        if !ordered.is_empty() {
            self.gate.gate(ordered);
        }
    }

    fn send(&self, datagram: &Datagram) -> Option<Event<'static>> {
        let sent = match self.sockets.get(&datagram.endpoint) {
            Some(socket) => socket.send(datagram.source, datagram.destination, &datagram.payload),
            None => Err(std::io::Error::other("the protocol socket is not open")),
        };
        let error = sent.err()?;
        let why = format!("send an advert from {} to {}: {error}", datagram.source, datagram.destination);
        let refusal = Refusal { errno: error.raw_os_error().unwrap_or(0), why };
        Some(Event::SendFailed { instance: datagram.instance, family: datagram.endpoint.family, refusal })
    }

    pub(super) fn start_listening(&mut self, socket: VrrpSocket) {
        let endpoint = socket.endpoint();
        self.stop_listening(endpoint);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token_of(endpoint));
        match self.epoll.add(&socket, event) {
            Ok(()) => {
                self.sockets.insert(endpoint, socket);
            }
            // No memory: deaf, it would believe itself alone. Without its socket it stays silent instead.
            Err(_) => self.route.close(socket),
        }
    }

    /// Leaving groups takes RTNL, so the route thread does the closing.
    fn stop_listening(&mut self, endpoint: Endpoint) {
        if let Some(socket) = self.sockets.remove(&endpoint) {
            // Should this fail, the descriptor leaves the set when it is closed.
            self.epoll.delete(&socket).ok();
            self.route.close(socket);
        }
    }
}
