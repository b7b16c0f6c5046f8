//! Faults that are planted on purpose: one guard of the production cores is taken out, and the simulation has to notice.

/// A planted fault.
#[derive(Debug, Clone, Copy)]
pub struct Plant {
    /// Its name in the code (`fault::planted`).
    pub name: &'static str,
    /// What is wrong with it in place.
    pub what: &'static str,
    /// Where the guard stands.
    pub place: &'static str,
}

/// All of them.
pub const PLANTS: [Plant; 0] = [];

/// Puts a fault in place for this thread, or takes it out. False: this build has none.
pub fn plant(name: Option<&'static str>) -> bool {
    let agent = taxdisk_agent::fault::plant(name);
    let broker = taxdisk_broker::fault::plant(name);
    agent && broker
}
