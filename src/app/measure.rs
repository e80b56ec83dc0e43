//! What only shows when somebody looks: connections and credentials of push providers, certificates in files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::certificates::first_to_expire;
use crate::config::Config;
use crate::config::store::StoreUrl;
use crate::live::Live;
use crate::push::{Pushers, State};
use crate::telemetry::{Metrics, Provider};

/// Measures it, each time that it is called.
pub(super) fn measure(
    pushers: Arc<Pushers>,
    metrics: Arc<Metrics>,
    config: Live<Config>,
) -> Arc<dyn Fn() + Send + Sync> {
    let told = Arc::new(Mutex::new(Vec::new()));
    Arc::new(move || {
        for state in pushers.states() {
            metrics.provider(&provider(&state));
        }
        let (told, metrics, config) = (Arc::clone(&told), Arc::clone(&metrics), config.now());
        // A file system that hangs holds nobody up but the next reader of the same files, who has the answer before it.
        tokio::task::spawn_blocking(move || {
            let Ok(mut told) = told.try_lock() else { return };
            let files = certificate_files(&config);
            let is_named = |key: &String| files.iter().any(|(named, _)| named == key);
            told.iter().filter(|key| !is_named(key)).for_each(|key| metrics.certificate(key, None));
            for (key, file) in &files {
                metrics.certificate(key, first_to_expire(file));
            }
            *told = files.into_iter().map(|(key, _)| key).collect();
        });
    })
}

fn provider(state: &State) -> Provider<'_> {
    Provider {
        name: &state.name,
        connections: state.connected,
        wanted: state.of,
        problems: state.hindrances(),
        token_expires_at: state.token_expires_at,
    }
}

/// The files with certificates that the configuration names, by their keys.
fn certificate_files(config: &Config) -> Vec<(String, PathBuf)> {
    let named = |key: String, file: Option<&PathBuf>| Some((key, file?.clone()));
    let apns = config.push.apns.iter().enumerate();
    let apns = apns.map(|(index, section)| named(format!("push.apns[{index}].ca_file"), section.ca_file.as_ref()));
    let fcm = config.push.fcm.iter().enumerate();
    let fcm = fcm.map(|(index, section)| named(format!("push.fcm[{index}].ca_file"), section.ca_file.as_ref()));
    let others = [
        named("history.ca_file".to_owned(), config.history.ca_file.as_ref()),
        named("store.ca_file".to_owned(), ca_of_store(config)),
    ];
    apns.chain(fcm).chain(others).flatten().collect()
}

/// The trust roots of the store, if it has some of its own.
pub(super) fn ca_of_store(config: &Config) -> Option<&PathBuf> {
    match &config.store.url {
        StoreUrl::Redis(redis) => redis.ca_file.as_ref(),
        StoreUrl::Embedded(_) => None,
    }
}
