//! What carries our mark and no instance knows: left by an earlier agent, and taken away. Until it is gone it answers
//! nobody.

use alloc::vec::Vec;

use super::action::{Action, Gate, KernelWork, Passage, Place, RouterId};
use super::{Engine, STRAYS};
use crate::net::Family;

impl Engine {
    /// At the start, what carries our mark was left by an agent before us: on any interface, for it may have been
    /// configured with others.
    pub(super) fn find_strays(&mut self, out: &mut Vec<Action>) {
        for address in self.world.links.ours() {
            let place = Place { link: address.link, net: address.net };
            let known = self.instances.iter().any(|instance| instance.holding.knows(place));
            if !known && !self.statics.holding.knows(place) {
                self.strays.remove_stray(place);
            }
        }
        self.gate_strays(out);
    }

    /// What was left answers nobody until it is gone.
    pub(super) fn gate_strays(&mut self, out: &mut Vec<Action>) {
        let known = core::mem::take(&mut self.strays_gated);
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut places = self.strays.places();
            places.retain(|place| place.net.family() == family);
            if !places.is_empty() {
                self.strays_gated.insert(family);
            } else if !known.contains(&family) {
                continue;
            }
            let router = RouterId { instance: STRAYS, family };
            self.strays_generation.0 += 1;
            out.push(Action::Kernel(KernelWork::Gate(Gate {
                router,
                generation: self.strays_generation,
                passage: Passage::Shut,
                lease: None,
                places,
                accept: true,
                virtual_link: None,
            })));
        }
    }
}
