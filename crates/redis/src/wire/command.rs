//! A command as it goes to the server.

use std::fmt;

/// A command in the encoding of the protocol.
///
/// `Debug` shows name and key only: arguments may be large, or secret.
#[derive(Clone)]
pub(crate) struct Command {
    packed: redis::Cmd,
    name: &'static str,
    /// The place of the key among the arguments, the name being 0.
    key: Option<usize>,
    arguments: usize,
}

impl Command {
    /// A command without arguments. A name of two words (`XGROUP CREATE`) is sent as two.
    pub(crate) fn new(name: &'static str) -> Self {
        Self::sized(name, 0)
    }

    /// As `new`, with room for `bytes` of arguments.
    pub(crate) fn sized(name: &'static str, bytes: usize) -> Self {
        let mut packed = redis::Cmd::with_capacity(8, bytes + 128);
        let mut arguments = 0;
        for word in name.split(' ') {
            packed.arg(word);
            arguments += 1;
        }
        Self {
            packed,
            name,
            key: None,
            arguments,
        }
    }

    /// Adds the key that the command is about.
    #[must_use]
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(self.arguments);
        self.arg(key)
    }

    /// Adds an argument.
    #[must_use]
    pub(crate) fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.packed.arg(argument.as_ref());
        self.arguments += 1;
        self
    }

    /// Adds a number.
    #[must_use]
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.packed.arg(number);
        self.arguments += 1;
        self
    }

    /// Adds all `arguments`.
    #[must_use]
    pub(crate) fn args<A: AsRef<[u8]>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// The name, as in messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The key, where the command has one.
    pub(crate) fn subject(&self) -> Option<String> {
        match self.packed.args_iter().nth(self.key?)? {
            redis::Arg::Simple(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The name and the arguments.
    #[cfg(any(test, feature = "upstash"))]
    pub(crate) fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.packed.args_iter().map(|argument| match argument {
            redis::Arg::Simple(bytes) => bytes,
            // Only the scans of the library have other arguments.
            _ => b"0".as_slice(),
        })
    }

    pub(super) fn packed(&self) -> &redis::Cmd {
        &self.packed
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("key", &self.subject())
            .field("arguments", &self.arguments)
            .finish()
    }
}
