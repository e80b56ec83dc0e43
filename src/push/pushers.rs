//! All configured push services, and which of them is for a device; a section is made anew when its key or certificate changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::apns::{Apns, Host};
use super::fcm::Fcm;
use super::message::{MessageKind, Push};
use super::report::{Probe, Report, Served, State};
use super::sections::{Files, Section};
use super::setup::Setup;
use super::surroundings::Surroundings;
use super::{Provider, PushError};
use crate::clock::Clock;
use crate::config;
use crate::domain::Device;

/// Refusals of a credential have its file read again at once, but no more often than this.
const BETWEEN_READS: Duration = Duration::from_millis(500);
/// How long a refused push waits for the files.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// A push whose credential was refused within this time is sent again with a new one, within the time of the same attempt.
const TIME_FOR_ANOTHER: Duration = Duration::from_secs(1);

type Providers = Arc<[Arc<dyn Provider>]>;

/// Every push service that the configuration has a section for.
pub struct Pushers {
    shared: Arc<Shared>,
    watch: AbortHandle,
}

struct Shared {
    config: config::push::Push,
    setup: Arc<Setup>,
    sections: Mutex<Sections>,
    providers: RwLock<Providers>,
    /// How often `providers` has changed.
    generation: AtomicU64,
}

struct Sections {
    apns: Vec<Section<Host>>,
    fcm: Vec<Section<Fcm>>,
    read_at: Instant,
}

impl Pushers {
    /// Reads keys and certificates, and begins to open connections; whether a provider can be reached is not waited for.
    /// Files that change later are read again within 5 s, and at once when a provider refuses the credential; until they
    /// can be used, what was read before goes on.
    ///
    /// # Errors
    ///
    /// A key, certificate or value that cannot be used, with the configuration key that names it.
    pub async fn start(config: &config::push::Push, clock: Clock) -> Result<Self, PushError> {
        Self::start_in(Surroundings::of_this_process(), config, clock).await
    }

    /// The same in other surroundings.
    pub(super) async fn start_in(
        surroundings: Surroundings,
        config: &config::push::Push,
        clock: Clock,
    ) -> Result<Self, PushError> {
        refuse_twice(config)?;
        let look_every = surroundings.look_every;
        let setup = Arc::new(Setup::new(surroundings, clock, config.privacy));
        let sections = Sections::start(config, &setup).await?;
        let shared = Arc::new(Shared {
            config: config.clone(),
            providers: RwLock::new(sections.providers(&setup)),
            setup,
            sections: Mutex::new(sections),
            generation: AtomicU64::new(0),
        });
        let watch = tokio::spawn(shared.clone().watch(look_every)).abort_handle();
        Ok(Self { shared, watch })
    }

    /// Reads keys and certificates again now, and says whether any had changed and is in use.
    pub async fn reload(&self) -> bool {
        self.shared.reload(&mut *self.shared.sections.lock().await).await
    }

    /// Whether such a message can be pushed to the device: a section is for it, and it has the token.
    pub fn can_push(&self, device: &Device, kind: MessageKind) -> bool {
        self.shared.providers().iter().any(|provider| provider.serves(device) && provider.can_push(device, kind))
    }

    /// Makes one attempt to push; it ends within 2 s at Apple and 4 s at Google (a second more where the credential was
    /// refused and has just been changed). Trying again later is the caller's.
    pub async fn send(&self, push: &Push) -> Report {
        let generation = self.shared.generation.load(Ordering::Acquire);
        let report = self.send_once(push).await;
        if report.credential_refused
            && report.latency < TIME_FOR_ANOTHER
            && self.shared.has_changed_since(generation, Instant::now()).await
        {
            return self.send_once(push).await;
        }
        report
    }

    async fn send_once(&self, push: &Push) -> Report {
        let providers = self.shared.providers();
        match providers.iter().find(|provider| provider.serves(&push.device)) {
            Some(provider) => provider.send(push).await,
            None => Report::no_provider(),
        }
    }

    /// Connects to each provider and gets its credential, without a push; takes seconds if one is down.
    pub async fn probe(&self) -> Vec<Probe> {
        let providers = self.shared.providers();
        let probes = providers.iter().map(|provider| provider.probe());
        futures_util::future::join_all(probes).await.into_iter().flatten().collect()
    }

    /// How the connections are; reads memory only.
    pub fn states(&self) -> Vec<State> {
        self.shared.providers().iter().flat_map(|provider| provider.states()).collect()
    }

    /// The devices that can be rung.
    pub fn platforms(&self) -> Vec<Served> {
        self.shared.providers().iter().flat_map(|provider| provider.served()).collect()
    }
}

impl Drop for Pushers {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Shared {
    fn providers(&self) -> Providers {
        self.providers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn watch(self: Arc<Self>, look_every: Duration) {
        loop {
            sleep(look_every).await;
            self.reload(&mut *self.sections.lock().await).await;
        }
    }

    async fn reload(&self, sections: &mut Sections) -> bool {
        sections.read_at = Instant::now();
        if !sections.renew(&self.config, &self.setup).await {
            return false;
        }
        *self.providers.write().unwrap_or_else(PoisonError::into_inner) = sections.providers(&self.setup);
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// Whether there are other providers than those of this generation; reads the files if nobody has since the refusal.
    async fn has_changed_since(&self, generation: u64, refused_at: Instant) -> bool {
        // A file system that hangs must not hold a push up.
        timeout(READ_WITHIN, self.read_since(generation, refused_at)).await.unwrap_or(false)
    }

    async fn read_since(&self, generation: u64, refused_at: Instant) -> bool {
        let mut sections = self.sections.lock().await;
        if self.generation.load(Ordering::Acquire) != generation {
            return true;
        }
        if sections.read_at >= refused_at {
            return false;
        }
        // Whoever else was refused meanwhile waits for the same read.
        sleep_until(sections.read_at + BETWEEN_READS).await;
        self.reload(&mut sections).await
    }
}

impl Sections {
    async fn start(config: &config::push::Push, setup: &Arc<Setup>) -> Result<Self, PushError> {
        let (mut apns, mut fcm) = (Vec::new(), Vec::new());
        for (index, section) in config.apns.iter().enumerate() {
            let files = Files::read(format!("push.apns[{index}]"), &Host::files(section)).await;
            apns.push(Section::start(&files, |files, stale| Host::start(section, files, stale, setup))?);
        }
        for (index, section) in config.fcm.iter().enumerate() {
            let files = Files::read(format!("push.fcm[{index}]"), &Fcm::files(section, setup)).await;
            fcm.push(Section::start(&files, |files, stale| Fcm::start(section, files, stale, setup))?);
        }
        Ok(Self { apns, fcm, read_at: Instant::now() })
    }

    /// Makes those sections anew whose files have changed, and says whether there were any.
    async fn renew(&mut self, config: &config::push::Push, setup: &Arc<Setup>) -> bool {
        let mut any = false;
        for (index, (section, made)) in config.apns.iter().zip(&mut self.apns).enumerate() {
            let files = Files::read(format!("push.apns[{index}]"), &Host::files(section)).await;
            any |= made.renew(&files, |files, stale| Host::start(section, files, stale, setup));
        }
        for (index, (section, made)) in config.fcm.iter().zip(&mut self.fcm).enumerate() {
            let files = Files::read(format!("push.fcm[{index}]"), &Fcm::files(section, setup)).await;
            any |= made.renew(&files, |files, stale| Fcm::start(section, files, stale, setup));
        }
        any
    }

    fn providers(&self, setup: &Arc<Setup>) -> Providers {
        let apns = Apns::of(self.apns.iter().map(|section| section.made().clone()), setup);
        let apns = apns.into_iter().map(|apns| Arc::new(apns) as Arc<dyn Provider>);
        apns.chain(self.fcm.iter().map(|section| section.made().clone() as Arc<dyn Provider>)).collect()
    }
}

/// Two sections for the same devices would leave open which of them is for a device.
fn refuse_twice(config: &config::push::Push) -> Result<(), PushError> {
    for (index, section) in config.apns.iter().enumerate() {
        let same = |other: &config::push::Apns| (&other.app, other.environment) == (&section.app, section.environment);
        if config.apns[..index].iter().any(same) {
            let key = format!("push.apns[{index}].environment");
            return Err(PushError::Value { key, problem: "another section has this app and environment" });
        }
    }
    for (index, section) in config.fcm.iter().enumerate() {
        if config.fcm[..index].iter().any(|earlier| earlier.app == section.app) {
            let key = format!("push.fcm[{index}].app");
            return Err(PushError::Value { key, problem: "another section has this app" });
        }
    }
    Ok(())
}
