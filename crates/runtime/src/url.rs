//! The URL of a bus, a cache or a store in its parts: `scheme:body?option=value&option=value`.

use bowline_events::{Error, ErrorKind, Result};

/// The parts of a URL. Only the scheme is looked at yet: what the rest may hold differs by scheme.
pub(crate) struct UrlParts {
    /// In lower case.
    pub(crate) scheme: String,
    /// What stands between the scheme and the options, percent encoded.
    pub(crate) body: String,
    /// The options, percent encoded.
    pub(crate) query: String,
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "url", message.into())
}

impl UrlParts {
    /// Takes `url` apart.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(invalid(
                "there is no scheme; write memory:, unix:///absolute/path.sock or redis://host:6379 for a bus, sqlite:path.db for a cache or a store",
            ));
        };
        let (body, query) = match rest.split_once('?') {
            Some((body, query)) => (body, query),
            None => (rest, ""),
        };
        if body.contains('#') || query.contains('#') {
            return Err(invalid(
                "a fragment (#...) means nothing here; write %23 for a # that belongs to a path or a password",
            ));
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            body: body.to_owned(),
            query: query.to_owned(),
        })
    }

    /// Names and values of the options, decoded.
    pub(crate) fn options(&self) -> Result<Vec<(String, String)>> {
        self.query
            .split('&')
            .filter(|option| !option.is_empty())
            .map(|option| {
                let (name, value) = option.split_once('=').ok_or_else(|| {
                    invalid(format!(
                        "option {:?} has no value; write {option}=value",
                        option
                    ))
                })?;
                Ok((decode(name)?, decode(value)?))
            })
            .collect()
    }

    /// The body of a `memory:` URL, which has none.
    pub(crate) fn check_memory(&self) -> Result<()> {
        if matches!(self.body.as_str(), "" | "//") {
            return Ok(());
        }
        Err(invalid("memory has no path and no host; write memory:"))
    }
}

/// Replaces every `%XX`. A plus sign stays a plus sign.
pub(crate) fn decode(text: &str) -> Result<String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let value = tail
            .get(..2)
            .and_then(|digits| Some(hex(digits[0])? * 16 + hex(digits[1])?))
            .ok_or_else(|| {
                invalid(
                    "a % must be followed by two hexadecimal digits; write %25 for a percent sign",
                )
            })?;
        bytes.push(value);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|error| {
        invalid("the decoded text is not UTF-8; only UTF-8 can be named").with_source(error)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Percent encodes what has a meaning in a URL, so that [`UrlParts::parse`] gives `text` back.
pub(crate) fn encode(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' | '?' | '#' | '&' => put_encoded(&mut url, character),
            c if c.is_control() || c.is_whitespace() => put_encoded(&mut url, c),
            c => url.push(c),
        }
    }
    url
}

/// Percent encodes everything but letters, digits and `-._~`, for the parts of a URL in which much else has a meaning.
pub(crate) fn encode_strictly(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "-._~".contains(character) {
            url.push(character);
        } else {
            put_encoded(&mut url, character);
        }
    }
    url
}

fn put_encoded(url: &mut String, character: char) {
    let mut buffer = [0; 4];
    for byte in character.encode_utf8(&mut buffer).bytes() {
        url.push_str(&format!("%{byte:02X}"));
    }
}

/// `url` with user name, password and the value of every option that looks like a secret hidden: fit to be printed, not to be
/// opened.
///
/// Nothing is validated; a text that is no URL comes back as it is. Where it is not clear what belongs to a password (a `/` or a
/// `?` in it that should have been encoded), more is hidden rather than less.
///
/// ```
/// let shown = bowline_runtime::redact_url("redis://me:hunter2@host/0?token=abc&db=1");
/// assert_eq!(shown, "redis://***@host/0?token=***&db=1");
/// ```
pub fn redact_url(url: &str) -> String {
    let (head, query) = match hide_login(url) {
        Some((shown, rest)) => (format!("{shown}***@"), rest),
        None => (String::new(), url),
    };
    let (body, query) = match query.split_once('?') {
        Some((body, query)) => (body, Some(query)),
        None => (query, None),
    };
    let mut shown = head + body;
    let Some(query) = query else { return shown };
    for (n, option) in query.split('&').enumerate() {
        shown.push(if n == 0 { '?' } else { '&' });
        match option.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                shown.push_str(name);
                shown.push_str("=***");
            }
            _ => shown.push_str(option),
        }
    }
    shown
}

/// What stands before user and password, and what after them.
fn hide_login(url: &str) -> Option<(&str, &str)> {
    let start = url.find("://")? + "://".len();
    // No host, no user: the rest is a path.
    if url[start..].starts_with('/') {
        return None;
    }
    let at = start + url[start..].rfind('@')?;
    Some((&url[..start], &url[at + 1..]))
}

fn is_secret(option: &str) -> bool {
    const WORDS: [&str; 5] = ["pass", "token", "secret", "credential", "auth"];
    let option = option.to_lowercase();
    // A key prefix is no key.
    option.ends_with("key") || WORDS.iter().any(|word| option.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken_apart(url: &str) -> Result<(String, Vec<(String, String)>)> {
        let parts = UrlParts::parse(url)?;
        Ok((decode(&parts.body)?, parts.options()?))
    }

    #[test]
    fn a_url_comes_apart() {
        let parts = UrlParts::parse("UNIX:///run/a%20b%3F.sock?x=1&&y=a%26b").unwrap();
        assert_eq!(parts.scheme, "unix");
        assert_eq!(decode(&parts.body).unwrap(), "///run/a b?.sock");
        assert_eq!(
            parts.options().unwrap(),
            [("x".into(), "1".into()), ("y".into(), "a&b".into())]
        );
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_remedy() {
        let table = [
            ("", "scheme"),
            ("/run/events.sock", "scheme"),
            ("unix:///a?x", "x=value"),
            ("unix:///a%", "two hexadecimal digits"),
            ("unix:///a%4", "two hexadecimal digits"),
            ("unix:///a%zz", "two hexadecimal digits"),
            ("unix:///a%ff", "UTF-8"),
            ("unix:///a#b", "%23"),
        ];
        for (url, part) in table {
            let error = taken_apart(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(part), "{url:?}: {error}");
        }
    }

    #[test]
    fn secrets_are_hidden() {
        let table = [
            ("memory:", "memory:"),
            ("unix:///run/x.sock?a=1", "unix:///run/x.sock?a=1"),
            ("redis://:pw@h:1/0", "redis://***@h:1/0"),
            ("redis://u:p@w@h", "redis://***@h"),
            ("redis://u:p/w@h/0", "redis://***@h/0"),
            ("redis://u:p?w@h?db=1", "redis://***@h?db=1"),
            ("redis://u:p?w=1@h", "redis://***@h"),
            (
                "redis://h?key_prefix=a&key=b",
                "redis://h?key_prefix=a&key=***",
            ),
            ("unix:///run/a@b?x=1", "unix:///run/a@b?x=1"),
            ("x://h?API_KEY=1&b=2", "x://h?API_KEY=***&b=2"),
            ("no url", "no url"),
        ];
        for (url, shown) in table {
            assert_eq!(redact_url(url), shown);
        }
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_parsing(path in "[^\\x00]{0,40}", value in "[^\\x00]{0,20}") {
            let url = format!("unix:///{}?v={}", encode(&path), encode(&value));
            let (body, options) = taken_apart(&url).unwrap();
            prop_assert_eq!(body, format!("///{path}"));
            prop_assert_eq!(&options[0].1, &value);
        }

        #[test]
        fn nothing_panics(text in ".{0,60}") {
            let _ = taken_apart(&text);
            let _ = redact_url(&text);
        }
    }
}
