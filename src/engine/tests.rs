//! The engine as its drivers see it: real bytes and reports of a kernel in, actions out, in virtual time. A file a
//! promise; what belongs to one part alone is tested where that part stands.

mod adopting;
mod bare;
mod discards;
mod driver;
mod elsewhere;
mod foresight;
mod gating;
mod groups;
mod handing_over;
mod keeping;
mod near;
mod noise;
mod obstacles;
mod reloading;
mod reserve;
mod routing;
mod sending;
mod signing;
mod statics;
mod taking;
mod together;
mod tracks;
mod virtual_mac;
