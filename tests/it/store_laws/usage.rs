//! Law 25: what is used.

use std::time::Duration;

use bellwire::domain::usage::{Day, DayShare, DayUsage, Stay, shares};

use super::Subject;
use super::fixture::at_once;

const MINUTE: Duration = Duration::from_mins(1);

/// What a call of two adds that lasts so many minutes and begins so many minutes into a day.
fn call_of(day: Day, begins: u32, lasts: u32) -> Vec<DayShare> {
    let from = day.begins() + MINUTE * begins;
    let stay = Stay { from, to: from + MINUTE * lasts, there_ms: u64::from(lasts) * 60_000 };
    shares(&[stay, stay])
}

pub async fn law_25_a_call_is_added_once(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (call, today) = (clock.call_id(), Day::of(clock.now()));
    // Over midnight.
    let shares = call_of(today, 1430, 30);
    assert!(store.account(call, &shares).await.expect("an answer"));
    let usage = store.usage(today, today.after(), today).await.expect("usage");
    let of = |day, minutes: u64| DayUsage { day, calls: 1, participant_ms: 2 * minutes * 60_000, peak: 2 };
    assert_eq!(usage, [of(today, 10), of(today.after(), 20)]);
    for other in [&shares[..1], &shares[..]] {
        assert!(!store.account(call, other).await.expect("an answer"), "it was done");
    }
    assert_eq!(store.usage(today, today.after(), today).await.expect("usage"), usage);
    assert!(store.account(clock.call_id(), &[]).await.expect("an answer"), "a call that used nothing");
    assert_eq!(store.usage(today, today.after(), today).await.expect("usage"), usage);
}

pub async fn law_25_days_are_added_up_and_read_in_order(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let today = Day::of(clock.now());
    let days = [today.before().before(), today];
    for day in [days[1], days[0]] {
        for begins in [0, 5, 9] {
            // From the fifth minute to the tenth there are two calls at a time, in the tenth all three.
            store.account(clock.call_id(), &call_of(day, begins, 10)).await.expect("added");
        }
    }
    let usage = store.usage(days[0], days[1].after(), days[0]).await.expect("usage");
    let of = |day| DayUsage { day, calls: 3, participant_ms: 60 * 60_000, peak: 6 };
    assert_eq!(usage, days.map(of));
    assert_eq!(
        store.usage(days[0].after(), days[0].after(), days[0].after()).await.expect("usage"),
        [],
        "nothing on this one"
    );
    assert_eq!(store.usage(days[1], days[1], days[1]).await.expect("usage"), [of(days[1])]);
    let without = DayUsage { peak: 0, ..of(days[0]) };
    let usage = store.usage(days[0], days[1], days[1]).await.expect("usage");
    assert_eq!(usage, [without, of(days[1])], "no peak but of the days that it is asked for");
}

pub async fn law_25_of_many_calls_at_once_each_is_added_once(subject: &Subject) {
    const CALLS: u16 = 40;
    let Subject { store, clock, .. } = subject;
    let today = Day::of(clock.now());
    let calls: Vec<_> = (0..CALLS).map(|_| clock.call_id()).collect();
    let added = at_once(3 * calls.len(), |number| {
        let (store, call) = (store.clone(), calls[number % calls.len()]);
        async move { store.account(call, &call_of(today, 100, 5)).await.expect("an answer") }
    });
    assert_eq!(added.await.into_iter().filter(|added| *added).count(), calls.len());
    let (calls, peak) = (u64::from(CALLS), 2 * u32::from(CALLS));
    let whole = DayUsage { day: today, calls, participant_ms: calls * 600_000, peak };
    assert_eq!(store.usage(today, today, today).await.expect("usage"), [whole]);
}

pub async fn law_25_a_day_is_forgotten_after_its_time(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let today = Day::of(clock.now());
    let past = Day::from_number(today.number() - 401);
    store.account(clock.call_id(), &call_of(past, 0, 1)).await.expect("added");
    // Something else is written, which is when a store of one file forgets.
    store.account(clock.call_id(), &call_of(today, 0, 1)).await.expect("added");
    let days: Vec<Day> =
        store.usage(past, today, past).await.expect("usage").into_iter().map(|usage| usage.day).collect();
    assert_eq!(days, [today]);
}
