//! The faults in force, and the drawing of lots.
//!
//! Faults befall only requests that would have been accepted: a wrong request always gets the error that it
//! deserves, so that a fault never hides a mistake. Delays add up; of the other faults the first that applies wins.

use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use super::log::Provider;
use super::rule::{Fault, Rule};
use crate::clock::Clock;

pub(super) struct Rules(Mutex<Vec<Rule>>);

/// What befalls one request.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    /// Never a delay.
    pub(super) fault: Option<Fault>,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(Mutex::new(rules))
    }

    pub(super) fn add(&self, rule: Rule) {
        lock(&self.0).push(rule);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Decides what befalls a request, and uses up the rules that have a number of times.
    pub(super) fn draw(&self, provider: Provider, target: Option<&str>, clock: &Clock) -> Fate {
        let mut fate = Fate::default();
        let mut rules = lock(&self.0);
        for rule in rules.iter_mut().filter(|rule| rule.applies_to(provider, target)) {
            if rule.times == Some(0) || !is_drawn(rule.share, clock) {
                continue;
            }
            rule.times = rule.times.map(|times| times - 1);
            match rule.fault {
                Fault::Delay(by) => fate.delay += by,
                fault => {
                    fate.fault = Some(fault);
                    break;
                }
            }
        }
        fate
    }
}

impl Rule {
    fn applies_to(&self, provider: Provider, target: Option<&str>) -> bool {
        self.host.is(provider) && self.token.as_deref().is_none_or(|token| target == Some(token))
    }
}

/// A share of 100 draws nothing.
fn is_drawn(share: f64, clock: &Clock) -> bool {
    if share >= 100.0 {
        return true;
    }
    let mut random = [0; 4];
    clock.random(&mut random);
    f64::from(u32::from_le_bytes(random)) < share / 100.0 * (f64::from(u32::MAX) + 1.0)
}
