#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| leeward_fuzz::substitution(bytes));
