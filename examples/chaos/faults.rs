//! Who breaks what, and when: gateways are killed or asked to end and started again, perhaps as another version, Redis is killed and
//! started again, wires to it are cut, stalled or lose an answer, and the providers have bad days. It keeps the times, by which the
//! checks know what was whole.

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use bellwire::simulator::{Rule, Simulator};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Failure;
use crate::dice::Dice;
use crate::world::World;
use crate::world::gateway::{Gateway, Version};
use crate::world::proxy::Proxy;
use crate::world::redis::Redis;

/// What befalls pushes all the time.
const RULES: [&str; 13] = [
    "4% of apns 503",
    "2% of apns 429",
    "1% of apns goaway",
    "0.5% of apns reset",
    "1% of apns refuse",
    "8% of apns delay 600ms",
    "0.2% of apns 410",
    "4% of fcm 503",
    "2% of fcm 429 retry-after 1s",
    "1% of fcm goaway",
    "0.5% of fcm reset",
    "8% of fcm delay 600ms",
    "0.2% of fcm UNREGISTERED",
];
/// What befalls one push now and then: its connection, and whatever else goes over it, is heard of no more.
const SILENCES: [&str; 2] = ["apns half-open times 1", "fcm half-open times 1"];
const SILENCE_EVERY: Duration = Duration::from_secs(25);
/// How often a wire to Redis suffers something.
const WIRE_EVERY: Duration = Duration::from_millis(700);
/// Of a hundred gateways that go, how many are asked to.
const GENTLE_PERCENT: usize = 20;
/// Of a hundred kills, how many befall two gateways at a time.
const DOUBLE_PERCENT: usize = 15;
/// Of two versions: of a hundred times that a gateway would go, how often all that are not of the one or the other version become that,
/// one after the other; and of a hundred that go otherwise, how many come back as the other version.
const ROLL_PERCENT: usize = 20;
const CHANGE_PERCENT: usize = 50;

/// How often what is broken.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub kill_every: Duration,
    pub restart_redis_every: Duration,
    pub until: Instant,
    /// Whether gateways are of two versions, and become the one and the other.
    pub two_versions: bool,
}

/// What was broken.
#[derive(Debug, Default)]
pub struct Faults {
    pub kills: usize,
    pub terminations: usize,
    pub redis_restarts: usize,
    pub cuts: usize,
    pub stalls: usize,
    pub lost_answers: usize,
    /// Every gateway became the newer version, one after the other; and the older one.
    pub upgrades: usize,
    pub rollbacks: usize,
    /// Each absence of a gateway.
    pub absences: Vec<Absence>,
    /// When Redis was down.
    pub redis_down: Vec<Span>,
    /// When the machine was slow; nobody's fault.
    pub slow: Vec<Span>,
}

/// From one moment to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// A gateway that was not there.
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    pub place: usize,
    pub span: Span,
    /// SIGKILL, not SIGTERM.
    pub killed: bool,
    /// How long it took to end.
    pub ended_in: Duration,
    /// What it came back as, if that is another version.
    pub became: Option<Version>,
}

/// Breaks things until the plan's end, and leaves everything running.
pub async fn rage(world: &mut World, plan: Plan, seed: u64) -> Result<Faults, Failure> {
    for rule in RULES {
        world.simulator.add_rule(rule.parse::<Rule>()?);
    }
    let dice = |part| Dice::new(seed, part);
    let (gateways, redis, wires, pushes) = tokio::join!(
        gateways(&mut world.gateways, plan, dice(1)),
        restart_redis(world.redis.as_mut(), plan, dice(2)),
        harm_wires(&world.wires, plan, dice(3)),
        silence(&world.simulator, plan, dice(4)),
    );
    pushes?;
    let (gateways, redis) = (gateways?, redis?);
    world.simulator.clear_rules();
    Ok(Faults { redis_restarts: redis.len(), redis_down: redis, ..wires.with(gateways) })
}

impl Faults {
    fn with(self, gateways: Self) -> Self {
        Self { cuts: self.cuts, stalls: self.stalls, lost_answers: self.lost_answers, ..gateways }
    }
}

/// Sleeps around a time; false once the plan is over.
async fn pause(around: Duration, plan: Plan, dice: &mut Dice) -> bool {
    let next = Instant::now() + dice.around(around);
    sleep_until(next.min(plan.until)).await;
    next < plan.until
}

async fn gateways(gateways: &mut [Gateway], plan: Plan, mut dice: Dice) -> Result<Faults, Failure> {
    let (mut faults, mut target) = (Faults::default(), Version::Other);
    while pause(plan.kill_every, plan, &mut dice).await {
        if plan.two_versions && dice.chance(ROLL_PERCENT) {
            target = target.next();
            faults.roll(gateways, target, &mut dice).await?;
            continue;
        }
        let mut order: Vec<&mut Gateway> = gateways.iter_mut().collect();
        dice.shuffle(&mut order);
        let gentle = dice.chance(GENTLE_PERCENT);
        let count = if !gentle && dice.chance(DOUBLE_PERCENT) { 2 } else { 1 };
        let away = dice.millis(0..1500);
        let gone = order.into_iter().take(count).map(|gateway| {
            let changes = plan.two_versions && dice.chance(CHANGE_PERCENT);
            let version = if changes { gateway.version.next() } else { gateway.version };
            replace(gateway, version, gentle, away)
        });
        for absence in try_join_all(gone).await? {
            faults.note(absence);
        }
    }
    // In the end both versions show every record.
    if let [first, others @ ..] = gateways
        && plan.two_versions
        && others.iter().all(|other| other.version == first.version)
    {
        let version = first.version.next();
        faults.note(replace(first, version, true, Duration::ZERO).await?);
    }
    Ok(faults)
}

impl Faults {
    /// Has every gateway become a version, one after the other, as a rolling upgrade does, or one that is taken back.
    async fn roll(&mut self, gateways: &mut [Gateway], to: Version, dice: &mut Dice) -> Result<(), Failure> {
        let rolls = gateways.iter().any(|gateway| gateway.version != to);
        for gateway in gateways.iter_mut().filter(|gateway| gateway.version != to) {
            self.note(replace(gateway, to, true, dice.millis(0..500)).await?);
        }
        *(if to == Version::This { &mut self.upgrades } else { &mut self.rollbacks }) += usize::from(rolls);
        Ok(())
    }

    fn note(&mut self, absence: Absence) {
        *(if absence.killed { &mut self.kills } else { &mut self.terminations }) += 1;
        self.absences.push(absence);
    }
}

/// Ends a gateway, and starts it after a while, as this version.
async fn replace(gateway: &mut Gateway, version: Version, gentle: bool, away: Duration) -> Result<Absence, Failure> {
    let clock = Clock::system();
    let from = clock.now();
    if gentle {
        gateway.stop().await?;
    } else {
        gateway.kill();
    }
    let ended_in = clock.now().since(from);
    sleep(away).await;
    let became = (version != gateway.version).then_some(version);
    gateway.version = version;
    gateway.start().await?;
    let span = Span { from, until: clock.now() };
    Ok(Absence { place: gateway.place, span, killed: !gentle, ended_in, became })
}

async fn restart_redis(redis: Option<&mut Redis>, plan: Plan, mut dice: Dice) -> Result<Vec<Span>, Failure> {
    let (clock, mut down) = (Clock::system(), Vec::new());
    let Some(redis) = redis else { return Ok(down) };
    while pause(plan.restart_redis_every, plan, &mut dice).await {
        let from = clock.now();
        redis.kill();
        sleep(dice.millis(0..1200)).await;
        redis.start_again().await?;
        down.push(Span { from, until: clock.now() });
    }
    Ok(down)
}

async fn harm_wires(wires: &[Proxy], plan: Plan, mut dice: Dice) -> Faults {
    let mut faults = Faults::default();
    while !wires.is_empty() && pause(WIRE_EVERY, plan, &mut dice).await {
        let wire = &wires[dice.below(wires.len())];
        match dice.below(4) {
            0 => {
                wire.stall(dice.millis(50..700));
                faults.stalls += 1;
            }
            1 => {
                wire.lose_answer();
                faults.lost_answers += 1;
            }
            _ => faults.cuts += usize::from(wire.cut(&mut dice)),
        }
    }
    faults
}

async fn silence(simulator: &Simulator, plan: Plan, mut dice: Dice) -> Result<(), Failure> {
    while pause(SILENCE_EVERY, plan, &mut dice).await {
        simulator.add_rule(dice.choose(&SILENCES).parse::<Rule>()?);
    }
    Ok(())
}
