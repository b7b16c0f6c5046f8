//! The device side: a persistent simulated tax disk behind a real pseudo-terminal, and behind components (XML over HTTP, or a
//! local command).
//!
//! Start with [`serve()`]. [`SimDisk`] is the disk whatever dialect is spoken to it, [`zc`] the device side of the serial
//! protocol as a state machine without I/O, [`nisec`] and [`skserver`] the device side of components, [`bot`] the USB disk and
//! [`usb`] its way onto a bus, [`card`] a reader with a fiscal card. [`faults`] and [`component::faults`] are what can go wrong
//! on demand, [`control`] how another process steers a running simulator. `serve`, `pty`, `control`, `component`, `bridge` and
//! `usb` are the only modules that wait or open anything but the disk's folder.
//!
//! It shares no code with the drivers and never looks at them: both are written from the same facts, so that one's mistake
//! shows in the other's tests. Its signatures and passwords are made up; it must never stand where a legal invoice is wanted.

pub mod bot;
pub mod bridge;
pub mod card;
pub mod clock;
pub mod component;
pub mod config;
pub mod control;
pub mod details;
pub mod disk;
pub mod faults;
pub mod issue;
pub mod ledger;
pub mod markup;
pub mod nisec;
pub mod period;
mod pty;
pub mod refusal;
pub mod rig;
pub mod rules;
pub mod serve;
pub mod skserver;
pub mod usb;
pub mod zc;

#[cfg(test)]
mod tests;

pub use self::component::{ComponentFault, ComponentFaultKind, HttpOptions};
pub use self::config::SimConfig;
pub use self::control::{ControlAnswer, ControlClient, ControlRequest};
pub use self::disk::SimDisk;
pub use self::faults::{Fault, FaultKind};
pub use self::ledger::{Ledger, LedgerEntry};
pub use self::rig::{Rig, SimState, WireRecord};
pub use self::serve::{Dialect, SimHandle, SimOptions, serve};
