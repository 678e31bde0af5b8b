#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waypost::fuzzing::srv_answer(data));
