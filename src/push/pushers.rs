//! All configured push services, and which of them is for a device; a section is made anew when its key or certificate changes, and
//! the new takes the old one's place once it stands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::apns::{Apns, Host};
use super::fcm::Fcm;
use super::message::{MessageKind, Push};
use super::report::{Probe, Report, Served, State, Verdict};
use super::sections::{Files, Made, Section};
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
    setup: Arc<Setup>,
    sections: Mutex<Sections>,
    providers: RwLock<Providers>,
    /// How often `providers` has changed.
    generation: AtomicU64,
}

struct Sections {
    config: config::push::Push,
    apns: Vec<Section<Host>>,
    fcm: Vec<Section<Fcm>>,
    read_at: Instant,
}

/// What there is instead of a credential that was refused.
enum Renewal {
    /// Another one has taken its place.
    Done,
    /// Another one may.
    OnTrial,
    None,
}

impl Pushers {
    /// Reads keys and certificates, and begins to open connections; whether a provider can be reached is not waited for.
    /// Files that change later are read again within 5 s, and at once when a provider refuses the credential; until a connection
    /// stands with them, what was read before goes on.
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
            providers: RwLock::new(sections.providers(&setup)),
            setup,
            sections: Mutex::new(sections),
            generation: AtomicU64::new(0),
        });
        let watch = tokio::spawn(shared.clone().watch(look_every)).abort_handle();
        Ok(Self { shared, watch })
    }

    /// Reads keys and certificates again now, and says whether any had changed and is in use; what has changed has 5 s to come to
    /// stand.
    pub async fn reload(&self) -> bool {
        let generation = self.shared.generation();
        self.shared.sections.lock().await.renew(&self.shared.setup).await;
        let patience = self.shared.patience();
        let _ = timeout(patience, self.shared.trials(patience)).await;
        self.shared.generation() != generation
    }

    /// Goes by other sections for the same apps: each that has changed is tried beside the old one, which it replaces once it stands.
    ///
    /// # Errors
    ///
    /// A key, certificate or value that cannot be used. Then nothing changes.
    pub async fn reconfigure(&self, config: &config::push::Push) -> Result<(), PushError> {
        self.shared.sections.lock().await.reconfigure(config, &self.shared.setup).await?;
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { timeout(shared.patience(), shared.trials(shared.patience())).await });
        Ok(())
    }

    /// Whether such a message can be pushed to the device: a section is for it, and it has the token.
    pub fn can_push(&self, device: &Device, kind: MessageKind) -> bool {
        self.shared.providers().iter().any(|provider| provider.serves(device) && provider.can_push(device, kind))
    }

    /// Makes one attempt to push; it ends within 2 s at Apple and 4 s at Google (a second more where the credential was
    /// refused; it is to be tried again then if there is a new one). Trying again later is the caller's.
    pub async fn send(&self, push: &Push) -> Report {
        let generation = self.shared.generation();
        let report = self.send_once(push).await;
        if !report.credential_refused {
            return report;
        }
        let wait = if report.latency < TIME_FOR_ANOTHER { READ_WITHIN } else { Duration::ZERO };
        let renewal = self.shared.renewal(generation, Instant::now(), wait, &push.device).await;
        match renewal {
            Renewal::Done if wait > Duration::ZERO => self.send_once(push).await,
            Renewal::Done | Renewal::OnTrial => Report { verdict: Verdict::Retry { after: None }, ..report },
            Renewal::None => report,
        }
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

    /// Pushes to tokens that nobody has, to see whether each provider accepts its credential. At Apple such a push counts as one to
    /// a bad token, so this is for people, now and then.
    pub async fn try_out(&self) -> Vec<Probe> {
        let providers = self.shared.providers();
        let tried = providers.iter().map(|provider| provider.try_out());
        futures_util::future::join_all(tried).await.into_iter().flatten().collect()
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

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How long what is new is waited for.
    fn patience(&self) -> Duration {
        self.setup.surroundings.stands_within
    }

    async fn watch(self: Arc<Self>, look_every: Duration) {
        loop {
            let next = Instant::now() + look_every;
            // Whatever stands in between takes over at that moment.
            let _ = timeout_at(next, self.trials(Duration::MAX)).await;
            sleep_until(next).await;
            self.sections.lock().await.renew(&self.setup).await;
        }
    }

    /// Lets what is new take over as it comes to stand; returns once nothing is on trial that is younger than this.
    async fn trials(&self, younger_than: Duration) {
        loop {
            let on_trial = {
                let mut sections = self.sections.lock().await;
                self.take_over(&mut sections);
                sections.on_trial(younger_than)
            };
            if on_trial.is_empty() {
                return;
            }
            futures_util::future::select_all(on_trial.iter().map(|made| made.stands())).await;
        }
    }

    fn take_over(&self, sections: &mut Sections) {
        if sections.take_over() {
            *self.providers.write().unwrap_or_else(PoisonError::into_inner) = sections.providers(&self.setup);
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// What there is instead of the credential of this generation, which was refused; reads the files if nobody has since, and waits so
    /// long for what is new.
    async fn renewal(&self, generation: u64, refused_at: Instant, wait: Duration, device: &Device) -> Renewal {
        // A file system that hangs must not hold a push up, nor a host that is tried with what is new.
        let until = Instant::now() + wait;
        let _ = timeout_at(until, self.read_since(generation, refused_at)).await;
        if self.generation() != generation {
            return Renewal::Done;
        }
        match timeout_at(until, self.sections.lock()).await {
            Ok(sections) if !sections.tries_another_for(device) => Renewal::None,
            // Where the files are still being read, there may be another one.
            Ok(_) | Err(_) => Renewal::OnTrial,
        }
    }

    async fn read_since(&self, generation: u64, refused_at: Instant) {
        let mut sections = self.sections.lock().await;
        if self.generation() != generation {
            return;
        }
        if sections.read_at < refused_at {
            // Whoever else was refused meanwhile waits for the same read.
            sleep_until(sections.read_at + BETWEEN_READS).await;
            sections.renew(&self.setup).await;
        }
        drop(sections);
        self.trials(self.patience()).await;
    }
}

impl Sections {
    async fn start(config: &config::push::Push, setup: &Arc<Setup>) -> Result<Self, PushError> {
        let (mut apns, mut fcm) = (Vec::new(), Vec::new());
        for (index, section) in config.apns.iter().enumerate() {
            let files = apns_files(index, section).await;
            apns.push(Section::start(&files, |files, stale| Host::start(section, files, stale, setup))?);
        }
        for (index, section) in config.fcm.iter().enumerate() {
            let files = fcm_files(index, section, setup).await;
            fcm.push(Section::start(&files, |files, stale| Fcm::start(section, files, stale, setup))?);
        }
        Ok(Self { config: config.clone(), apns, fcm, read_at: Instant::now() })
    }

    /// Begins to make those sections anew whose files have changed.
    async fn renew(&mut self, setup: &Arc<Setup>) {
        self.read_at = Instant::now();
        let patience = setup.surroundings.stands_within;
        for (index, (section, made)) in self.config.apns.iter().zip(&mut self.apns).enumerate() {
            let files = apns_files(index, section).await;
            made.renew(&files, patience, |files, stale| Host::start(section, files, stale, setup));
        }
        for (index, (section, made)) in self.config.fcm.iter().zip(&mut self.fcm).enumerate() {
            let files = fcm_files(index, section, setup).await;
            made.renew(&files, patience, |files, stale| Fcm::start(section, files, stale, setup));
        }
    }

    /// Begins to try what is new, all or nothing of it.
    async fn reconfigure(&mut self, config: &config::push::Push, setup: &Arc<Setup>) -> Result<(), PushError> {
        let (mut apns, mut fcm) = (Vec::new(), Vec::new());
        for (index, (section, made)) in config.apns.iter().zip(&self.apns).enumerate() {
            let files = apns_files(index, section).await;
            apns.push(made.prepare(&files, |files, stale| Host::start(section, files, stale, setup))?);
        }
        for (index, (section, made)) in config.fcm.iter().zip(&self.fcm).enumerate() {
            let files = fcm_files(index, section, setup).await;
            fcm.push(made.prepare(&files, |files, stale| Fcm::start(section, files, stale, setup))?);
        }
        self.config = config.clone();
        self.apns.iter_mut().zip(apns).for_each(|(made, candidate)| made.put_on_trial(candidate));
        self.fcm.iter_mut().zip(fcm).for_each(|(made, candidate)| made.put_on_trial(candidate));
        // What is in use again is tried no more.
        self.renew(setup).await;
        Ok(())
    }

    /// What is tried beside what is in use, and for less than this.
    fn on_trial(&self, younger_than: Duration) -> Vec<Arc<dyn Made>> {
        let young = |since: Instant| since.elapsed() < younger_than;
        let apns = self.apns.iter().filter_map(Section::candidate);
        let apns = apns.filter(|(_, since)| young(*since)).map(|(made, _)| made.clone() as Arc<dyn Made>);
        let fcm = self.fcm.iter().filter_map(Section::candidate);
        let fcm = fcm.filter(|(_, since)| young(*since)).map(|(made, _)| made.clone() as Arc<dyn Made>);
        apns.chain(fcm).collect()
    }

    /// Whether something new is tried for such a device.
    fn tries_another_for(&self, device: &Device) -> bool {
        self.on_trial(Duration::MAX).iter().any(|made| made.is_for(device))
    }

    /// Puts what is new and stands in the place of the old, and says whether there was any.
    fn take_over(&mut self) -> bool {
        let apns = self.apns.iter_mut().map(Section::take_over);
        let fcm = self.fcm.iter_mut().map(Section::take_over);
        apns.chain(fcm).fold(false, |any, taken| any | taken)
    }

    fn providers(&self, setup: &Arc<Setup>) -> Providers {
        let apns = Apns::of(self.apns.iter().map(|section| section.made().clone()), setup);
        let apns = apns.into_iter().map(|apns| Arc::new(apns) as Arc<dyn Provider>);
        apns.chain(self.fcm.iter().map(|section| section.made().clone() as Arc<dyn Provider>)).collect()
    }
}

async fn apns_files(index: usize, section: &config::push::Apns) -> Files {
    Files::read(format!("push.apns[{index}]"), section, &Host::files(section)).await
}

async fn fcm_files(index: usize, section: &config::push::Fcm, setup: &Setup) -> Files {
    Files::read(format!("push.fcm[{index}]"), section, &Fcm::files(section, setup)).await
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
