//! Two gateways that were measured by turns: what the second costs by the first, scenario by scenario.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::Row;

/// CPU time by gateway, in each round.
type Rounds<'a> = BTreeMap<usize, BTreeMap<&'a str, f64>>;

/// A line for each scenario and pair of gateways: the ratios of CPU time in each round, and their median.
pub fn ratios(rows: &[Row]) -> String {
    let mut by_scenario: BTreeMap<(&str, &str), Rounds> = BTreeMap::new();
    for row in rows {
        let Some((service, number)) = row.service.split_once('.') else { continue };
        let Some(cpu) = row.cpu_us() else { continue };
        let rounds = by_scenario.entry((service, row.scenario())).or_default();
        rounds.entry(row.round).or_default().insert(number, cpu);
    }
    let mut text = String::new();
    for ((service, scenario), rounds) in &by_scenario {
        let mut numbers: Vec<&str> =
            rounds.values().flat_map(BTreeMap::keys).copied().filter(|number| *number != "0").collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let ratio = |round: &BTreeMap<&str, f64>| Some(round.get(number)? / round.get("0")?);
            let mut ratios: Vec<f64> = rounds.values().filter_map(ratio).collect();
            ratios.sort_by(f64::total_cmp);
            let Some(median) = ratios.get(ratios.len() / 2) else { continue };
            let all: Vec<_> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
            let _ = writeln!(text, "{service} {scenario}: {number} by 0: {median:.3} (CPU; {})", all.join(" "));
        }
    }
    text
}
