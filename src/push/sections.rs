//! What a section of the configuration makes of its files, and how it is made anew when they or the section change.
//!
//! Contents are compared, not times, so it does not matter how a file comes to change (written over, renamed into place, a
//! link turned to another folder). What is made of changed files is tried beside what is in use, and takes its place once it
//! stands. Files that cannot be used, or with which nothing can be reached, change nothing but what is said of the section.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ring::digest::{Context, Digest, SHA256};
use tokio::time::Instant;

use super::PushError;
use super::error::chain;
use crate::domain::Device;

/// One of the files that a section names.
pub(super) struct Named<'a> {
    /// The configuration key (or variable) that names it, without the section's name.
    pub key: &'static str,
    pub path: &'a Path,
}

/// The files of a section, as they were when read together.
pub(super) struct Files {
    section: String,
    /// The section itself, in which there is no secret.
    config: String,
    read: Vec<File>,
}

struct File {
    key: &'static str,
    path: PathBuf,
    text: io::Result<String>,
}

/// The text of a file, with where it came from.
pub(super) struct Text<'a> {
    pub key: String,
    pub path: &'a Path,
    pub contents: &'a str,
}

impl Files {
    /// Reads the files of `section` (`push.apns[0]`), which says this; that one cannot be read is found when it is needed.
    pub(super) async fn read(section: String, config: &impl Debug, named: &[Named<'_>]) -> Self {
        let mut read = Vec::with_capacity(named.len());
        for file in named {
            let text = tokio::fs::read_to_string(file.path).await;
            read.push(File { key: file.key, path: file.path.to_owned(), text });
        }
        Self { section, config: format!("{config:?}"), read }
    }

    /// The full name of a key of this section.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.section)
    }

    /// The file that a key names, if it names one.
    pub(super) fn get(&self, key: &str) -> Result<Option<Text<'_>>, PushError> {
        let Some(file) = self.read.iter().find(|file| file.key == key) else { return Ok(None) };
        let name = self.key(key);
        match &file.text {
            Ok(text) => Ok(Some(Text { key: name, path: &file.path, contents: text })),
            Err(error) => {
                let source = io::Error::new(error.kind(), error.to_string());
                Err(PushError::Read { key: name, path: file.path.clone(), source })
            }
        }
    }

    /// The file that a key must name.
    pub(super) fn required(&self, key: &str) -> Result<Text<'_>, PushError> {
        let missing = || PushError::Value { key: self.key(key), problem: "must name a file" };
        self.get(key)?.ok_or_else(missing)
    }

    /// The same for the same section with the same contents.
    fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(self.config.as_bytes());
        for file in &self.read {
            let (mark, contents) = match &file.text {
                Ok(text) => ("text", text.clone()),
                Err(error) => ("error", error.kind().to_string()),
            };
            for part in [file.key, mark, contents.as_str()] {
                context.update(&part.len().to_le_bytes());
                context.update(part.as_bytes());
            }
        }
        context.finish()
    }
}

/// Why a section is not made of its files as they are now.
#[derive(Clone, Default)]
pub(super) struct Stale(Arc<Mutex<Option<String>>>);

impl Stale {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// What a section is made of its files.
#[async_trait]
pub(super) trait Made: Send + Sync {
    /// Whether pushes to such a device would go out by it first.
    fn is_for(&self, device: &Device) -> bool;

    /// Whether it could push: it has a connection, and a credential where that is to be had without a push.
    fn is_standing(&self) -> bool;

    /// Waits until it is.
    async fn stands(&self);

    /// Why it is not.
    fn why_not(&self) -> String;
}

/// A section, made of its files.
pub(super) struct Section<T> {
    made: Arc<T>,
    of: Digest,
    stale: Stale,
    /// Files that it could not be made of.
    refused: Option<Digest>,
    candidate: Option<Candidate<T>>,
}

/// Made of files that have changed, beside what is in use, which it replaces once it stands.
pub(super) struct Candidate<T> {
    section: String,
    made: Arc<T>,
    of: Digest,
    stale: Stale,
    since: Instant,
    warned: bool,
}

impl<T: Made> Section<T> {
    /// Makes a section for the first time; that is in use from the beginning.
    pub(super) fn start(
        files: &Files,
        make: impl FnOnce(&Files, Stale) -> Result<T, PushError>,
    ) -> Result<Self, PushError> {
        let stale = Stale::default();
        let made = Arc::new(make(files, stale.clone())?);
        Ok(Self { made, of: files.digest(), stale, refused: None, candidate: None })
    }

    /// What is in use.
    pub(super) fn made(&self) -> &Arc<T> {
        &self.made
    }

    /// What is tried beside it, and since when.
    pub(super) fn candidate(&self) -> Option<(&Arc<T>, Instant)> {
        self.candidate.as_ref().map(|candidate| (&candidate.made, candidate.since))
    }

    /// Makes it of other files, or of another section, if it is not tried or in use already. It is not on trial yet.
    pub(super) fn prepare(
        &self,
        files: &Files,
        make: impl FnOnce(&Files, Stale) -> Result<T, PushError>,
    ) -> Result<Option<Candidate<T>>, PushError> {
        let digest = files.digest();
        let is = |other: &Digest| other.as_ref() == digest.as_ref();
        if is(&self.of) || self.candidate.as_ref().is_some_and(|candidate| is(&candidate.of)) {
            return Ok(None);
        }
        let stale = Stale::default();
        let made = Arc::new(make(files, stale.clone())?);
        let section = files.section.clone();
        Ok(Some(Candidate { section, made, of: digest, stale, since: Instant::now(), warned: false }))
    }

    /// Tries this, if it is anything, beside what is in use.
    pub(super) fn put_on_trial(&mut self, candidate: Option<Candidate<T>>) {
        if candidate.is_some() {
            (self.refused, self.candidate) = (None, candidate);
        }
    }

    /// Begins to make it anew if its files have changed; that it does not stand is said after `patience`.
    pub(super) fn renew(
        &mut self,
        files: &Files,
        patience: Duration,
        make: impl FnOnce(&Files, Stale) -> Result<T, PushError>,
    ) {
        let digest = files.digest();
        let is = |other: &Digest| other.as_ref() == digest.as_ref();
        if is(&self.of) {
            (self.refused, self.candidate) = (None, None);
            return self.stale.set(None);
        }
        if let Some(candidate) = self.candidate.as_mut().filter(|candidate| is(&candidate.of)) {
            return candidate.look_at(patience, &self.stale);
        }
        if self.refused.as_ref().is_some_and(is) {
            return;
        }
        match self.prepare(files, make) {
            Ok(candidate) => self.put_on_trial(candidate),
            Err(error) => {
                let (section, error) = (&files.section, chain(&error));
                tracing::error!(
                    section,
                    error,
                    "a changed key or certificate cannot be used; the old one stays in use"
                );
                (self.refused, self.candidate) = (Some(digest), None);
                self.stale.set(Some(error));
            }
        }
    }

    /// Puts what is new in the place of the old, if it stands, and says whether it did. What is under way with the old goes on
    /// with it.
    pub(super) fn take_over(&mut self) -> bool {
        let Some(candidate) = self.candidate.take_if(|candidate| candidate.made.is_standing()) else { return false };
        let Candidate { section, made, of, stale, .. } = candidate;
        tracing::info!(section, "a key or certificate has changed and is in use");
        *self = Self { made, of, stale, refused: None, candidate: None };
        true
    }
}

impl<T: Made> Candidate<T> {
    /// Says so where it has not come to stand in its time.
    fn look_at(&mut self, patience: Duration, stale: &Stale) {
        if self.since.elapsed() < patience || self.made.is_standing() {
            return;
        }
        let why = format!("with the new one nothing can be sent yet ({})", self.made.why_not());
        if !self.warned {
            tracing::warn!(
                section = self.section,
                why,
                "a changed key or certificate is not used yet; the old one stays in use"
            );
            self.warned = true;
        }
        stale.set(Some(why));
    }
}
