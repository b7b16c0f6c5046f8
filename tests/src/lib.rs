//! End-to-end tests of taxdisk.
