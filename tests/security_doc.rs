//! Every test that `docs/security.md` names is there.

use std::fs;
use std::path::Path;

/// The text of all Rust files below `folder`.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: &Path| match path.extension() {
        _ if path.is_dir() => sources(path),
        Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
        _ => String::new(),
    };
    entries.map(|path| text(&path)).collect()
}

/// The code that a row calls `place`: a file, or all of a folder.
fn code_of(place: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = if place.starts_with("tests/") { root.join(place) } else { root.join("src").join(place) };
    if path.is_dir() {
        sources(&path)
    } else {
        fs::read_to_string(&path).unwrap_or_else(|_| panic!("{place}"))
    }
}

#[test]
fn every_test_it_names_is_there() {
    let text = include_str!("../docs/security.md");
    // In the last cell of a row tests are named, in code: `place: test`, or `test` of the place named before.
    let cells = text.lines().filter(|line| line.ends_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let mut tests = 0;
    for cell in cells {
        let mut code = String::new();
        for name in cell.split('`').skip(1).step_by(2) {
            let test = match name.split_once(": ") {
                _ if name.contains('/') && !name.contains(": ") => {
                    code = code_of(name);
                    continue;
                }
                Some((place, test)) => {
                    code = code_of(place);
                    test
                }
                None => name,
            };
            assert!(code.contains(&format!("fn {test}()")), "{name} in {cell}");
            tests += 1;
        }
    }
    assert!(tests > 60, "only {tests} tests are named");
}
