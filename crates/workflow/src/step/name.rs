//! The name of a function as the id of a step.

use bowline_events::Text;

/// The last segment of the path of a function; `None` for a closure.
pub(super) fn of<F>() -> Option<Text> {
    last_segment(std::any::type_name::<F>()).map(Text::from)
}

fn last_segment(path: &'static str) -> Option<&'static str> {
    let name = path
        .strip_suffix('>')
        .map_or(path, |_| without_parameters(path));
    let name = name.rsplit("::").next().unwrap_or(name);
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// `a::b` of `a::b<c::D<E>>`.
fn without_parameters(path: &'static str) -> &'static str {
    let mut depth = 0_usize;
    for (i, byte) in path.bytes().enumerate().rev() {
        match byte {
            b'>' => depth += 1,
            b'<' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return path[..i].trim_end_matches("::");
                }
            }
            _ => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_segment_and_a_closure_has_none() {
        for (path, name) in [
            ("classify", Some("classify")),
            ("a::b::classify", Some("classify")),
            ("a::b::generic<alloc::vec::Vec<u8>>", Some("generic")),
            ("a::b::generic<a::b<c>, d>", Some("generic")),
            ("<a::B as c::D>::method", Some("method")),
            ("a::b::{{closure}}::inner", Some("inner")),
            ("a::b::{{closure}}", None),
            ("fn(u32) -> u32", None),
            ("", None),
        ] {
            assert_eq!(last_segment(path), name, "{path}");
        }
    }
}
