//! URLs of servers.

use std::fmt::Write as _;

pub(crate) fn redis(
    scheme: &str,
    user: Option<&str>,
    password: Option<&str>,
    port: u16,
    database: Option<u32>,
) -> String {
    let mut url = format!("{scheme}://");
    if let Some(password) = password {
        escape(&mut url, user.unwrap_or_default());
        url.push(':');
        escape(&mut url, password);
        url.push('@');
    }
    url.push_str(&format!("127.0.0.1:{port}"));
    if let Some(database) = database {
        url.push_str(&format!("/{database}"));
    }
    url
}

/// Appends `text` with everything but letters, digits and `-_.~` percent-encoded.
fn escape(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn credentials_are_percent_encoded() {
        assert_eq!(
            super::redis("redis", Some("a b"), Some("p@:/?#é"), 1, Some(2)),
            "redis://a%20b:p%40%3A%2F%3F%23%C3%A9@127.0.0.1:1/2"
        );
        assert_eq!(
            super::redis("rediss", None, Some("x"), 1, None),
            "rediss://:x@127.0.0.1:1"
        );
        assert_eq!(
            super::redis("redis", None, None, 7, None),
            "redis://127.0.0.1:7"
        );
    }
}
