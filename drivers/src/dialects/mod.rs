//! Command languages of tax disks, one folder each. A dialect turns the calls of [`crate::disk::TaxDisk`] into bytes and
//! answers back into values; it never decides what an outcome means for a job.

pub mod bot;
pub mod card;
pub mod nisec;
pub mod skserver;
pub mod zc;
