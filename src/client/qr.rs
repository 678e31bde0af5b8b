//! QR codes: for terminals, and as SVG.
//!
//! The code itself is made by `qrcodegen`: a text of digits and letters takes fewer modules than bytes, but invites have lower-case
//! letters in them, so they are bytes. Medium correction (15 %): a code on a screen is whole, but a photo of one may not be.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of light border that a reader needs (ISO/IEC 18004 section 9.1).
const QUIET_ZONE: i32 = 4;

/// A QR code.
pub struct Qr(QrCode);

/// The text is longer than a QR code holds: about 2,300 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// White on black, whatever a terminal's theme makes of its first colours: both are of the fixed part of its 256.
const COLOURS: &str = "\u{1b}[38;5;231;48;5;16m";
/// Back to the terminal's own colours.
const NO_COLOURS: &str = "\u{1b}[0m";

/// Which colour the text of a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Any: the code brings its own colours, by escape sequences.
    Coloured,
    /// Light text on a dark ground: the blocks are the light modules.
    Dark,
    /// Dark text on a light ground: the blocks are the dark modules.
    Light,
}

impl Qr {
    /// The code of `text`.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn of(text: &str) -> Result<Self, TooLong> {
        QrCode::encode_text(text, QrCodeEcc::Medium).map(Self).map_err(|_| TooLong)
    }

    /// Modules in a row, with the border.
    pub fn size(&self) -> usize {
        usize::try_from(self.0.size().saturating_add(QUIET_ZONE).saturating_add(QUIET_ZONE)).unwrap_or(0)
    }

    /// Whether a module is dark; the border is light.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| i32::try_from(at).unwrap_or(0).saturating_sub(QUIET_ZONE);
        // Outside of the code every module is light.
        self.0.get_module(inside(x), inside(y))
    }

    /// The code in half blocks, two rows of modules a line.
    pub fn terminal(&self, terminal: Terminal) -> String {
        // The row below the last one is light, as the border is.
        let is_ink = |x, y| self.is_dark(x, y) == (terminal == Terminal::Light);
        let (begin, end) = if terminal == Terminal::Coloured { (COLOURS, NO_COLOURS) } else { ("", "") };
        let mut text = String::new();
        for y in (0..self.size()).step_by(2) {
            text.push_str(begin);
            for x in 0..self.size() {
                text.push(match (is_ink(x, y), is_ink(x, y.saturating_add(1))) {
                    (false, false) => ' ',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (true, true) => '█',
                });
            }
            text.push_str(end);
            text.push('\n');
        }
        text
    }

    /// The code as an SVG image: a white square and one path, ten units a module.
    pub fn svg(&self) -> String {
        let size = self.size();
        let mut path = String::new();
        for y in 0..size {
            for x in (0..size).filter(|x| self.is_dark(*x, y)) {
                // A string takes everything.
                let _ = write!(path, "M{x} {y}h1v1h-1z");
            }
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" width=\"{side}\" height=\"{side}\" \
             shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\"/></svg>\n",
            side = size.saturating_mul(10)
        )
    }
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the text is too long for a QR code")
    }
}

impl std::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_corners_and_its_border() {
        let qr = Qr::of("waypost:AAAA").unwrap();
        let size = qr.size();
        assert_eq!(size, 21 + 8);
        assert!((0..size).all(|at| !qr.is_dark(at, 3) && !qr.is_dark(3, at) && !qr.is_dark(at, size - 4)));
        for (x, y) in [(4, 4), (size - 5, 4), (4, size - 5)] {
            assert!(qr.is_dark(x, y), "{x} {y}");
        }
        assert!(!qr.is_dark(size, size));
        assert_eq!(Qr::of(&"a".repeat(3000)).err(), Some(TooLong));
    }

    #[test]
    fn both_terminals_show_the_same_modules() {
        let qr = Qr::of("waypost:AAAA").unwrap();
        let (dark, light) = (qr.terminal(Terminal::Dark), qr.terminal(Terminal::Light));
        assert_eq!(dark.lines().count(), qr.size().div_ceil(2));
        for (dark, light) in dark.lines().zip(light.lines()) {
            assert_eq!((dark.chars().count(), light.chars().count()), (qr.size(), qr.size()));
            let opposite = |c| match c {
                ' ' => '█',
                '█' => ' ',
                '▀' => '▄',
                _ => '▀',
            };
            assert!(dark.chars().map(opposite).eq(light.chars()));
        }
    }

    #[test]
    fn a_code_may_bring_its_colours() {
        let qr = Qr::of("waypost:AAAA").unwrap();
        let coloured = qr.terminal(Terminal::Coloured);
        assert!(coloured.lines().all(|line| line.starts_with(COLOURS) && line.ends_with(NO_COLOURS)));
        assert_eq!(coloured.replace(COLOURS, "").replace(NO_COLOURS, ""), qr.terminal(Terminal::Dark));
    }

    #[test]
    fn an_image_has_one_square_a_dark_module() {
        let qr = Qr::of("waypost:AAAA").unwrap();
        let dark =
            (0..29).flat_map(|y| (0..29).map(move |x| (x, y))).filter(|(x, y)| qr.is_dark(*x, *y)).count();
        assert_eq!(qr.svg().matches("h1v1h-1z").count(), dark);
    }
}
