//! Event streams on which nothing happens: what each takes; and all of them coming back at once.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::Failure;
use crate::client::Client;
use crate::figures::{Row, Spread};
use crate::people::Pair;
use crate::process;
use crate::ringing::at_rest;
use crate::scenario::{count, histogram};
use crate::stage::Stage;

/// Streams that are wanted; there are fewer where a process may not have as many files open.
const WANTED: usize = 20_000;
/// Opened at a time, before they are all cut.
const AT_ONCE: usize = 64;
/// How long the idle streams are watched: at least one ping.
const REST: Duration = Duration::from_secs(26);

/// Opens them, watches them, cuts them, and has all come back.
pub async fn run(stage: &Stage) -> Result<Vec<Row>, Failure> {
    let number = WANTED.min(process::most_streams()?);
    let pairs = (0..number).map(Pair::new).collect::<Result<Vec<_>, _>>()?;
    stage.idle().await?;
    let (before, start) = (stage.memory()?, stage.usage().await?);
    let (mut streams, mut opened) = (Vec::new(), histogram()?);
    for some in pairs.chunks(AT_ONCE) {
        for (stream, took) in open(stage, some).await? {
            streams.push(stream);
            opened.record(u64::try_from(took.as_micros())?)?;
        }
    }
    stage.idle().await?;
    let used = stage.used_since(&start).await?;
    let each = (stage.memory()? - before) * 1024.0 / count(number);
    let rest = stage.rest(REST).await?;
    let rate = count(number) / used.took.as_secs_f64();
    let idle = Row::new("streams: opened", number, rate, Spread::of(&opened), &used, stage)?
        .with("each stream, KB", each)
        .with("each stream after its first ping, KB", (stage.memory()? - before) * 1024.0 / count(number))
        .with("at rest", at_rest(&rest));

    drop(streams);
    sleep(Duration::from_secs(2)).await;
    stage.idle().await?;
    let start = stage.usage().await?;
    let (mut back, began) = (histogram()?, Instant::now());
    let streams = open(stage, &pairs).await?;
    let took = began.elapsed();
    for (_, took) in &streams {
        back.record(u64::try_from(took.as_micros())?)?;
    }
    stage.idle().await?;
    let used = stage.used_since(&start).await?;
    let storm = Row::new(
        "streams: reconnect storm",
        number,
        count(number) / took.as_secs_f64(),
        Spread::of(&back),
        &used,
        stage,
    )?
    .with("all back after, s", took.as_secs_f64());
    Ok(vec![idle, storm])
}

/// Opens a stream for each at once, and gives them with the time from now until each snapshot was there.
async fn open(stage: &Stage, pairs: &[Pair]) -> Result<Vec<(Client, Duration)>, Failure> {
    let began = Instant::now();
    try_join_all(pairs.iter().map(async |pair| {
        let mut client = Client::connect(stage.service.address).await?;
        pair.listen(&mut client).await?;
        Ok((client, began.elapsed()))
    }))
    .await
}
