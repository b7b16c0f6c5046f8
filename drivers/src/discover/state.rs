//! What can be said of a place where a tax disk may be, in words for the person who can mend it.
//!
//! A state says what was seen. It decides nothing about jobs, and no state is kept.

use serde::Serialize;
use taxdisk_protocol::class::DeviceClass;

use crate::disk::DiskError;
use crate::profile::Profile;
use crate::transport::usb::UsbError;
use crate::transport::{Holder, LineError};

/// What is so at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// A disk answered.
    Usable {
        /// The number inside it, where it was read.
        disk: Option<String>,
        /// Whose it is, where that was read.
        taxpayer: Option<String>,
    },
    /// The running agent works with it.
    InUse {
        /// The number inside it.
        disk: Option<String>,
    },
    /// Nothing is there.
    Absent,
    /// This user may not open it.
    NoPermission {
        /// The group or udev rule that mends it.
        advice: String,
    },
    /// Another program has it open.
    Held {
        /// Which.
        by: Holder,
    },
    /// A driver of the kernel has it.
    KernelDriver {
        /// Its name.
        driver: String,
    },
    /// It is there, and is not what the profile says.
    WrongMode {
        /// What it is instead.
        detail: String,
    },
    /// It does not answer.
    Silent {
        /// What was tried.
        detail: String,
    },
    /// The disk refused the password, now or earlier.
    WrongPassword {
        /// Tries left, where the disk tells.
        tries_left: Option<u8>,
        /// Its words.
        detail: String,
    },
    /// It answers; its passwords are not set on this PC.
    NoPassword {
        /// The number inside it, where it can be read without a password.
        disk: Option<String>,
        /// How to set them.
        advice: String,
    },
    /// Another place shows the same disk, or another device the same serial number.
    Duplicate {
        /// Where.
        others: Vec<String>,
    },
    /// Known, and never opened.
    DetectionOnly {
        /// What it needs instead.
        advice: String,
    },
    /// A profile knows it; it is not configured, so nothing was sent.
    NotConfigured {
        /// What to add.
        advice: String,
    },
    /// No profile knows it; it was not opened.
    NoProfile,
    /// Anything else.
    Failed {
        /// What was said.
        detail: String,
    },
}

impl State {
    /// A disk can be used here.
    pub fn is_usable(&self) -> bool {
        matches!(self, State::Usable { .. } | State::InUse { .. })
    }

    /// Why a line did not open.
    pub fn of_line(error: &LineError, profile: &Profile) -> State {
        match error {
            LineError::NotFound { .. } | LineError::Gone { .. } => State::Absent,
            LineError::Busy { holder, .. } => State::held(holder.clone()),
            LineError::Permission { .. } => State::no_permission(profile),
            LineError::NotSerial { port } => State::WrongMode { detail: format!("{port} is not a serial port") },
            LineError::WriteTimeout { .. } | LineError::NeverSilent { .. } => State::Silent { detail: error.to_string() },
            LineError::Other { .. } => State::Failed { detail: error.to_string() },
        }
    }

    /// Why a USB device did not open.
    pub fn of_usb(error: &UsbError, profile: &Profile) -> State {
        match error {
            UsbError::NotFound { .. } | UsbError::Gone { .. } => State::Absent,
            UsbError::Busy { holder, .. } => State::held(holder.clone()),
            UsbError::Permission { .. } => State::no_permission(profile),
            UsbError::WrongDevice { .. } => State::WrongMode { detail: error.to_string() },
            UsbError::Timeout { .. } | UsbError::Stall => State::Silent { detail: error.to_string() },
            _ => State::Failed { detail: error.to_string() },
        }
    }

    /// Why a disk gave no answer.
    pub fn of_disk(error: &DiskError) -> State {
        let detail = error.text.clone();
        match error.class {
            DeviceClass::BadPassword => State::WrongPassword { tries_left: error.tries_left, detail },
            DeviceClass::Link => State::Silent { detail },
            _ => State::Failed { detail },
        }
    }

    pub(super) fn no_permission(profile: &Profile) -> State {
        State::NoPermission { advice: profile.permissions.advice() }
    }

    pub(super) fn held(by: Holder) -> State {
        State::Held { by }
    }

    pub(super) fn not_configured(address: &str, hits: &[(&Profile, String)]) -> State {
        let profiles = hits.iter().map(|(profile, _)| format!("\"{}\"", profile.name)).collect::<Vec<_>>().join(" or ");
        State::NotConfigured { advice: format!("[[disk]] {address} with profile = {profiles}") }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            State::Usable { disk: Some(disk), taxpayer: Some(taxpayer) } => format!("disk {disk} of {taxpayer} answers"),
            State::Usable { disk: Some(disk), .. } => format!("disk {disk} answers"),
            State::Usable { .. } => "the device answers".to_owned(),
            State::InUse { disk: Some(disk) } => format!("the running agent works with disk {disk}"),
            State::InUse { disk: None } => "the running agent works with it".to_owned(),
            State::Absent => "nothing is there: plug the device in, or correct the configuration".to_owned(),
            State::NoPermission { advice } => format!("this user may not open it: {advice}"),
            State::Held { by } => format!("it is held by {by}: end that program, two programs must not share a tax disk"),
            State::KernelDriver { driver } => {
                format!("the kernel's driver {driver} has it: keep that driver from binding to it, or correct the profile")
            }
            State::WrongMode { detail } => detail.clone(),
            State::Silent { detail } => format!("it does not answer: {detail}"),
            State::WrongPassword { tries_left: Some(tries), detail } => {
                format!(
                    "the disk refused the password ({tries} tries left): {detail}; nothing more is tried before a person sets it"
                )
            }
            State::WrongPassword { tries_left: None, detail } => {
                format!("the disk refused the password: {detail}; nothing more is tried before a person sets it")
            }
            State::NoPassword { disk: Some(disk), advice } => format!("disk {disk} answers, its passwords are not set: {advice}"),
            State::NoPassword { disk: None, advice } => format!("its passwords are not set: {advice}"),
            State::Duplicate { others } => {
                format!("the same disk shows at {} too: nothing is issued while two claim to be one", others.join(", "))
            }
            State::DetectionOnly { advice } => advice.clone(),
            State::NotConfigured { advice } => format!("not configured, so nothing was sent to it; to use it, add {advice}"),
            State::NoProfile => "no profile knows it; it was not opened".to_owned(),
            State::Failed { detail } => detail.clone(),
        }
    }
}
