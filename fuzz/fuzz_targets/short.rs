#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dockerkit::compose::fuzz::short_syntax(data));
