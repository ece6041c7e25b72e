//! A check for absolute URLs, on the safe side of what `new URL` accepts.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `new URL(text)` succeeds; false when in doubt.
///
/// Accepted: a scheme, and for `http`, `https`, `ws`, `wss`, `ftp` and `file` two slashes and a host
/// (which `file` may leave out) of ASCII letters, digits, `-`, `_` and `.`, or an IP address in its
/// normal form, with an optional port. Refused although URL parsers repair them: missing or
/// backward slashes, control characters, hosts not yet in ASCII, percent signs in hosts, odd
/// spellings of IPv4 addresses. Labels in Punycode are taken on trust.
pub(super) fn is_absolute(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    if !is_scheme(scheme) || text.contains(|char: char| char.is_ascii_control()) {
        return false;
    }
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let file = is("file");
    let special = file || ["http", "https", "ws", "wss", "ftp"].into_iter().any(is);
    match rest.strip_prefix("//") {
        Some(rest) => {
            // A backslash is a slash in the special schemes and nothing lawful in the others.
            let is_end = |char| matches!(char, '/' | '?' | '#') || (special && char == '\\');
            let end = rest.find(is_end).unwrap_or(rest.len());
            is_authority(&rest[..end], special, file)
        }
        // Without an authority the rest is one opaque path or an absolute one: both always parse.
        None => !special,
    }
}

fn is_scheme(scheme: &str) -> bool {
    let mut bytes = scheme.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_authority(authority: &str, special: bool, file: bool) -> bool {
    if authority.is_empty() {
        return file || !special;
    }
    if file {
        // No user and no port, and a drive letter must not be mistaken for a host.
        return is_host(authority, true);
    }
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = match address.rfind(':') {
        Some(colon) if !address[colon..].contains(']') => {
            (&address[..colon], &address[colon + 1..])
        }
        _ => (address, ""),
    };
    is_port(port) && is_host(host, special)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

fn is_host(host: &str, special: bool) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.is_empty() || !host.bytes().all(allowed) {
        return false;
    }
    if !special {
        return true;
    }
    // A host whose last label is a number has to be an IPv4 address. Empty labels are refused too.
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let last = labels.clone().next_back().unwrap_or_default();
    let hexadecimal = last.starts_with("0x") || last.starts_with("0X");
    if last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    labels.all(|label| !label.is_empty())
}
