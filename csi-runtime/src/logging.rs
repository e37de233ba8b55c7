//! Log lines on standard error.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people at a terminal.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level, or `RUST_LOG`, does not parse.
    #[error("\"{directives}\" is no log level: use error, warn, info, debug or trace, or RUST_LOG's target=level list")]
    Level {
        /// What was given.
        directives: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// It was set up before.
    #[error("logging is already set up")]
    AlreadySet,
}

/// A text that names no [`Format`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("\"{0}\" is no log format: use json or text")]
pub struct UnknownFormat(String);

/// Starts logging to standard error. The environment's `RUST_LOG`, where it is set and not empty, wins over `level`.
pub fn init(format: Format, level: &str) -> Result<(), LoggingError> {
    let directives = std::env::var("RUST_LOG").ok().filter(|set| !set.is_empty()).unwrap_or_else(|| level.to_owned());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|source| LoggingError::Level { directives: directives.clone(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        Format::Json => tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish()),
        Format::Text => tracing::subscriber::set_global_default(builder.finish()),
    };
    installed.map_err(|_| LoggingError::AlreadySet)
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_they_are_written() {
        for format in [Format::Json, Format::Text] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("yaml".parse::<Format>(), Err(UnknownFormat("yaml".to_owned())));
    }
}
