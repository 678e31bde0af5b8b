#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waypost::fuzzing::client_answers(data));
