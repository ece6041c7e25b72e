//! Names of tools.

use bowline_events::Text;

/// Bytes of the longest name.
const LONGEST: usize = 128;

/// The name of a function; `None` for a closure, which has none.
pub(super) fn of<F>() -> Option<Text> {
    last_segment(std::any::type_name::<F>()).map(Text::from)
}

/// `search` of `shop::search::<alloc::string::String>`.
fn last_segment(path: &'static str) -> Option<&'static str> {
    let mut depth = 0_usize;
    let mut start = 0;
    let mut end = path.len();
    for (i, c) in path.char_indices() {
        match c {
            '<' => {
                depth += 1;
                end = end.min(i);
            }
            '>' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                start = i + 1;
                end = path.len();
            }
            _ => {}
        }
    }
    let name = path.get(start..end)?;
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// What is wrong with `name`, for providers of models.
pub(super) fn fault(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
        return Some(format!(
            "a tool has a name of 1 to {LONGEST} ASCII letters, digits, _ and -; choose such a name"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_the_last_segment_of_its_path_and_a_closure_nothing() {
        for (path, name) in [
            ("search", Some("search")),
            ("shop::search", Some("search")),
            ("shop::search<alloc::vec::Vec<u8>>", Some("search")),
            ("shop::search::<a::B<c>, d>", None),
            ("<shop::A as shop::B>::search", Some("search")),
            ("shop::{{closure}}::search", Some("search")),
            ("shop::{{closure}}", None),
            ("fn(u32) -> u32", None),
            ("", None),
        ] {
            assert_eq!(last_segment(path), name, "{path}");
        }
    }

    #[test]
    fn a_name_is_one_that_every_provider_takes() {
        let long = "x".repeat(LONGEST + 1);
        for (name, good) in [
            ("search", true),
            ("get-weather_2", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("a.b", false),
            ("größe", false),
        ] {
            assert_eq!(fault(name).is_none(), good, "{name}");
        }
    }
}
