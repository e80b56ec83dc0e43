//! What only shows when somebody looks: connections and credentials of push providers, certificates in files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::certificates::first_to_expire;
use crate::config::Config;
use crate::config::store::StoreUrl;
use crate::push::{Pushers, State};
use crate::telemetry::{Metrics, Provider};

/// Measures it, each time that it is called.
pub(super) fn measure(pushers: Arc<Pushers>, metrics: Arc<Metrics>, config: &Config) -> Arc<dyn Fn() + Send + Sync> {
    let files = Arc::new(Mutex::new(certificate_files(config)));
    Arc::new(move || {
        for state in pushers.states() {
            metrics.provider(&provider(&state));
        }
        let (files, metrics) = (Arc::clone(&files), Arc::clone(&metrics));
        // A file system that hangs holds nobody up but the next reader of the same files, who has the answer before it.
        tokio::task::spawn_blocking(move || {
            let Ok(files) = files.try_lock() else { return };
            for (key, file) in files.iter() {
                metrics.certificate(key, first_to_expire(file));
            }
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

fn ca_of_store(config: &Config) -> Option<&PathBuf> {
    match &config.store.url {
        StoreUrl::Redis(redis) => redis.ca_file.as_ref(),
        StoreUrl::Embedded(_) => None,
    }
}
