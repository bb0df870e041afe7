//! Adverts of one virtual router on the wire, ours and others', with the kernel's time: what a drill is measured by where
//! nobody probes.

use std::io;
use std::net::IpAddr;

use tokio::sync::mpsc;

use crate::agent::report::Instance;
use crate::cli::capture::{Advert, Packet, What};
use crate::sys::name_of;
use crate::sys::onlooking::{LONGEST, Onlooking, Way};
use crate::time::Duration;

/// How many may be unread; more than a drill takes time for.
const UNREAD: usize = 4096;

/// An advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// When, by the wall clock.
    pub(super) at: Duration,
    /// Whether it is ours.
    pub(super) ours: bool,
    pub(super) source: IpAddr,
    pub(super) priority: u8,
}

/// Listens until nobody takes what is heard.
pub(super) fn listen(one: &Instance) -> io::Result<mpsc::Receiver<Heard>> {
    let socket = Onlooking::open()?;
    let (sender, receiver) = mpsc::channel(UNREAD);
    let (interface, vrid) = (one.interface.clone(), one.virtual_router_id);
    std::thread::spawn(move || {
        let mut buffer = vec![0; LONGEST];
        while !sender.is_closed() {
            let Ok(Some(frame)) = socket.receive(&mut buffer) else { continue };
            if name_of(frame.link) != interface {
                continue;
            }
            let Some(Packet { stamp, way, what: What::Advert(advert), .. }) = Packet::read(&frame) else {
                continue;
            };
            let Advert { source, decoded: Ok(advert), .. } = *advert else { continue };
            let heard = Heard { at: stamp, ours: way == Way::Out, source, priority: advert.priority.get() };
            if advert.vrid.get() == vrid && sender.blocking_send(heard).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
