//! `sim`: a simulated tax disk behind a pseudo-terminal.

use crate::cli::SimArgs;
use crate::failure::Failure;

pub(super) fn sim(_args: &SimArgs, _json: bool) -> Result<(), Failure> {
    Err(Failure::failed("The simulated disk is not part of this build."))
}
