//! Configurations: a file, then a line `---`, then variables. Nothing shows a secret.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use bellwire::config::Config;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Stands in the seeds wherever a secret does.
const MARK: &str = "S3CR3T";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    fs::write(folder.path().join("secret"), format!("{MARK}-in-a-file-that-is-long-enough\n")).expect("written");
    folder
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A device file would be read for ever.
    if text.contains("/dev") {
        return;
    }
    let (toml, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let file = FOLDER.path().join("bellwire.toml");
    fs::write(&file, toml).expect("written");
    let said = match Config::load(Some(&file), variables) {
        Ok(config) => format!("{config:?} {:?}", config.describe()),
        Err(error) => format!("{error} {error:?}"),
    };
    // Where the mark was moved to what is no secret it may be seen.
    if is_secret_alone(text) {
        assert!(!said.contains(MARK), "a secret is told: {said}");
    }
});

/// Whether the mark stands nowhere but in the value of a key that is for a secret.
fn is_secret_alone(text: &str) -> bool {
    text.contains(MARK)
        && text.lines().filter(|line| line.contains(MARK)).all(|line| {
            let Some((name, value)) = line.split_once('=') else { return false };
            let name = name.trim().to_ascii_lowercase();
            let name = name.rsplit("__").next().unwrap_or_default();
            !name.contains(MARK)
                && ["ticket_secret", "secret", "api_secret", "password", "encryption_key", "secrets"].contains(&name)
                && value.matches('"').count() == 2
        })
}
