//! After the faults: everybody calls somebody once more, the final records are read from every gateway, readers are given time to
//! hear of every end, and all is judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::CallId;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::check::{Evidence, read_logs};
use crate::client::{Ask, Verb};
use crate::faults::Faults;
use crate::reader::Readers;
use crate::report::{Kind, Report};
use crate::scene::{Scene, Stage, play};
use crate::view::View;
use crate::world::World;
use crate::world::config::SERVICE_KEY;

/// Requests and scenes under way at once.
const AT_ONCE: usize = 24;
/// The numbers of the scenes of the end begin here.
const PROBES: u64 = 1 << 40;
/// How long readers may take to hear of the last events: what was lost on the way is read again every 10 s.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// Checks what there is to check, and stops everything.
pub async fn finish(
    stage: &Arc<Stage>,
    mut world: World,
    readers: &Readers,
    faults: Faults,
    seconds: f64,
) -> Result<Report, Failure> {
    eprintln!("reading the final records");
    let records = records(stage, &world).await?;
    let give_up = Instant::now() + TOLD_WITHIN;
    let evidence = Evidence {
        ledger: &stage.ledger,
        records: &records,
        pushes: &stage.pushes,
        readers,
        faults: &faults,
        gateways: world.gateways.len(),
    };
    while !evidence.all_told() && Instant::now() < give_up {
        sleep(Duration::from_millis(200)).await;
    }
    let mut judged = evidence.judge();
    world.stop().await?;
    read_logs(&world.logs(), &mut judged)?;
    let notes = stage.ledger.locked();
    let (tally, carried_by_both, pushes) = (notes.tally, notes.carried_by_both(), stage.pushes.count());
    Ok(Report { seed: stage.seed, seconds, judged, faults, tally, carried_by_both, pushes })
}

/// Everybody calls somebody, and is called by them.
pub async fn call_once_more(stage: &Arc<Stage>) {
    eprintln!("everybody calls somebody");
    let people = stage.people.len();
    let scenes = (0..people / 2).map(|pair| {
        let (one, other, third) = (2 * pair, 2 * pair + 1, (2 * pair + 2) % people);
        play(Arc::clone(stage), Scene::probe(PROBES + pair as u64, one, other, third))
    });
    stream::iter(scenes).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

/// The final record of every call, which must be the same on every gateway.
async fn records(stage: &Arc<Stage>, world: &World) -> Result<BTreeMap<CallId, View>, Failure> {
    let calls: Vec<CallId> = stage.ledger.locked().calls.keys().copied().collect();
    let mut records = BTreeMap::new();
    for gateway in world.addresses.all() {
        let read = stream::iter(&calls).map(|call| async move {
            let ask = Ask::of("the backend", SERVICE_KEY, Verb::Read, Some(*call));
            (*call, stage.client.ask_at(&ask, gateway).await)
        });
        let read: Vec<_> = read.buffer_unordered(AT_ONCE).collect().await;
        for (call, reply) in read {
            let Some(view) = reply.and_then(|reply| View::of(&reply.body)) else { continue };
            let known = records.entry(call).or_insert_with(|| view.clone());
            if *known != view {
                let seen = format!("gateways do not agree: {known:?}, {view:?}");
                stage.ledger.locked().violation(Kind::Replay, Some(call), seen);
            }
        }
    }
    Ok(records)
}
