//! The link on doubles: what it promises about first contact, interruptions, lost positions, stops and pace.

mod first_contact;
mod following;
mod halted;
mod interruptions;
mod lost_positions;
mod spooled;
mod verified;
