//! End-to-end tests of taxdisk.
#![forbid(unsafe_code)]
