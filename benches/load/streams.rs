//! Event streams on which nothing happens: what each takes; and all of them coming back at once.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::Failure;
use crate::client::{Client, Transport};
use crate::figures::{Row, Spread};
use crate::people::Pair;
use crate::process;
use crate::ringing::at_rest;
use crate::scenario::{count, histogram};
use crate::stage::Stage;

/// Opened at a time, before they are all cut.
const AT_ONCE: usize = 64;
/// After this time a client tries again, as the gateway asks it to, and so often at most.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
const MOST_TRIES: usize = 60;
/// How long the idle streams are watched: less than until their second ping, since nobody answers the first.
const REST: Duration = Duration::from_secs(10);

/// Opens them, watches them, cuts them, and has all come back.
pub async fn run(stage: &Stage, wanted: usize, transport: Transport) -> Result<Vec<Row>, Failure> {
    let number = wanted.min(process::most_streams()?);
    let pairs = (0..number).map(Pair::new).collect::<Result<Vec<_>, _>>()?;
    stage.idle().await?;
    let name = match transport {
        Transport::WebSocket => "streams",
        Transport::Sse => "SSE streams",
    };
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
    let idle = Row::new(&format!("{name}: opened"), number, rate, Spread::of(&opened), &used, stage)?
        .with("each stream, KB", each)
        .with("at rest", at_rest(&rest));

    eprintln!("{number} streams are cut, and come back at once");
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
    let storm = Row::new(
        &format!("{name}: reconnect storm"),
        number,
        count(number) / took.as_secs_f64(),
        Spread::of(&back),
        &used,
        stage,
    )?
    .with("all back after, s", took.as_secs_f64())
    .with("tries again", tries_again);
    Ok(vec![idle, storm])
}

/// Streams that are open, each with the time until its snapshot was there, and how often one had to try again.
struct Opened {
    streams: Vec<(Client, Duration)>,
    tries_again: usize,
}

/// Opens a stream for each at once; one that is refused or cut tries again, as a client does.
async fn open(stage: &Stage, pairs: &[Pair], transport: Transport) -> Result<Opened, Failure> {
    let (began, tries_again) = (Instant::now(), Cell::new(0));
    let streams = try_join_all(pairs.iter().map(async |pair| {
        for _ in 0..MOST_TRIES {
            let mut client = Client::connect(stage.service.address).await?;
            if pair.listen(&mut client, transport).await.is_ok() {
                return Ok((client, began.elapsed()));
            }
            tries_again.set(tries_again.get() + 1);
            sleep(TRY_AGAIN_AFTER).await;
        }
        Err(Failure::from("a stream could not be opened"))
    }));
    Ok(Opened { streams: streams.await?, tries_again: tries_again.get() })
}
