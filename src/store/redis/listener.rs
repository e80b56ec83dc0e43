//! Listens to what the other instances announce, and finds out when something was lost.
//!
//! The notices of a partition are numbered: a gap shows with the next one, and a last one that was lost shows when the numbers are
//! compared, every few seconds for all partitions at once. That costs the same with one reader and with thousands. What takes a while
//! runs beside the listening, so a server that is away keeps nobody from hearing the others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{PushInfo, PushKind, Value, cmd, from_redis_value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::channel::{Channel, Number};
use super::client::{Client, Place};
use super::ear::{Ear, Heard};
use super::keys::{Keys, PARTITIONS};
use super::link::Link;
use super::notice::{self, Unsure};
use crate::store::{Announcement, StoreError};

/// How often the numbers are compared; a last notice that was lost is repaired within twice this.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// The pause before a channel that is missing is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// What listening needs. Clones share it.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) client: Arc<Client>,
    pub(super) link: Link,
    pub(super) keys: Arc<Keys>,
    pub(super) instance: String,
    pub(super) unsure: Unsure,
    pub(super) events: broadcast::Sender<Arc<Announcement>>,
    pub(super) timeout: Duration,
}

/// What is heard.
struct Hearing {
    /// By partition.
    channels: Vec<Channel>,
    /// Which partition's a channel is.
    names: HashMap<Vec<u8>, usize>,
    ears: HashMap<Place, Arc<Ear>>,
    /// How many ears there were.
    opened: u64,
    /// Where channels are being asked for.
    asking: HashSet<Place>,
    /// Why there are some that cannot be heard.
    troubles: HashMap<Place, String>,
    tasks: JoinSet<Done>,
    sender: UnboundedSender<Heard>,
    pushes: UnboundedReceiver<Heard>,
}

/// Something that took a while is done.
enum Done {
    /// Channels of a server were asked for by an ear, which is there if it is good.
    Asked { place: Place, number: u64, ear: Option<Arc<Ear>>, trouble: Option<String>, numbers: Numbers },
    /// The numbers were read, and these ears hear nothing any more.
    Compared { numbers: Numbers, deaf: Vec<u64> },
}

/// The numbers of the last notices of partitions, of those that could be read.
type Numbers = Vec<Number>;

impl Listener {
    /// Listens until it is aborted. `ready` hears when that has begun, or why it cannot.
    pub(super) async fn run(self, ready: oneshot::Sender<Result<(), StoreError>>) {
        let mut hearing = self.silence();
        let begun = self.begin(&mut hearing).await;
        let goes_on = begun.is_ok();
        // Nobody waits if the gateway gave up starting.
        let _ = ready.send(begun);
        if goes_on {
            self.listen(hearing).await;
        }
    }

    fn silence(&self) -> Hearing {
        let (sender, pushes) = unbounded_channel();
        Hearing {
            channels: vec![Channel::default(); PARTITIONS],
            names: self.keys.all().map(|one| (one.one("events").into_bytes(), one.number)).collect(),
            ears: HashMap::new(),
            opened: 0,
            asking: HashSet::new(),
            troubles: HashMap::new(),
            tasks: JoinSet::new(),
            sender,
            pushes,
        }
    }

    /// Listens to every channel; an error if there is one that cannot be listened to.
    async fn begin(&self, hearing: &mut Hearing) -> Result<(), StoreError> {
        self.complete(hearing);
        while let Some(done) = hearing.tasks.join_next().await {
            if let Ok(Done::Asked { trouble: Some(trouble), .. }) = done {
                return Err(StoreError::Unavailable(trouble));
            }
            let _ = done.map(|done| self.take_note(hearing, done));
        }
        if hearing.is_complete() { Ok(()) } else { Err(StoreError::Unavailable("no server has some channels".into())) }
    }

    async fn listen(&self, mut hearing: Hearing) {
        let (mut comparing, mut completing) = (every(COMPARE_EVERY), every(AGAIN_AFTER));
        loop {
            let is_incomplete = !hearing.is_complete();
            let nothing_lost = tokio::select! {
                Some(heard) = hearing.pushes.recv() => self.hear(&mut hearing, heard),
                Some(Ok(done)) = hearing.tasks.join_next() => self.take_note(&mut hearing, done),
                _ = completing.tick(), if is_incomplete => {
                    self.complete(&mut hearing);
                    true
                }
                _ = comparing.tick() => {
                    let (ears, all) = (hearing.ears.values().cloned().collect(), hearing.heard(0..PARTITIONS));
                    hearing.tasks.spawn(self.clone().compare(ears, all));
                    true
                }
            };
            if !nothing_lost {
                self.announce(Announcement::Lost);
            }
        }
    }

    /// Begins to ask for the channels that are missing, all of a server at once.
    fn complete(&self, hearing: &mut Hearing) {
        let mut missing: HashMap<Place, Vec<usize>> = HashMap::new();
        for partition in self.keys.all().filter(|one| hearing.channels[one.number].ear.is_none()) {
            match self.link.place_of(&partition.one("events")) {
                Some(place) => missing.entry(place).or_default().push(partition.number),
                None => self.link.look_again(),
            }
        }
        for (place, partitions) in missing {
            if hearing.asking.insert(place.clone()) {
                let ear = hearing.ears.get(&place).cloned();
                hearing.opened += 1;
                let number = ear.as_ref().map_or(hearing.opened, |ear| ear.number);
                let partitions = hearing.heard(partitions);
                let asking = self.clone().ask(place, number, ear, partitions, hearing.sender.clone());
                hearing.tasks.spawn(asking);
            }
        }
    }

    /// Asks for channels of a server, by the ear that is there or a new one.
    async fn ask(
        self,
        place: Place,
        number: u64,
        ear: Option<Arc<Ear>>,
        partitions: Vec<(usize, u64)>,
        sender: UnboundedSender<Heard>,
    ) -> Done {
        let asked = async {
            let ear = match ear {
                Some(ear) => ear,
                None => Arc::new(Ear::open(&self.client, &place, number, sender).await?),
            };
            let channels: Vec<String> =
                partitions.iter().map(|(number, _)| self.keys.partition(*number).one("events")).collect();
            let refused = ear.ask_for(&channels, self.timeout).await?;
            Ok::<_, StoreError>((ear, refused))
        };
        let (ear, trouble) = match asked.await {
            Ok((ear, refused)) => (Some(ear), refused),
            Err(StoreError::Unavailable(why)) => (None, Some(why)),
            Err(error) => (None, Some(error.to_string())),
        };
        // Notices that came before this are counted in and heard all the same.
        let numbers = self.numbers(&partitions).await;
        Done::Asked { place, number, ear, trouble, numbers }
    }

    /// Reads the numbers, and finds the ears that the server has forgotten or cannot be reached by.
    async fn compare(self, ears: Vec<Arc<Ear>>, all: Vec<(usize, u64)>) -> Done {
        let alive = join_all(ears.iter().map(|ear| ear.is_alive(self.timeout)));
        let (numbers, alive) = tokio::join!(self.numbers(&all), alive);
        let deaf = ears.iter().zip(alive).filter(|(_, alive)| !alive).map(|(ear, _)| ear.number).collect();
        Done::Compared { numbers, deaf }
    }

    /// The numbers of partitions, each with what was heard of it.
    async fn numbers(&self, partitions: &[(usize, u64)]) -> Numbers {
        let numbers = partitions.iter().map(async |(partition, before)| {
            let answer = self.link.ask(cmd("GET").arg(self.keys.partition(*partition).one("notices"))).await.ok()?;
            let stands = from_redis_value::<Option<u64>>(answer).ok()?.unwrap_or_default();
            Some(Number { partition: *partition, before: *before, stands })
        });
        join_all(numbers).await.into_iter().flatten().collect()
    }

    /// Says whether what is done shows that nothing was lost.
    fn take_note(&self, hearing: &mut Hearing, done: Done) -> bool {
        let mut complete = true;
        // What was pushed before counts before.
        while let Ok(heard) = hearing.pushes.try_recv() {
            complete &= self.hear(hearing, heard);
        }
        match done {
            Done::Asked { place, number, ear, trouble, numbers } => {
                hearing.asking.remove(&place);
                match trouble {
                    Some(trouble) => {
                        self.link.look_again();
                        hearing.warn_once(&place, trouble);
                    }
                    None => drop(hearing.troubles.remove(&place)),
                }
                match ear {
                    Some(ear) => drop(hearing.ears.insert(place, ear)),
                    None => hearing.lose(number),
                }
                for number in numbers {
                    complete &= hearing.channels[number.partition].begin(&number);
                }
            }
            Done::Compared { numbers, mut deaf } => {
                for number in numbers {
                    let channel = &mut hearing.channels[number.partition];
                    let ear = channel.ear;
                    if !channel.compare(&number) {
                        complete = false;
                        // Its ear works and has not heard: it may hear a server that is no master any more.
                        deaf.extend(ear);
                    }
                }
                for ear in deaf {
                    hearing.lose(ear);
                }
            }
        }
        complete
    }

    /// Says whether it shows that nothing was lost before.
    fn hear(&self, hearing: &mut Hearing, (ear, push): Heard) -> bool {
        let number = match push.data.first() {
            Some(Value::BulkString(channel)) => hearing.names.get(channel).copied(),
            _ => None,
        };
        match (&push.kind, number) {
            (PushKind::SMessage, Some(number)) => return self.hear_notice(&mut hearing.channels[number], &push),
            // What answers say is not asked: an unsubscription that nobody asked for is taken for the answer to something else.
            (PushKind::SSubscribe, Some(number)) => hearing.channels[number].ear = Some(ear),
            // The channel's slot has moved to another node.
            (PushKind::SUnsubscribe, Some(number)) => {
                hearing.channels[number].ear.take_if(|hears| *hears == ear);
                self.link.look_again();
            }
            (PushKind::Disconnection, _) => hearing.lose(ear),
            _ => {}
        }
        true
    }

    fn hear_notice(&self, channel: &mut Channel, push: &PushInfo) -> bool {
        let Some(Value::BulkString(text)) = push.data.get(1) else { return true };
        let Some((number, announcement)) = notice::read(text, &self.instance, &self.unsure) else { return true };
        if let Some(announcement) = announcement {
            self.announce(announcement);
        }
        channel.hear(number)
    }

    fn announce(&self, announcement: Announcement) {
        // Without a reader nobody need know.
        let _ = self.events.send(Arc::new(announcement));
    }
}

impl Hearing {
    fn is_complete(&self) -> bool {
        self.channels.iter().all(|channel| channel.ear.is_some())
    }

    /// These partitions, each with the last number heard.
    fn heard(&self, partitions: impl IntoIterator<Item = usize>) -> Vec<(usize, u64)> {
        partitions.into_iter().map(|number| (number, self.channels[number].heard)).collect()
    }

    fn warn_once(&mut self, place: &Place, trouble: String) {
        if self.troubles.get(place) != Some(&trouble) {
            tracing::warn!(server = %place, trouble, "some events of other instances cannot be heard");
            self.troubles.insert(place.clone(), trouble);
        }
    }

    /// An ear hears nothing any more.
    fn lose(&mut self, number: u64) {
        self.ears.retain(|_, ear| ear.number != number);
        self.channels.iter_mut().filter(|channel| channel.ear == Some(number)).for_each(Channel::lose_ear);
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
