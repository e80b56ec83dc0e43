//! Event streams on which nothing happens: what each takes; and all of them coming back at once.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::Failure;
use crate::client::{Client, Transport};
use crate::deadline::{BACK, within};
use crate::figures::{Row, Spread};
use crate::people::Pair;
use crate::process;
use crate::ringing::at_rest;
use crate::rows::Rows;
use crate::scenario::{count, histogram};
use crate::stage::Stage;

/// Opened at a time, before they are all cut.
const AT_ONCE: usize = 64;
/// After this time a client tries again, as the gateway asks it to.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the idle streams are watched: less than until their second ping, since nobody answers the first.
const REST: Duration = Duration::from_secs(10);

/// Opens them, watches them, cuts them, and has all come back.
pub async fn run(stage: &Stage, wanted: usize, transport: Transport, rows: &mut Rows) -> Result<(), Failure> {
    let number = wanted.min(process::most_streams()?);
    let pairs = (0..number).map(Pair::new).collect::<Result<Vec<_>, _>>()?;
    let name = match transport {
        Transport::WebSocket => "streams",
        Transport::Sse => "SSE streams",
    };
    let (opening, storm) = (format!("{name}: opened"), format!("{name}: reconnect storm"));
    rows.doing(&opening);
    stage.idle().await?;
    let (before, start) = (stage.memory()?, stage.usage().await?);
    let (mut streams, mut opened) = (Vec::new(), histogram()?);
    for some in pairs.chunks(AT_ONCE) {
        for (stream, took) in open(stage, some, transport).await?.streams {
            streams.push(stream);
            opened.record(u64::try_from(took.as_micros())?)?;
        }
    }
    stage.idle().await?;
    let used = stage.used_since(&start).await?;
    let each = (stage.memory()? - before) * 1024.0 / count(number);
    let rest = stage.rest(REST).await?;
    let rate = count(number) / used.took.as_secs_f64();
    let row = Row::new(&opening, number, rate, Spread::of(&opened), &used, stage)?;
    rows.add(row.with("each stream, KB", each).with("at rest", at_rest(&rest)))?;

    rows.doing(&storm);
    drop(streams);
    sleep(Duration::from_secs(2)).await;
    stage.idle().await?;
    let start = stage.usage().await?;
    let (mut back, began) = (histogram()?, Instant::now());
    let Opened { streams, tries_again } = open(stage, &pairs, transport).await?;
    let took = began.elapsed();
    for (_, took) in &streams {
        back.record(u64::try_from(took.as_micros())?)?;
    }
    stage.idle().await?;
    let used = stage.used_since(&start).await?;
    let row = Row::new(&storm, number, count(number) / took.as_secs_f64(), Spread::of(&back), &used, stage)?;
    rows.add(row.with("all back after, s", took.as_secs_f64()).with("tries again", tries_again))
}

/// Streams that are open, each with the time until its snapshot was there, and how often one had to try again.
struct Opened {
    streams: Vec<(Client, Duration)>,
    tries_again: usize,
}

/// Opens a stream for each at once; one that is refused or cut tries again, as a client does.
async fn open(stage: &Stage, pairs: &[Pair], transport: Transport) -> Result<Opened, Failure> {
    let (began, there, tries_again) = (Instant::now(), Cell::new(0), Cell::new(0));
    let streams = join_all(pairs.iter().map(async |pair| {
        loop {
            match open_one(stage, pair, transport).await {
                Ok(client) => {
                    there.set(there.get() + 1);
                    return (client, began.elapsed());
                }
                Err(error) if tries_again.get() == 0 => eprintln!("the first that tries again: {error}"),
                Err(_) => {}
            }
            tries_again.set(tries_again.get() + 1);
            sleep(TRY_AGAIN_AFTER).await;
        }
    }));
    let streams = within(BACK, "all open", async { Ok(streams.await) }).await;
    let (there, tries_again) = (there.get(), tries_again.get());
    let streams = streams.map_err(|error| {
        format!("{error}: {there} of {} streams were there, after {tries_again} tries again", pairs.len())
    })?;
    Ok(Opened { streams, tries_again })
}

async fn open_one(stage: &Stage, pair: &Pair, transport: Transport) -> Result<Client, Failure> {
    let mut client = Client::connect(stage.service.address).await?;
    pair.listen(&mut client, transport).await?;
    Ok(client)
}
