//! Topics as keys of logs.
//!
//! A topic is any string; a key has neither length without limit nor bytes of value 0. `t:` stands before a name as it is
//! (with `%` and NUL escaped), `h:` before the hash of a name that is too long.

use crate::BlobHash;
use crate::limits::MAX_KEY;

/// The key of the log for the topic called `name`.
pub(super) fn key_of(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 2);
    key.push_str("t:");
    if name.contains(['%', '\0']) {
        key.push_str(&name.replace('%', "%25").replace('\0', "%00"));
    } else {
        key.push_str(name);
    }
    if key.len() > MAX_KEY {
        key = format!("h:{}", BlobHash::of(name.as_bytes()));
    }
    key
}

/// The name of the topic, if the key has it.
pub(super) fn topic_of(key: &str) -> Option<String> {
    let name = key.strip_prefix("t:")?;
    Some(name.replace("%00", "\0").replace("%25", "%"))
}

/// Whether the key does not tell the name of the topic.
pub(super) fn is_hashed(name: &str) -> bool {
    key_of(name).starts_with("h:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_as_keys() {
        for name in [
            "",
            "agent.stream.r",
            "a%b",
            "%00",
            "a\0b",
            "%2500",
            "h:x",
            "ü",
        ] {
            let key = key_of(name);
            assert!(!key.contains('\0'), "{key:?}");
            assert_eq!(topic_of(&key).as_deref(), Some(name), "{key:?}");
        }
    }

    #[test]
    fn long_names_have_keys_of_their_own() {
        let long = "x".repeat(5000);
        let other = format!("{long}y");
        assert!(key_of(&long).len() <= MAX_KEY);
        assert_ne!(key_of(&long), key_of(&other));
        assert_eq!(topic_of(&key_of(&long)), None);
    }
}
