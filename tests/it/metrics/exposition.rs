//! A reader of the text of `OpenMetrics`, as strict as the format: <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::collections::{BTreeMap, BTreeSet};

/// A metric with all its series.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// The names of its samples' labels, but for `le`, in order.
    pub labels: BTreeSet<Vec<String>>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
    /// By name with labels, as written.
    samples: BTreeMap<String, f64>,
}

struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl Exposition {
    /// Reads a whole text, or says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("no EOF at the end")?;
        let mut all = Self::default();
        let mut current = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or(line)?;
                if all.families.contains_key(name) {
                    return Err(format!("{name} comes twice"));
                }
                name.clone_into(&mut current);
                let family = Family { help: help.to_owned(), ..Family::default() };
                all.families.insert(current.clone(), family);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or(line)?;
                let family = all.families.get_mut(name).filter(|_| name == current).ok_or("a type without help")?;
                kind.clone_into(&mut family.kind);
            } else {
                all.take(&current, line)?;
            }
        }
        all.check_histograms()?;
        Ok(all)
    }

    fn take(&mut self, family: &str, line: &str) -> Result<(), String> {
        let Sample { name, labels, value } = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
        let found = self.families.get_mut(family).ok_or_else(|| format!("a sample without a metric: {line}"))?;
        let suffixes: &[&str] = match found.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            kind => return Err(format!("{family} is a {kind}")),
        };
        let suffix = name.strip_prefix(family).filter(|suffix| suffixes.contains(suffix));
        suffix.ok_or_else(|| format!("{name} is no sample of {family}"))?;
        if found.kind != "gauge" && value < 0.0 {
            return Err(format!("less than nothing: {line}"));
        }
        found.labels.insert(labels.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != "le").collect());
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        match self.samples.insert(series.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(format!("{series} comes twice")),
        }
    }

    /// Buckets only grow, and the last one is all of them.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, value) in &self.samples {
            let Some((name, labels)) = series.split_once("_bucket{") else { continue };
            let (before, le) = labels.split_once("le=\"").ok_or_else(|| format!("no le: {series}"))?;
            let (le, after) = le.split_once('"').ok_or(series.as_str())?;
            let around = [before.trim_end_matches(','), after.trim_end_matches('}').trim_start_matches(',')];
            let rest = around.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
            let count = if rest.is_empty() { format!("{name}_count") } else { format!("{name}_count{{{rest}}}") };
            buckets.entry(count).or_default().push((le.replace("+Inf", "inf").parse().map_err(|_| le)?, *value));
        }
        for (count, mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
            let last = buckets.last().filter(|(le, _)| le.is_infinite()).map(|(_, value)| *value);
            if !grows || last != self.value(&count) {
                return Err(format!("the buckets of {count} do not fit: {buckets:?}"));
            }
        }
        Ok(())
    }

    /// The value of a series, named as it is written.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The series of the same name.
    pub fn like(&self, series: &str) -> Vec<(&String, &f64)> {
        let name = series.split('{').next().unwrap_or_default();
        self.samples.iter().filter(|(other, _)| other.split('{').next() == Some(name)).collect()
    }

    /// The value of a series that must be there and counts something.
    pub fn count(&self, series: &str) -> u64 {
        let value = self.expect(series);
        value.to_string().parse().unwrap_or_else(|_| panic!("{series} is {value}"))
    }

    /// The value of a series that must be there.
    pub fn expect(&self, series: &str) -> f64 {
        self.value(series).unwrap_or_else(|| panic!("no {series}; there are {:#?}", self.like(series)))
    }
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else {
        return is_name(series).then_some(Sample { name: series, labels: Vec::new(), value });
    };
    let mut rest = labels.strip_suffix('}')?;
    let mut labels: Vec<(&str, String)> = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        if !is_name(label) || labels.iter().any(|(other, _)| *other == label) {
            return None;
        }
        labels.push((label, after[..end].to_owned()));
        rest = &after[end + 1..];
        rest = if rest.is_empty() { rest } else { rest.strip_prefix(',')? };
    }
    is_name(name).then_some(Sample { name, labels, value })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

fn is_name(text: &str) -> bool {
    let is_letter = |char: char| char.is_ascii_alphabetic() || char == '_';
    text.starts_with(is_letter) && text.chars().all(|char| is_letter(char) || char.is_ascii_digit())
}

#[test]
fn what_the_format_does_not_allow_is_refused() {
    let with = |samples: &str| {
        let text = format!("# HELP a Help.\n# TYPE a counter\n{samples}# HELP h Help.\n# TYPE h histogram\n# EOF\n");
        Exposition::read(&text).map(|read| read.families.len())
    };
    assert_eq!(with("a_total{x=\"1\",y=\"\\\"}{\"} 3\na_total 4\n"), Ok(2));
    for wrong in
        ["a 3\n", "a_total\n", "a_total -1\n", "a_total{x=1} 3\n", "a_total{x=\"1\",x=\"2\"} 3\n", "b_total 3\n"]
    {
        assert!(with(wrong).is_err(), "{wrong}");
    }
    assert!(with("a_total 3\na_total 3\n").is_err(), "twice");
    assert!(Exposition::read("# HELP a Help.\n# TYPE a counter\na_total 3\n").is_err(), "no end");
    let histogram = |samples: &str| {
        let read = Exposition::read(&format!("# HELP h Help.\n# TYPE h histogram\n{samples}# EOF\n"));
        read.map(|read| read.samples.len())
    };
    assert_eq!(histogram("h_sum 1\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n"), Ok(4));
    assert!(histogram("h_sum 1\nh_count 2\nh_bucket{le=\"1.0\"} 3\nh_bucket{le=\"+Inf\"} 2\n").is_err(), "shrinks");
    assert!(histogram("h_sum 1\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\n").is_err(), "not all");
}
