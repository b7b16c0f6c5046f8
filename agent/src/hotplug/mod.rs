//! Notices when a configured device comes, goes, or is another one, and says so at once: a worker looks at an idle disk only
//! every few seconds, and a till that waits for it costs a customer's time.
//!
//! It opens nothing and decides nothing. Missing an event costs time only: workers look by themselves too.

#[cfg(unix)]
mod paths;
#[cfg(not(unix))]
#[path = "no_paths.rs"]
mod paths;
mod usb;

use std::path::PathBuf;

use taxdisk_drivers::discover::Place;

/// Everything that watches. It ends when it is dropped.
#[derive(Debug)]
pub struct Watches {
    _paths: paths::Watch,
    _usb: Option<usb::Forwarder>,
}

/// Watches the places that can be plugged, and tells the index of each at which something changed.
pub fn watch_all(places: &[Place], tell: impl Fn(usize) + Clone + Send + 'static) -> Watches {
    let mut files = Vec::new();
    let mut selectors = Vec::new();
    for (index, place) in places.iter().enumerate() {
        match place {
            Place::Serial(path) => files.push((index, PathBuf::from(path))),
            Place::Usb(selector) => selectors.push((index, selector.clone())),
            // What answers there shows itself only when it is asked.
            Place::Url(_) | Place::Command(_) => {}
        }
    }
    Watches { _paths: paths::Watch::spawn(files, tell.clone()), _usb: usb::Forwarder::begin(selectors, tell) }
}
