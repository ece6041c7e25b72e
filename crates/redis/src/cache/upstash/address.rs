//! Where the REST API is, and the token that opens it.

use std::fmt;
use std::net::IpAddr;

use bowline_events::{Error, ErrorKind, Result};
use hyper::Uri;
use hyper::header::HeaderValue;

/// The address of a REST API. Neither it nor the token prints the token.
#[derive(Clone)]
pub(super) struct Address {
    /// Scheme, host and path, without a slash at the end.
    base: String,
    authorization: HeaderValue,
}

impl Address {
    /// # Errors
    /// `InvalidInput` for a URL that is not `https://host[:port][/path]`, and for an empty token. `http://` is accepted for
    /// addresses of this machine only: a token must not travel in the clear.
    pub(super) fn new(url: &str, token: &str) -> Result<Self> {
        let uri: Uri = url
            .trim()
            .trim_end_matches('/')
            .parse()
            .map_err(|error| invalid("write https://host[:port]").with_source(error))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(invalid(
                "scheme or host is missing; write https://host[:port]",
            ));
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(invalid(
                "it has a user or a query; only the token of the REST API is asked for",
            ));
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(authority.host()) => {}
            "http" => {
                return Err(invalid(
                    "the token would travel in the clear; use https, http is for addresses of this machine",
                ));
            }
            _ => return Err(invalid("the scheme is not known; use https")),
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            base: format!("{scheme}://{authority}{path}"),
            authorization: authorization(token)?,
        })
    }

    /// The URI of `path`, which begins with a slash.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }
}

fn authorization(token: &str) -> Result<HeaderValue> {
    let refused =
        |message: &'static str| Error::new(ErrorKind::InvalidInput, "upstash token", message);
    let token = token.trim();
    if token.is_empty() {
        return Err(refused("it is empty; copy the token of the REST API"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| refused("it has characters that no token has; copy it again"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "upstash url", message)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_of_this_machine() {
        let table = [
            ("https://n.upstash.io", "https://n.upstash.io/pipeline"),
            ("https://n.upstash.io/", "https://n.upstash.io/pipeline"),
            (" https://h:8443/a/b/ ", "https://h:8443/a/b/pipeline"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80/pipeline"),
            ("http://[::1]:80", "http://[::1]:80/pipeline"),
            ("http://localhost", "http://localhost/pipeline"),
        ];
        for (url, pipeline) in table {
            let address = Address::new(url, "t").expect(url);
            assert_eq!(address.at("/pipeline"), pipeline);
        }
        for url in [
            "",
            "h",
            "/",
            "https://",
            "http://h",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "redis://h",
            "https://u:p@h",
            "https://h?token=t",
            "https://h h",
        ] {
            let error = Address::new(url, "t").expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
        }
    }

    #[test]
    fn the_token_is_checked_and_never_printed() {
        let address = Address::new("https://h", " hunter2 ").expect("an address");
        assert_eq!(address.authorization().as_bytes(), b"Bearer hunter2");
        let printed = format!("{address} {address:?} {:?}", address.authorization());
        assert!(!printed.contains("hunter2"), "{printed}");
        for token in ["", " ", "a\nb", "hunter2\u{0}"] {
            let error = Address::new("https://h", token).expect_err("a wrong token");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
