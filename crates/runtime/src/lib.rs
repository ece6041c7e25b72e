//! # The configuration of Bowline
//!
//! One parser for every place that a configuration may come from: a bus URL on the command line, an environment variable, a
//! file, or a struct. Whatever is not known is an error that names the nearest known name and the list; secrets never print.
//!
//! - [`BusConfig`] says which bus, and how: parse it from a URL, read it with serde, or fill it in.
//! - [`Sources`] applies the precedence: flag, then environment, then file.
//! - [`OpenBus`] opens what was configured.

mod bus_config;
mod file;
mod open;
mod options;
mod settings;
mod suggest;
mod url;
mod value;

pub use bus_config::{BusConfig, MemoryConfig, UnixConfig};
pub use file::FileConfig;
pub use open::OpenBus;
pub use settings::{BUS_VARIABLE, FILE_NAME, Origin, Settings, Sources};
pub use url::redact_url;
