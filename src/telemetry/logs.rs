//! Log lines on stderr, for people or for a collector.
//!
//! What is logged, and that no secret is, is left to whoever logs; how lines come to stderr to `gathered`.

use std::io;
use std::sync::OnceLock;

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::gathered::{Writing, gather};
use crate::config::Telemetry;
use crate::config::telemetry::{LogFormat, LogLevel};

/// Logging cannot be set up.
#[derive(Debug, Error)]
pub enum LogsError {
    /// It was before.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
    /// There can be no thread for it.
    #[error("the thread that writes the log cannot be started: {0}")]
    Thread(#[from] io::Error),
}

type Level = reload::Handle<Targets, Registry>;

/// That of the whole process.
static LEVEL: OnceLock<Level> = OnceLock::new();

/// Sets up logging for the whole process, until the answer is dropped; an error if that was done before.
pub fn init(config: &Telemetry) -> Result<Writing, LogsError> {
    let (lines, writing) = gather(io::stderr())?;
    let (subscriber, level) = with_level(config, move || lines.clone());
    subscriber.try_init()?;
    LEVEL.get_or_init(|| level);
    Ok(writing)
}

/// Changes what is logged from now on; nothing where logging was not set up.
pub fn set_level(level: LogLevel) {
    // An error means that the subscriber is gone, and that of the process stays.
    let _ = LEVEL.get().map(|handle| handle.reload(targets(level)));
}

/// What [`init`] sets up, which writes lines there. Without the `ansi` feature of tracing-subscriber nothing is coloured, whatever stderr is.
pub fn subscriber<W>(config: &Telemetry, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    with_level(config, writer).0
}

fn with_level<W>(config: &Telemetry, writer: W) -> (impl Subscriber + Send + Sync + use<W>, Level)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let (filter, level) = reload::Layer::new(targets(config.log_level));
    (tracing_subscriber::registry().with(lines.with_filter(filter)), level)
}

/// The level is for Bellwire; other crates have a say only where something is wrong.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("bellwire", level)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(log_level: LogLevel, log_format: LogFormat, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let config = Telemetry { log_level, log_format, otlp_endpoint: None, trace_ratio: 1.0 };
        tracing::subscriber::with_default(subscriber(&config, move || writer.clone()), log);
        String::from_utf8(written.0.lock().expect("a lock").clone()).expect("text")
    }

    fn log_some() {
        tracing::info!(target: "bellwire::engine", call = "019a", "call ended");
        tracing::debug!(target: "bellwire::engine", "why");
        tracing::info!(target: "h2", "frame");
        tracing::warn!(target: "h2", "reset");
    }

    #[test]
    fn the_level_is_for_bellwire_and_other_crates_only_warn() {
        let lines = written(LogLevel::Info, LogFormat::Human, log_some);
        assert!(lines.contains("INFO bellwire::engine: call ended call=\"019a\""), "{lines}");
        assert!(lines.contains("WARN h2: reset"), "{lines}");
        assert_eq!(lines.lines().count(), 2, "{lines}");
        let lines = written(LogLevel::Error, LogFormat::Human, log_some);
        assert_eq!(lines, "");
    }

    #[test]
    fn json_lines_are_objects_with_the_fields() {
        let lines = written(LogLevel::Debug, LogFormat::Json, log_some);
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["message"], "call ended");
        assert_eq!(lines[0]["call"], "019a");
        assert_eq!(lines[0]["target"], "bellwire::engine");
    }

    #[test]
    fn nothing_is_coloured() {
        assert!(!written(LogLevel::Trace, LogFormat::Human, log_some).contains('\u{1b}'));
    }
}
