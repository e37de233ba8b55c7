#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::mount_options::check(input));
