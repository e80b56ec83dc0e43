//! One set of names: what a gateway tells, docs/METRICS.md, the dashboard, the alerts and their runbooks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bellwire::telemetry::{Description, Metrics};
use serde_json::Value;

use super::{scrape, until_at_least};
use crate::support::{Stage, bearer};

const DASHBOARD: &str = "deploy/grafana/bellwire.json";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
const PAGE: &str = "src/http/status.html";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every name of a sample that a gateway can tell.
fn samples() -> BTreeSet<String> {
    let suffixes = |description: &Description| -> &[&str] {
        match description.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &[""],
        }
    };
    let metrics = Metrics::default();
    let all = metrics.descriptions().iter();
    all.flat_map(|one| suffixes(one).iter().map(|suffix| format!("{}{suffix}", one.name))).collect()
}

/// The labels that a panel's legend names and its query drops.
fn unknown_in_legend(target: &Value) -> Vec<String> {
    let (query, legend) =
        (target["expr"].as_str().expect("a query"), target["legendFormat"].as_str().expect("a legend"));
    let kept: BTreeSet<_> = query
        .split("by (")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .flat_map(|(labels, _)| labels.split(", "))
        .chain(["instance"])
        .collect();
    let named = legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    named.map(|(label, _)| label).filter(|label| !kept.contains(label)).map(str::to_owned).collect()
}

/// The words of a text that begin as the names of metrics do.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("bellwire_") || word.starts_with("process_")).map(str::to_owned).collect()
}

/// The rows of the table in docs/METRICS.md: name, kind, labels, help.
fn rows() -> BTreeMap<String, [String; 3]> {
    let text = read("docs/METRICS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `bellwire_") || line.starts_with("| `process_"));
    let cells = |line: &str| {
        let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let [name, kind, labels, help] = cells.try_into().unwrap_or_else(|cells| panic!("four cells: {cells:?}"));
        (name.trim_matches('`').to_owned(), [kind, labels, help])
    };
    rows.map(cells).collect()
}

#[test]
fn the_table_in_the_documents_is_what_there_is() {
    let metrics = Metrics::default();
    let rows = rows();
    let wanted: BTreeMap<String, [String; 3]> = metrics
        .descriptions()
        .iter()
        .map(|Description { name, kind, help }| {
            let labels = rows.get(name).map(|[_, labels, _]| labels.clone()).unwrap_or_default();
            (name.clone(), [kind.as_str().to_owned(), labels, (*help).to_owned()])
        })
        .collect();
    if rows != wanted {
        for (name, [kind, labels, help]) in &wanted {
            println!("| `{name}` | {kind} | {labels} | {help} |");
        }
        panic!("docs/METRICS.md is to have the rows above");
    }
}

#[tokio::test]
async fn kinds_labels_and_help_are_those_in_the_documents() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.ring(&phone, &call).await;
    let (_events, _) = stage.events(&bearer("alice"), "").await;
    until_at_least(&stage, r#"bellwire_task_seconds_count{task="ring",outcome="done"}"#, 1.0).await;
    let rows = rows();
    for (name, family) in scrape(&stage).await.families {
        let [kind, labels, help] = &rows[&name];
        assert_eq!((&family.kind, family.help), (kind, format!("{help}.")), "{name}");
        let written: Vec<String> = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert!(family.labels.iter().all(|labels| *labels == written), "{name}: {written:?}, {:?}", family.labels);
    }
}

#[test]
fn dashboard_alerts_and_documents_name_only_what_there_is() {
    let samples = samples();
    let metrics = Metrics::default();
    let families: BTreeSet<_> = metrics.descriptions().iter().map(|one| one.name.clone()).collect();
    for (path, least) in [(DASHBOARD, 30), (ALERTS, 20), (PAGE, 11), ("deploy/prometheus/alerts_test.yml", 20)] {
        let named = named(&read(path));
        assert!(named.len() >= least, "{path} names {}", named.len());
        let unknown: Vec<_> = named.difference(&samples).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
    for path in ["docs/METRICS.md", "docs/RUNBOOKS.md", "docs/OPERATIONS.md", "README.md"] {
        let unknown: Vec<_> =
            named(&read(path)).into_iter().filter(|name| !samples.contains(name) && !families.contains(name)).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let alerts = read(ALERTS);
    let after = |start: &str| -> BTreeSet<String> {
        alerts
            .lines()
            .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(start))
            .map(str::to_owned)
            .collect()
    };
    let alerts_named = after("alert: ");
    let pages: BTreeSet<_> =
        read("docs/RUNBOOKS.md").lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(alerts_named, pages);
    // GitHub makes a heading's anchor of its letters.
    let anchors: BTreeSet<_> = pages.iter().map(|page| format!("docs/RUNBOOKS.md#{}", page.to_lowercase())).collect();
    assert_eq!(after("runbook: "), anchors);
    let tests = read("deploy/prometheus/alerts_test.yml");
    for alert in &alerts_named {
        let tested: Vec<_> = tests.match_indices(&format!("alertname: {alert}")).collect();
        assert!(!tested.is_empty(), "{alert} has no test");
    }
}

#[test]
fn the_dashboard_is_what_grafana_reads() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 39), "{}", dashboard["schemaVersion"]);
    let variables: BTreeSet<_> = dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "instance"]));
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is another's");
        let place = |key: &str| panel["gridPos"][key].as_u64().expect(key);
        assert!(place("x") + place("w") <= 24, "{title} stands out");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{title} has no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().expect("targets") {
            assert!(references.insert(target["refId"].as_str().expect("a reference")), "{title} has two of one");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert_eq!(unknown_in_legend(target), [""; 0], "{title}: its legend would have holes");
        }
        assert!(!references.is_empty(), "{title} asks nothing");
    }
}
