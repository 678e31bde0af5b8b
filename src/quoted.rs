//! Text in messages: between quotes, on one line.

use std::fmt::{self, Write as _};

/// Shows a text as JSON writes a string (RFC 8259, section 7): right in JSON, and clear to people.
///
/// Messages must not show it by `{:?}`: the boards' binaries are built without the code behind that, and it shows
/// nothing there.
pub(crate) struct Quoted<'t>(pub(crate) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_control_characters_are_escaped() {
        assert_eq!(Quoted("plain é").to_string(), "\"plain é\"");
        assert_eq!(Quoted("a \"b\"\\\n\u{7f}").to_string(), r#""a \"b\"\\\u000a\u007f""#);
    }
}
