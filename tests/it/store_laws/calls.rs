//! Laws 1 to 5: records and their announcements.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::{Call, Input};
use bellwire::store::{Commit, Committed, Slot};
use serde_json::json;

use super::Subject;
use super::fixture::{after, at_once, committed, create, device_id, is_conflict, loaded, new_call, replace, user};

pub async fn law_01_what_was_committed_last_is_loaded(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    assert_eq!(store.load(first.id).await.expect("a slot"), Slot::Vacant);
    create(&**store, &first).await.expect("written");
    assert_eq!(loaded(&**store, first.id).await, first);

    let mut call = first;
    let inputs = [
        Input::DeviceAlerting(device_id("phone")),
        Input::Answer(device_id("phone")),
        Input::ParticipantJoined(user("ann"), "session-1".to_owned()),
        Input::HangUp(user("bob")),
    ];
    for input in &inputs {
        let next = after(&call, input, clock.now());
        replace(&**store, &call, &next).await.expect("written");
        assert_eq!(loaded(&**store, call.id).await, next, "after {}", input.name());
        call = next;
    }
}

pub async fn law_01_fields_of_a_newer_release_are_kept(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let mut first = new_call(clock);
    first.unknown.insert("mood".to_owned(), json!({"of": ["ann", null, 1]}));
    create(&**store, &first).await.expect("written");

    let read = loaded(&**store, first.id).await;
    assert_eq!(read, first);
    let next = after(&read, &Input::Cancel, clock.now());
    replace(&**store, &read, &next).await.expect("written");
    assert_eq!(loaded(&**store, first.id).await.unknown, first.unknown);
}

pub async fn law_02_a_new_call_is_written_only_where_nothing_stands(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    create(&**store, &first).await.expect("written");
    let other = Call { room: "another".to_owned(), ..first.clone() };
    assert!(is_conflict(&create(&**store, &other).await));
    assert_eq!(loaded(&**store, first.id).await, first);

    let buried = new_call(clock);
    store.bury(buried.id).await.expect("buried");
    assert!(is_conflict(&create(&**store, &buried).await));
    assert_eq!(store.load(buried.id).await.expect("a slot"), Slot::Tombstone);
}

pub async fn law_02_a_record_is_replaced_only_at_the_version_expected(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    let second = after(&first, &Input::DeviceAlerting(device_id("phone")), clock.now());
    let third = after(&second, &Input::Cancel, clock.now());
    assert!(is_conflict(&replace(&**store, &first, &second).await), "nothing stands there");
    assert_eq!(store.load(first.id).await.expect("a slot"), Slot::Vacant);

    create(&**store, &first).await.expect("written");
    assert!(is_conflict(&replace(&**store, &second, &third).await), "an older one stands there");
    replace(&**store, &first, &second).await.expect("written");
    assert!(is_conflict(&replace(&**store, &first, &second).await), "a newer one stands there");
    assert_eq!(loaded(&**store, first.id).await, second);

    replace(&**store, &second, &third).await.expect("written");
    let buried = new_call(clock);
    store.bury(buried.id).await.expect("buried");
    for expected in [0, 1] {
        let call = Arc::new(Call { version: expected + 1, ..buried.clone() });
        let commit = Commit { call, expected: Some(expected), announced: 0 };
        assert!(is_conflict(&store.commit(commit).await), "a tombstone stands there, which has no version");
    }
}

pub async fn law_02_of_many_commits_that_expect_the_same_one_is_written(subject: &Subject) {
    const MANY: usize = 40;
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    let created = at_once(MANY, |number| {
        let (store, call) = (store.clone(), Call { room: format!("room-{number}"), ..first.clone() });
        async move { create(&*store, &call).await.map(|()| call) }
    })
    .await;
    assert_eq!(created.iter().filter(|result| is_conflict(result)).count(), MANY - 1);
    let written = created.into_iter().find_map(Result::ok).expect("one was written");
    assert_eq!(loaded(&**store, first.id).await, written);

    // Rounds of everybody against everybody, as instances do: load, change, commit, and start over on a conflict.
    let committed = at_once(MANY, |_| {
        let (store, clock, id) = (store.clone(), clock.clone(), first.id);
        async move {
            let mut conflicts = 0_u32;
            loop {
                let before = loaded(&*store, id).await;
                let next = Call { version: before.version + 1, next_task: before.next_task + 1, ..before.clone() };
                match replace(&*store, &before, &next).await {
                    Ok(()) => return conflicts,
                    result if is_conflict(&result) => conflicts += 1,
                    Err(error) => panic!("{error} at {}", clock.now()),
                }
            }
        }
    })
    .await;
    let call = loaded(&**store, first.id).await;
    assert_eq!(committed.len(), MANY);
    assert_eq!(call.version, 1 + MANY as u64);
    assert_eq!(call.next_task, written.next_task + u32::try_from(MANY).expect("few"), "no change was lost");
}

pub async fn law_03_new_events_are_announced_once_with_their_record(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    create(&**store, &new_call(clock)).await.expect("written before anybody listened");
    let mut early = store.announcements();
    create(&**store, &first).await.expect("written");
    let mut late = store.announcements();
    let second = after(&first, &Input::DeviceAlerting(device_id("tablet")), clock.now());
    replace(&**store, &first, &second).await.expect("written");
    let third = after(&second, &Input::Answer(device_id("tablet")), clock.now());
    replace(&**store, &second, &third).await.expect("written");

    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(committed(&mut early).await);
    }
    heard.sort_by_key(|news| news.version);
    for (news, (call, after_seq)) in
        heard.iter().zip([(&first, 0), (&second, first.last_seq()), (&third, second.last_seq())])
    {
        assert_eq!(news.record.as_deref(), Some(call));
        assert_eq!((news.call, news.version), (call.id, call.version));
        assert_eq!((news.after_seq, news.last_seq), (after_seq, call.last_seq()));
        assert_eq!(news.parties, [user("ann"), user("bob")]);
    }
    let mut versions = [committed(&mut late).await.version, committed(&mut late).await.version];
    versions.sort_unstable();
    assert_eq!(versions, [2, 3], "nothing from before");
    // It is due at the time that it was announced with.
    let at = third.wake_up().at;
    assert!(store.due(at, 10, &HashSet::new()).await.expect("due").contains(&third.id));
}

pub async fn law_03_a_hidden_call_is_announced_to_its_caller_alone(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let mut news = store.announcements();
    let hidden = Call { hidden: true, ..new_call(clock) };
    create(&**store, &hidden).await.expect("written");
    assert_eq!(committed(&mut news).await.parties, [user("ann")]);
}

pub async fn law_03_what_is_refused_or_without_news_is_not_announced(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    create(&**store, &first).await.expect("written");
    let mut news = store.announcements();
    assert!(is_conflict(&create(&**store, &first).await));
    let second = Call { version: 2, ..first.clone() };
    replace(&**store, &first, &second).await.expect("written, and nobody need know");
    let third = after(&second, &Input::Cancel, clock.now());
    replace(&**store, &second, &third).await.expect("written");
    assert_eq!(committed(&mut news).await.record.as_deref(), Some(&third), "only this had news");
}

pub async fn law_03_of_many_racing_commits_each_event_is_announced_once(subject: &Subject) {
    const MANY: usize = 30;
    let Subject { store, clock, .. } = subject;
    let call = new_call(clock);
    create(&**store, &call).await.expect("written");
    let mut news = store.announcements();
    let session = |number: usize| Input::ParticipantJoined(user("ann"), format!("session-{number}"));
    let answered = after(&call, &Input::Answer(device_id("phone")), clock.now());
    replace(&**store, &call, &answered).await.expect("written");
    at_once(MANY, |number| {
        let (store, clock, id) = (store.clone(), clock.clone(), call.id);
        async move {
            loop {
                let before = loaded(&*store, id).await;
                let next = after(&before, &session(number), clock.now());
                if replace(&*store, &before, &next).await.is_ok() {
                    return;
                }
            }
        }
    })
    .await;
    let ended = {
        let before = loaded(&**store, call.id).await;
        let next = after(&before, &Input::HangUp(user("ann")), clock.now());
        replace(&**store, &before, &next).await.expect("written");
        next
    };
    // What has been announced, as parts of the row of events; they may come in any order.
    let mut announced = Vec::new();
    let events = |parts: &[(u32, u32)]| parts.iter().map(|(after, last)| last - after).sum::<u32>();
    while events(&announced) < ended.last_seq() - call.last_seq() {
        let Committed { after_seq, last_seq, .. } = committed(&mut news).await;
        announced.push((after_seq, last_seq));
    }
    announced.sort_unstable();
    let mut seen = call.last_seq();
    for (after_seq, last_seq) in announced {
        assert_eq!(after_seq, seen, "one follows the other");
        seen = last_seq;
    }
    assert_eq!(seen, ended.last_seq());
}

pub async fn law_04_a_tombstone_is_written_only_where_nothing_stands(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let id = clock.call_id();
    assert_eq!(store.bury(id).await.expect("buried"), Slot::Tombstone);
    assert_eq!(store.bury(id).await.expect("buried before"), Slot::Tombstone);
    assert_eq!(store.load(id).await.expect("a slot"), Slot::Tombstone);

    let call = new_call(clock);
    create(&**store, &call).await.expect("written");
    assert_eq!(store.bury(call.id).await.expect("a slot"), Slot::Call(Box::new(call.clone())));
    assert_eq!(loaded(&**store, call.id).await, call);
    let far = clock.now() + Duration::from_hours(1000);
    assert_eq!(store.due(far, 10, &HashSet::new()).await.expect("due"), [call.id], "a tombstone is never due");
}

pub async fn law_04_of_a_burial_and_a_commit_at_once_one_wins(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    for _ in 0..20 {
        let call = new_call(clock);
        let committing = tokio::spawn({
            let (store, call) = (store.clone(), call.clone());
            async move { create(&*store, &call).await }
        });
        let slot = store.bury(call.id).await.expect("a slot");
        let committed = committing.await.expect("no panic");
        match &slot {
            Slot::Tombstone => assert!(is_conflict(&committed)),
            Slot::Call(there) => {
                committed.expect("written");
                assert_eq!(**there, call);
            }
            Slot::Vacant => panic!("something stands there after a burial"),
        }
        assert_eq!(store.load(call.id).await.expect("a slot"), slot);
    }
}

pub async fn law_05_only_the_version_named_is_removed(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let call = new_call(clock);
    let far = clock.now() + Duration::from_hours(1000);
    assert!(is_conflict(&store.remove(call.id, 1).await), "nothing stands there");
    create(&**store, &call).await.expect("written");
    for version in [0, 2] {
        assert!(is_conflict(&store.remove(call.id, version).await));
    }
    assert_eq!(store.due(far, 10, &HashSet::new()).await.expect("due"), [call.id]);
    store.remove(call.id, 1).await.expect("removed");
    assert_eq!(store.load(call.id).await.expect("a slot"), Slot::Vacant);
    assert!(store.due(far, 10, &HashSet::new()).await.expect("due").is_empty(), "its wake-up went with it");

    store.bury(call.id).await.expect("buried");
    for version in [0, 1] {
        assert!(is_conflict(&store.remove(call.id, version).await), "a tombstone has no version");
    }
    assert_eq!(store.load(call.id).await.expect("a slot"), Slot::Tombstone);
}
