//! Adverts that come late, twice and out of order: the switch drops a node's adverts, and they are sent on from here
//! when it suits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lab::frame::Frame;
use lab::{Host, Tap, Worker, wait};
use pnet::datalink::{self, Channel, DataLinkSender};

use crate::plan::Dice;

/// Adverts take their time while it lives.
pub(crate) struct Jitter {
    from: Host,
    _worker: Worker,
}

impl Jitter {
    /// Delays the adverts `from` sends to `to` by up to `most`, each by another time, and sends a third of them twice.
    pub(crate) fn start(from: &Host, to: &Host, most: u64) -> Self {
        let tap = Tap::at_port(from);
        let mut sender = port(to);
        let mut dice = Dice(most);
        let mut late: BTreeMap<(Instant, usize), Vec<u8>> = BTreeMap::new();
        let mut count = 0;
        let worker = Worker::repeat("jitter", move || {
            tap.drain(|at, bytes| {
                if Frame::read(at, bytes).is_some_and(|frame| frame.advert().is_some()) {
                    for _ in 0..=dice.roll(0, 2) / 2 {
                        count += 1;
                        let when = Instant::now() + Duration::from_millis(dice.roll(0, most));
                        late.insert((when, count), bytes.to_vec());
                    }
                }
            });
            while let Some(next) = late.first_entry().filter(|next| next.key().0 <= Instant::now()) {
                let sent = sender.send_to(&next.remove(), None).expect("room to send");
                sent.expect("the switch can send");
            }
            wait::observe(Duration::from_millis(1));
        });
        from.hush();
        Self { from: from.clone(), _worker: worker }
    }
}

impl Drop for Jitter {
    fn drop(&mut self) {
        self.from.heal();
    }
}

/// Sends out of a host's port of the switch, to the host.
fn port(to: &Host) -> Box<dyn DataLinkSender> {
    to.beside_the_switch(|| {
        let port = datalink::interfaces().into_iter().find(|i| i.name == to.name());
        let port = port.expect("the host has a port");
        match datalink::channel(&port, datalink::Config::default()) {
            Ok(Channel::Ethernet(sender, _)) => sender,
            Ok(_) | Err(_) => panic!("no packet socket on the switch"),
        }
    })
}
