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

#[test]
fn every_test_it_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = sources(&root.join("src")) + &sources(&root.join("tests"));
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    // In the last cell of a row tests are named, in code, and some with the file before them.
    let cells = text.lines().filter(|line| line.ends_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let named: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    for name in &named {
        let test = name.rsplit(": ").next().unwrap();
        assert!(
            code.contains(&format!("#[test]\nfn {test}()")) || code.contains(&format!("    fn {test}()")),
            "{name}"
        );
    }
    assert!(named.len() > 60, "only {} tests are named", named.len());
}
