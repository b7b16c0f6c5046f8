//! What travels on the compatible paths, read tolerantly and written exactly.
//!
//! [`json`] keeps numbers as they are written, so that no amount ever passes a binary float; [`form`] splits forms as old
//! clients write them; [`number`] turns a number or a text into an exact decimal; [`reply`] is the one shape of all answers.
//! Nothing here knows what a field means.

pub mod json;
pub mod number;
pub mod reply;

pub use taxdisk_web::form;
