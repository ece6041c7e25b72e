//! Where this machine has its Debian packages from.

/// The backports of `suite`, and `suite` itself, as the lines of a source list: of the same place and with the same key as
/// in `sources`, the configured source lists of this machine.
pub(crate) fn with_backports(sources: &str, suite: &str) -> Option<String> {
    let source = stanzas(sources)
        .chain(lines(sources))
        .find(|source| source.suites.contains(&suite))?;
    let signed = match source.signed_by {
        Some(key) => format!("[signed-by={key}] "),
        None => String::new(),
    };
    let uri = source.uri;
    Some(format!(
        "deb {signed}{uri} {suite} main\ndeb {signed}{uri} {suite}-backports main\n"
    ))
}

struct Source<'a> {
    uri: &'a str,
    suites: Vec<&'a str>,
    signed_by: Option<&'a str>,
}

/// The sources in the form of one paragraph each.
fn stanzas(sources: &str) -> impl Iterator<Item = Source<'_>> {
    sources.split("\n\n").filter_map(|stanza| {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let off = field("Enabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("no"));
        let binary = field("Types")?.split_whitespace().any(|kind| kind == "deb");
        (binary && !off).then_some(())?;
        Some(Source {
            uri: field("URIs")?.split_whitespace().next()?,
            suites: field("Suites")?.split_whitespace().collect(),
            // A key written out takes several lines, and is no path.
            signed_by: field("Signed-By").filter(|key| key.starts_with('/')),
        })
    })
}

/// The sources in the form of one line each.
fn lines(sources: &str) -> impl Iterator<Item = Source<'_>> {
    sources.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        Some(Source {
            uri: words.next()?,
            suites: words.next().into_iter().collect(),
            signed_by: options
                .split_whitespace()
                .find_map(|option| option.strip_prefix("signed-by=")),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::with_backports;

    const STANZAS: &str = "\
Types: deb
URIs: https://node.example/node
Suites: nodistro

Types: deb
# a comment
URIs: http://debian.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://debian.example/debian-security
Suites: bookworm-security
";

    #[test]
    fn backports_come_from_the_place_of_the_suite() {
        assert_eq!(
            with_backports(STANZAS, "bookworm").unwrap(),
            "deb [signed-by=/keys/debian.gpg] http://debian.example/debian bookworm main\n\
             deb [signed-by=/keys/debian.gpg] http://debian.example/debian bookworm-backports main\n"
        );
        for (line, option) in [
            ("deb http://m.example/d trixie main contrib", ""),
            (
                "deb [arch=amd64 signed-by=/k.gpg] http://m.example/d trixie main",
                "[signed-by=/k.gpg] ",
            ),
        ] {
            assert_eq!(
                with_backports(
                    &format!("# deb http://other.example x main\n{line}\n"),
                    "trixie"
                ),
                Some(format!(
                    "deb {option}http://m.example/d trixie main\ndeb {option}http://m.example/d trixie-backports main\n"
                ))
            );
        }
    }

    #[test]
    fn what_is_switched_off_or_of_another_suite_is_no_source() {
        assert_eq!(with_backports(STANZAS, "trixie"), None);
        for sources in [
            "",
            "#deb http://m.example/d bookworm main",
            "deb-src http://m.example/d bookworm main",
            "Types: deb-src\nURIs: http://m.example/d\nSuites: bookworm\n",
            "Enabled: no\nTypes: deb\nURIs: http://m.example/d\nSuites: bookworm\n",
        ] {
            assert_eq!(with_backports(sources, "bookworm"), None, "{sources}");
        }
    }
}
