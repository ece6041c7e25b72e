//! The answers of `INFO` and `CONFIG GET`, by name.

use std::collections::HashMap;
use std::str::FromStr;

use super::{Fact, Unknown};

/// Names and values that one command told.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    command: &'static str,
    values: Fact<HashMap<String, Fact<String>>>,
}

impl Answers {
    /// The lines `name:value` of `text`.
    pub(super) fn of_lines(command: &'static str, text: Fact<String>) -> Self {
        let values = text.map(|text| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), Ok(value.trim().to_owned())))
                .collect()
        });
        Self { command, values }
    }

    /// Values that were asked for one by one.
    pub(super) fn of_each(
        command: &'static str,
        values: Fact<impl IntoIterator<Item = (String, Fact<String>)>>,
    ) -> Self {
        Self {
            command,
            values: values.map(|values| values.into_iter().collect()),
        }
    }

    pub(super) fn text(&self, name: &str) -> Fact<String> {
        match self.values.as_ref().map(|values| values.get(name)) {
            Ok(Some(value)) => value.clone(),
            Ok(None) => Err(Unknown::unsaid(self.command, name)),
            Err(unknown) => Err(unknown.clone()),
        }
    }

    /// A value that must be an `N`.
    pub(super) fn number<N: FromStr>(&self, name: &str) -> Fact<N> {
        let text = self.text(name)?;
        text.parse().map_err(|_| {
            Unknown::new(
                self.command,
                format!("{name} is {text:?}, which is no number"),
            )
        })
    }

    /// A value that is `1` or `yes` where it is on.
    pub(super) fn switch(&self, name: &str) -> Fact<bool> {
        self.text(name).map(|text| text == "1" || text == "yes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_found_and_what_is_not_is_unknown() {
        let text = "# Server\r\nredis_version:7.0.15\r\naof_enabled:1\r\nexecutable:/a:b\r\n";
        let answers = Answers::of_lines("INFO", Ok(text.to_owned()));
        assert_eq!(answers.text("redis_version").as_deref(), Ok("7.0.15"));
        assert_eq!(answers.text("executable").as_deref(), Ok("/a:b"));
        assert_eq!(answers.switch("aof_enabled"), Ok(true));
        assert_eq!(answers.number::<u64>("aof_enabled"), Ok(1));
        for error in [
            answers.number::<u64>("redis_version").unwrap_err(),
            answers.text("role").unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("INFO: "), "{error}");
        }
    }

    #[test]
    fn a_command_that_is_refused_tells_why_for_every_name() {
        let refused = Unknown::new("INFO", "the server answers NOPERM");
        let answers = Answers::of_lines("INFO", Err(refused.clone()));
        assert_eq!(answers.text("a"), Err(refused.clone()));
        assert_eq!(answers.switch("b"), Err(refused));
    }
}
