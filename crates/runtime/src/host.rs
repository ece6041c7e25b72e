//! The host and the port in the URL of a server.

use std::net::Ipv6Addr;

use bowline_events::Result;

use crate::url::invalid;

/// What a message needs to know of a kind of server.
#[derive(Clone, Copy)]
pub(crate) struct Kind<'a> {
    pub(crate) scheme: &'a str,
    /// The port that its servers usually have.
    pub(crate) port: u16,
}

/// `host`, `host:port` or `[address]:port`. What is wrong is not repeated: it may be half of a password.
pub(crate) fn read(text: &str, kind: Kind<'_>) -> Result<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => read_bracketed(rest, kind)?,
        None => read_plain(text, kind)?,
    };
    let port = port.map(read_port).transpose()?;
    Ok((host, port))
}

/// The number of a port; 0 is none.
pub(crate) fn read_port(text: &str) -> Result<u16> {
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| invalid("the port is not a number from 1 to 65535"))
}

/// The host and the port as a URL has them.
pub(crate) fn show(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn read_bracketed<'a>(rest: &'a str, kind: Kind<'_>) -> Result<(String, Option<&'a str>)> {
    let port = kind.port;
    let (host, rest) = rest.split_once(']').ok_or_else(|| {
        invalid(format!(
            "the bracket of the address is not closed; write [::1]:{port}"
        ))
    })?;
    if host.parse::<Ipv6Addr>().is_err() {
        return Err(invalid(
            "what stands in the brackets is no IPv6 address; write an address such as [::1], and names without brackets",
        ));
    }
    match rest.strip_prefix(':') {
        Some(port) => Ok((host.to_owned(), Some(port))),
        None if rest.is_empty() => Ok((host.to_owned(), None)),
        None => Err(invalid("only :port may follow the brackets of an address")),
    }
}

fn read_plain<'a>(text: &'a str, kind: Kind<'_>) -> Result<(String, Option<&'a str>)> {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let Kind {
        scheme,
        port: usual,
    } = kind;
    if port.is_some_and(|port| port.contains(':')) {
        return Err(invalid(format!(
            "there is more than one colon after the host; write an IPv6 address in brackets, such as [::1]:{usual}"
        )));
    }
    if host.is_empty() {
        return Err(invalid(format!(
            "there is no host; write {scheme}://localhost:{usual}"
        )));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !host.chars().all(known) {
        return Err(invalid(
            "the host has characters that no host name has; write the name as the name service knows it, or an address",
        ));
    }
    Ok((host.to_owned(), port))
}
