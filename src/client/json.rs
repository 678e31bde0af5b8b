//! Reading JSON that others wrote: answers of servers, and files of people. Strict and bounded as in [`crate::wire::json`],
//! only longer.

use serde::Deserialize;

use crate::wire::json::{Object, elements};

/// Most tokens of a document: an answer of 64 KiB has room for no more of use.
const MAX_TOKENS: usize = 16_384;

/// A JSON object, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Document<'a>(Object<'a>);

/// A field is not what it must be: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd(pub(crate) &'static str);

impl<'a> Document<'a> {
    /// Takes `text` as one JSON object; `None` if it is none, is too large, or has two equal keys.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        Object::parse_within(text, MAX_TOKENS).ok().map(Self)
    }

    /// The first key that is none of `known`, as it is spelt.
    pub(crate) fn unknown_key(&self, known: &[&str]) -> Option<&'a str> {
        self.0.members().map(|(key, _)| key).find(|key| !known.contains(key))
    }

    /// The text of the value of `key`; `None` if it is missing or `null`.
    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        let value = self.0.members().find(|(name, _)| *name == key).map(|(_, value)| value);
        value.filter(|value| *value != "null")
    }

    /// The string in `key`. One with a backslash is refused: nothing we read has reason to.
    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'a str>, Odd> {
        self.value(key).map(|value| plain_text(value).ok_or(Odd(key))).transpose()
    }

    /// The whole number in `key`.
    pub(crate) fn number<T: Deserialize<'a>>(&self, key: &'static str) -> Result<Option<T>, Odd> {
        let decode = |value: &'a str| serde_json_core::from_str(value).map_err(|_| Odd(key));
        self.value(key).map(|value| decode(value).map(|(number, _)| number)).transpose()
    }

    /// The `true` or `false` in `key`.
    pub(crate) fn flag(&self, key: &'static str) -> Result<Option<bool>, Odd> {
        match self.value(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Odd(key)),
        }
    }

    /// The object in `key`.
    pub(crate) fn object(&self, key: &'static str) -> Result<Option<Self>, Odd> {
        self.value(key).map(|value| Self::parse(value.as_bytes()).ok_or(Odd(key))).transpose()
    }

    /// The texts of the elements of the list in `key`.
    pub(crate) fn list(&self, key: &'static str) -> Result<Option<Vec<&'a str>>, Odd> {
        let list = |value: &'a str| value.starts_with('[').then(|| elements(value).collect()).ok_or(Odd(key));
        self.value(key).map(list).transpose()
    }

    /// The strings in the list in `key`.
    pub(crate) fn texts(&self, key: &'static str) -> Result<Option<Vec<&'a str>>, Odd> {
        let texts =
            |list: Vec<&'a str>| list.into_iter().map(plain_text).collect::<Option<_>>().ok_or(Odd(key));
        self.list(key)?.map(texts).transpose()
    }
}

/// What stands between the quotes of a JSON string without escapes.
pub(crate) fn plain_text(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let text = br#"{"t":"a","n":7,"f":true,"o":{"x":1},"l":[1,{}],"s":["a","b"],"z":null,"e":"\u0061"}"#;
        let document = Document::parse(text).unwrap();
        assert_eq!(document.text("t"), Ok(Some("a")));
        assert_eq!(document.text("z"), Ok(None));
        assert_eq!(document.text("none"), Ok(None));
        assert_eq!((document.text("n"), document.text("e")), (Err(Odd("n")), Err(Odd("e"))));
        assert_eq!(document.number::<u8>("n"), Ok(Some(7)));
        assert_eq!(document.number::<u8>("t"), Err(Odd("t")));
        assert_eq!((document.flag("f"), document.flag("n")), (Ok(Some(true)), Err(Odd("n"))));
        assert_eq!(document.object("o").unwrap().unwrap().number::<u8>("x"), Ok(Some(1)));
        assert!(document.object("l").is_err());
        assert_eq!(document.list("l").unwrap().unwrap(), ["1", "{}"]);
        assert_eq!(document.texts("s").unwrap().unwrap(), ["a", "b"]);
        assert_eq!((document.list("o"), document.texts("l")), (Err(Odd("o")), Err(Odd("l"))));
        assert_eq!(document.unknown_key(&["t", "n", "f", "o", "l", "s", "z"]), Some("e"));
    }

    #[test]
    fn rubbish_is_no_document() {
        for text in ["", "[]", "{", "{\"a\":1,\"a\":2}", "\u{feff}{}"] {
            assert!(Document::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
