//! See `taxdisk_drivers::hostile`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taxdisk_drivers::hostile::run("recording", bytes));
