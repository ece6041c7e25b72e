//! What a request asks for.

use hyper::Method;
use serde_json::value::RawValue;

/// A command with its arguments.
pub(super) type Command = Vec<Vec<u8>>;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// One command, one answer.
    One(Command),
    /// An answer for each.
    Pipeline(Vec<Command>),
    /// All or none.
    Transaction(Vec<Command>),
}

impl Asked {
    /// Reads a request; the error is the sentence of the answer.
    pub(super) fn read(
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Self, &'static str> {
        let asked = match path {
            "/pipeline" => Self::Pipeline(several(body, "ERR failed to parse pipeline request")?),
            "/multi-exec" => {
                Self::Transaction(several(body, "ERR failed to parse multi-exec request")?)
            }
            "/" => Self::One(one(body).ok_or("ERR failed to parse command")?),
            path => Self::One(in_path(method, path, query, body)),
        };
        match asked.commands().iter().any(|command| command.is_empty()) {
            true => Err("ERR empty command"),
            false => Ok(asked),
        }
    }

    pub(super) fn commands(&self) -> &[Command] {
        match self {
            Self::One(command) => std::slice::from_ref(command),
            Self::Pipeline(commands) | Self::Transaction(commands) => commands,
        }
    }
}

/// A JSON array of arguments.
fn one(body: &[u8]) -> Option<Command> {
    let arguments: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    arguments.into_iter().map(argument).collect()
}

fn several(body: &[u8], malformed: &'static str) -> Result<Vec<Command>, &'static str> {
    let commands: Vec<Vec<&RawValue>> = serde_json::from_slice(body).map_err(|_| malformed)?;
    if commands.is_empty() {
        return Err(match malformed.contains("pipeline") {
            true => "ERR empty pipeline request",
            false => "ERR empty multi-exec request",
        });
    }
    commands
        .into_iter()
        .map(|arguments| arguments.into_iter().map(argument).collect())
        .collect::<Option<_>>()
        .ok_or(malformed)
}

/// A string as it is, a number or a boolean as it is written; nothing else is an argument.
fn argument(json: &RawValue) -> Option<Vec<u8>> {
    let text = json.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text)
            .ok()
            .map(String::into_bytes),
        b'[' | b'{' | b'n' => None,
        _ => Some(text.as_bytes().to_vec()),
    }
}

/// `/set/key`, then the body of a POST or PUT, then the parameters of the query without the token.
fn in_path(method: &Method, path: &str, query: &str, body: &[u8]) -> Command {
    let mut command: Command = path
        .trim_start_matches('/')
        .split('/')
        .map(|segment| unescape(segment, false))
        .collect();
    if (method == Method::POST || method == Method::PUT) && !body.is_empty() {
        command.push(body.to_vec());
    }
    for (name, value) in parameters(query) {
        if name != TOKEN {
            command.push(unescape(name, true));
            if !value.is_empty() {
                command.push(unescape(value, true));
            }
        }
    }
    command
}

const TOKEN: &str = "_token";

/// The token of the query.
pub(super) fn token(query: &str) -> Option<Vec<u8>> {
    parameters(query)
        .find(|(name, _)| *name == TOKEN)
        .map(|(_, value)| unescape(value, true))
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes `%xx`, and in a query the `+` for a space; what is not an escape stays.
fn unescape(text: &str, query: bool) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => char::from(*high)
                .to_digit(16)
                .zip(char::from(*low).to_digit(16))
                .and_then(|(high, low)| u8::try_from(high << 4 | low).ok()),
            _ => None,
        };
        match (escaped, byte) {
            (Some(escaped), _) => {
                plain.push(escaped);
                rest = &after[2..];
            }
            (None, b'+') if query => plain.push(b' '),
            (None, byte) => plain.push(*byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::{Asked, token};

    fn read(path: &str, query: &str, body: &str) -> Result<Vec<Vec<String>>, &'static str> {
        let asked = Asked::read(&Method::POST, path, query, body.as_bytes())?;
        let text = |argument: &Vec<u8>| String::from_utf8_lossy(argument).into_owned();
        Ok(asked
            .commands()
            .iter()
            .map(|command| command.iter().map(text).collect())
            .collect())
    }

    #[test]
    fn every_form_of_a_command_is_read() {
        for (path, query, body, expected) in [
            (
                "/",
                "",
                r#"["SET", "k", "é\n\"", "EX", 100, 1.50, true]"#,
                &[&["SET", "k", "é\n\"", "EX", "100", "1.50", "true"][..]][..],
            ),
            ("/get/a%2Fb", "", "", &[&["get", "a/b"]]),
            (
                "/set/k",
                "_token=t&EX=100&NX",
                "the value",
                &[&["set", "k", "the value", "EX", "100", "NX"]],
            ),
            (
                "/pipeline",
                "",
                r#"[["GET", "a"], ["INCR", "b"]]"#,
                &[&["GET", "a"], &["INCR", "b"]],
            ),
            ("/multi-exec", "", r#"[["GET", "a"]]"#, &[&["GET", "a"]]),
        ] {
            assert_eq!(read(path, query, body).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_not_a_command_is_told() {
        for (path, body, expected) in [
            ("/", "", "ERR failed to parse command"),
            ("/", "[", "ERR failed to parse command"),
            ("/", r#"{"a":1}"#, "ERR failed to parse command"),
            ("/", r#"["SET", "k", {}]"#, "ERR failed to parse command"),
            ("/", r#"["SET", null]"#, "ERR failed to parse command"),
            ("/", "[]", "ERR empty command"),
            (
                "/pipeline",
                r#"["GET"]"#,
                "ERR failed to parse pipeline request",
            ),
            ("/pipeline", "[]", "ERR empty pipeline request"),
            ("/pipeline", "[[]]", "ERR empty command"),
            ("/multi-exec", "1", "ERR failed to parse multi-exec request"),
            ("/multi-exec", "[]", "ERR empty multi-exec request"),
        ] {
            assert_eq!(read(path, "", body), Err(expected), "{path} {body}");
        }
    }

    #[test]
    fn the_token_of_the_query_is_found_and_unescaped() {
        assert_eq!(token("a=1&_token=x%3D+y%"), Some(b"x= y%".to_vec()));
        assert_eq!(token("a=1"), None);
    }
}
