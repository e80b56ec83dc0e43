//! `bellwire migrate-store`: everything that an embedded store holds to the Redis of a configuration, while no gateway runs on either.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{CliError, ConfigFile, with_causes};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::store::{self, StoreUrl};
use crate::store::Store;
use crate::store::embedded::{OpenError, Source};
use crate::store::migration::{Migration, Moved, Phase, Survey};
use crate::store::redis::Redis;

/// How often it is said how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a command may take at the least: a disk that is written to for minutes stalls now and then.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many damaged records are named.
const NAMED: usize = 20;

/// Move what an embedded store holds to the Redis that a configuration names.
///
/// Stop the gateway first. The file is left as it is. A run that was interrupted is run again.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateStore {
    /// The file of the embedded store.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Go on although some records cannot be read, which are left behind, or some push tokens cannot be decrypted, which are moved as they
    /// are.
    #[arg(long)]
    skip_damaged: bool,
    /// Print one JSON document of what was moved.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl MigrateStore {
    pub(super) async fn run(&self) -> Result<(), CliError> {
        let config = self.file.load()?;
        let StoreUrl::Redis(url) = &config.store.url else {
            return Err(CliError::Usage(
                "store.url of the configuration is no Redis: --config names that of the gateways to come".to_owned(),
            ));
        };
        let source = Source::open(&self.from).map_err(|error| unopened(&error))?;
        let target = target(url, &config).await?;
        for warning in target.warnings().await {
            eprintln!("warning: {warning}");
        }
        let began = Instant::now();
        let migration = Migration { source: Arc::new(source), target };
        let survey = migration.survey(progress(None)).await.map_err(|error| CliError::Failed(error.to_string()))?;
        self.judge(&survey)?;
        let moved = migration.run(progress(Some(survey.items))).await;
        let moved = moved.map_err(|error| CliError::Failed(with_causes(&error)))?;
        if self.json {
            println!("{:#}", self.document(&url.to_string(), &survey, &moved, began.elapsed()));
        } else {
            print!("{}", self.summary(&url.to_string(), &survey, &moved, began.elapsed()));
        }
        Ok(())
    }

    /// Says what is wrong with the source, and whether that is the end of it.
    fn judge(&self, survey: &Survey) -> Result<(), CliError> {
        for damage in survey.damaged.iter().take(NAMED) {
            eprintln!("warning: {} {}: {}", damage.table, damage.key, damage.why);
        }
        let (damaged, unopened) = (survey.damaged.len(), survey.unopened);
        let damage = (damaged > 0).then(|| format!("{damaged} records cannot be read, and would be left behind"));
        let sealed = (unopened > 0).then(|| {
            let why = survey.trouble.clone().unwrap_or_else(|| "they are damaged".to_owned());
            format!("push tokens of {unopened} devices cannot be decrypted ({why})")
        });
        let trouble: Vec<String> = damage.into_iter().chain(sealed).collect();
        if trouble.is_empty() || self.skip_damaged {
            for trouble in trouble {
                eprintln!("warning: {trouble}");
            }
            return Ok(());
        }
        let trouble = trouble.join("; ");
        Err(CliError::Failed(format!("{trouble}. Nothing was written; to go on all the same: --skip-damaged")))
    }

    fn summary(&self, target: &str, survey: &Survey, moved: &Moved, took: Duration) -> String {
        let mut lines = vec![format!("moved {} to {target} in {:.1} s:", self.from.display(), took.as_secs_f64())];
        lines.extend(moved.counts.iter().map(|(kind, count)| format!("{count:>10} {}", kind.replace('_', " "))));
        let mut left = |count: u64, why: &str| {
            if count > 0 {
                lines.push(format!("{count:>10} {why}"));
            }
        };
        left(moved.over, "were over, and are left behind");
        left(number(survey.damaged.len()), "could not be read, and are left behind");
        left(moved.removed, "keys of a run that did not come to its end were removed first");
        lines.push("all of it was read back. Gateways can be started on it".to_owned());
        lines.join("\n") + "\n"
    }

    fn document(&self, target: &str, survey: &Survey, moved: &Moved, took: Duration) -> Value {
        let damaged = survey
            .damaged
            .iter()
            .map(|damage| json!({"table": damage.table, "key": damage.key, "why": damage.why.to_string()}));
        json!({
            "from": self.from.display().to_string(),
            "to": target,
            "moved": moved.counts,
            "over": moved.over,
            "damaged": damaged.collect::<Vec<_>>(),
            "unopened_devices": survey.unopened,
            "removed_keys": moved.removed,
            "seconds": took.as_secs_f64(),
        })
    }
}

fn unopened(error: &OpenError) -> CliError {
    CliError::Failed(match error {
        OpenError::InUse(path) => format!("{} is in use: stop the gateway, and keep it stopped", path.display()),
        error => with_causes(error),
    })
}

async fn target(url: &store::Redis, config: &Config) -> Result<Redis, CliError> {
    let opened = Redis::to_be_filled(url, config.store.timeout.max(PATIENCE), Clock::system()).await;
    let target = opened.map_err(|error| CliError::Failed(with_causes(&error)))?;
    Ok(target.sealed_by(&config.store.encryption).keeping(crate::app::keeping(config)))
}

/// Says on stderr how far it is, now and then.
fn progress(of: Option<u64>) -> impl Fn(Phase, u64) {
    let last: Cell<Option<(Phase, Instant)>> = Cell::new(None);
    move |phase, done| {
        if last.get().is_some_and(|(before, at)| before == phase && at.elapsed() < TELL_EVERY) {
            return;
        }
        last.set(Some((phase, Instant::now())));
        let what = match phase {
            Phase::Reading => "reading",
            Phase::Moving => "moving",
            Phase::Comparing => "comparing",
        };
        match of {
            Some(of) => eprintln!("{what}: {done} of {of}"),
            None => eprintln!("{what}: {done}"),
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
