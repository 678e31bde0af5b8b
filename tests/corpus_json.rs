//! JSONTestSuite against the scanner: what must be accepted is, what must be refused is, the rest is decided here.

use std::path::PathBuf;
use std::{env, fs, thread};

use waypost::wire::json;

/// Documents the suite accepts and we refuse, with the reason.
const LIMITS: [(&str, &str); 2] = [
    ("y_object_duplicated_key.json", "equal keys at the top level"),
    ("y_object_duplicated_key_and_value.json", "equal keys at the top level"),
];

/// Documents the suite leaves to us that we accept: each is within the grammar, and a number that fits no type is only
/// refused where a field needs it.
const ACCEPTED: [&str; 10] = [
    "i_number_double_huge_neg_exp.json",
    "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",
    "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
];

/// Documents the suite leaves to us that we refuse, with the reason.
const REFUSED: [(&str, &str); 25] = [
    ("i_object_key_lone_2nd_surrogate.json", "half a surrogate pair"),
    ("i_string_1st_surrogate_but_2nd_missing.json", "half a surrogate pair"),
    ("i_string_1st_valid_surrogate_2nd_invalid.json", "half a surrogate pair"),
    ("i_string_UTF-16LE_with_BOM.json", "not UTF-8"),
    ("i_string_UTF-8_invalid_sequence.json", "not UTF-8"),
    ("i_string_UTF8_surrogate_U+D800.json", "not UTF-8"),
    ("i_string_incomplete_surrogate_and_escape_valid.json", "half a surrogate pair"),
    ("i_string_incomplete_surrogate_pair.json", "half a surrogate pair"),
    ("i_string_incomplete_surrogates_escape_valid.json", "half a surrogate pair"),
    ("i_string_invalid_lonely_surrogate.json", "half a surrogate pair"),
    ("i_string_invalid_surrogate.json", "half a surrogate pair"),
    ("i_string_invalid_utf-8.json", "not UTF-8"),
    ("i_string_inverted_surrogates_U+1D11E.json", "half a surrogate pair"),
    ("i_string_iso_latin_1.json", "not UTF-8"),
    ("i_string_lone_second_surrogate.json", "half a surrogate pair"),
    ("i_string_lone_utf8_continuation_byte.json", "not UTF-8"),
    ("i_string_not_in_unicode_range.json", "not UTF-8"),
    ("i_string_overlong_sequence_2_bytes.json", "not UTF-8"),
    ("i_string_overlong_sequence_6_bytes.json", "not UTF-8"),
    ("i_string_overlong_sequence_6_bytes_null.json", "not UTF-8"),
    ("i_string_truncated-utf-8.json", "not UTF-8"),
    ("i_string_utf16BE_no_BOM.json", "UTF-16"),
    ("i_string_utf16LE_no_BOM.json", "UTF-16"),
    ("i_structure_500_nested_arrays.json", "nested deeper than 8"),
    ("i_structure_UTF-8_BOM_empty_object.json", "byte order mark"),
];

/// The verdict the file's name asks for.
fn expected(name: &str) -> bool {
    let listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| *listed == name);
    match name.split('_').next() {
        Some("y") => !listed(&LIMITS),
        Some("n") => false,
        _ => {
            assert!(ACCEPTED.contains(&name) != listed(&REFUSED), "{name} is not decided");
            ACCEPTED.contains(&name)
        }
    }
}

fn run(folder: PathBuf) {
    let mut tally = [(0, 0); 3];
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).expect("the corpus can be read") {
        let path = entry.expect("the corpus can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let Some(kind) = ["y_", "n_", "i_"].iter().position(|kind| name.starts_with(kind)) else { continue };
        let accepted = json::check(&fs::read(&path).expect("the corpus can be read")).is_ok();
        if accepted {
            tally[kind].0 += 1;
        } else {
            tally[kind].1 += 1;
        }
        if accepted != expected(&name) {
            wrong.push(name);
        }
    }
    for (kind, (accepted, refused)) in ["y", "n", "i"].iter().zip(tally) {
        println!("{kind}_: {accepted} accepted, {refused} refused");
    }
    assert!(wrong.is_empty(), "wrong verdicts: {wrong:?}");
    assert!(
        tally.iter().all(|(accepted, refused)| accepted + refused > 0),
        "{} is incomplete",
        folder.display()
    );
}

#[test]
fn json_test_suite() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora");
    let corpora = env::var_os("WAYPOST_CORPORA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let folder = corpora.join("json");
    if !folder.is_dir() {
        println!("skipped: {} is not there; set WAYPOST_CORPORA", folder.display());
        return;
    }
    // Small enough that a parser which recurses on nesting would not survive the deep documents.
    let small_stack = thread::Builder::new().stack_size(128 * 1024);
    let run = small_stack.spawn(move || run(folder)).expect("a thread starts");
    assert!(run.join().is_ok(), "see above");
}
