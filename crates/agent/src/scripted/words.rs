//! What is said, in the pieces in which a model says it.

/// A text in pieces that are made when they are asked for.
#[derive(Debug, Clone)]
pub(super) enum Words {
    /// Words, and what is between them.
    Of(String),
    Listed(Vec<String>),
    Same {
        text: String,
        times: usize,
    },
}

impl Words {
    /// The piece at `at`, which is moved behind it; nothing at the end. It begins at 0.
    pub(super) fn next(&self, at: &mut usize) -> Option<String> {
        match self {
            Self::Of(text) => {
                let rest = text.get(*at..)?;
                let inside = rest.chars().next()?.is_alphanumeric();
                let length = rest
                    .find(|c: char| c.is_alphanumeric() != inside)
                    .unwrap_or(rest.len());
                *at += length;
                rest.get(..length).map(str::to_owned)
            }
            Self::Listed(pieces) => {
                let piece = pieces.get(*at)?.clone();
                *at += 1;
                Some(piece)
            }
            Self::Same { text, times } => {
                if *at >= *times {
                    return None;
                }
                *at += 1;
                Some(text.clone())
            }
        }
    }

    /// Whether nothing comes at `at`.
    pub(super) fn is_over(&self, at: usize) -> bool {
        at >= match self {
            Self::Of(text) => text.len(),
            Self::Listed(pieces) => pieces.len(),
            Self::Same { times, .. } => *times,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(words: &Words) -> Vec<String> {
        let mut at = 0;
        std::iter::from_fn(|| words.next(&mut at)).collect()
    }

    #[test]
    fn a_text_is_taken_apart_between_words() {
        for (text, parts) in [
            ("Hello, world", &["Hello", ", ", "world"][..]),
            (" é!", &[" ", "é", "!"]),
            ("", &[]),
        ] {
            assert_eq!(pieces(&Words::Of(text.to_owned())), parts);
        }
        let same = Words::Same {
            text: "a".to_owned(),
            times: 3,
        };
        assert_eq!(pieces(&same), ["a", "a", "a"]);
    }

    proptest! {
        #[test]
        fn nothing_of_a_text_is_lost(text in "\\PC{0,40}") {
            let parts = pieces(&Words::Of(text.clone()));
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            prop_assert_eq!(parts.concat(), text);
        }
    }
}
