//! Law 24: jobs.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::domain::job::Mark;
use bellwire::domain::{Job, JobId, Work};
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::Subject;
use super::fixture::{at_once, ban_at, create, is_conflict, new_call};

fn new_job(subject: &Subject, name: &str) -> Job {
    let now = subject.clock.now();
    let work = Work::Ban(ban_at(now));
    Job::new(JobId::new(name).expect("a job id"), work, now, now + Duration::from_secs(10))
}

pub async fn law_24_a_job_is_created_only_where_nothing_stands(subject: &Subject) {
    let store = &subject.store;
    let mut job = new_job(subject, "ban:1");
    job.unknown.insert("x_new".to_owned(), json!({"deep": [1]}));
    assert_eq!(store.load_job(&job.id).await.expect("an answer"), None);
    store.commit_job(&job, None).await.expect("queued");
    assert_eq!(store.load_job(&job.id).await.expect("an answer"), Some(job.clone()), "with every field");
    assert!(is_conflict(&store.commit_job(&job, None).await), "the same work is not queued twice");
    let other = Job { work: Work::UsageCheck(Mark::default()), ..job.clone() };
    assert!(is_conflict(&store.commit_job(&other, None).await));
    assert_eq!(store.load_job(&job.id).await.expect("an answer"), Some(job));
}

pub async fn law_24_a_job_is_replaced_and_removed_only_at_the_version_expected(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_job(subject, "ban:1");
    store.commit_job(&first, None).await.expect("queued");
    let second = first.begun(clock.now());
    for wrong in [None, Some(2), Some(7)] {
        assert!(is_conflict(&store.commit_job(&second, wrong).await), "{wrong:?}");
    }
    store.commit_job(&second, Some(1)).await.expect("begun");
    assert_eq!(store.load_job(&first.id).await.expect("an answer"), Some(second.clone()));
    assert!(is_conflict(&store.remove_job(&first.id, 1).await));
    store.remove_job(&first.id, 2).await.expect("removed");
    assert!(is_conflict(&store.remove_job(&first.id, 2).await), "it is gone");
    assert_eq!(store.load_job(&first.id).await.expect("an answer"), None);
    assert!(is_conflict(&store.commit_job(&second, Some(1)).await), "what is removed stays so");
    store.commit_job(&first, None).await.expect("the id is free again");
}

pub async fn law_24_a_job_is_due_from_its_time_until_a_commit_moves_it(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let millisecond = Duration::from_millis(1);
    let first = new_job(subject, "ban:1");
    store.commit_job(&first, None).await.expect("queued");
    assert!(store.due_jobs(first.due - millisecond, 9, &HashSet::new()).await.expect("due").is_empty());
    for _ in 0..2 {
        assert_eq!(store.due_jobs(first.due, 9, &HashSet::new()).await.expect("due"), std::slice::from_ref(&first.id));
    }
    let moved = first.put_off(clock.now() + Duration::from_hours(1));
    store.commit_job(&moved, Some(1)).await.expect("put off");
    assert!(
        store.due_jobs(moved.due - millisecond, 9, &HashSet::new()).await.expect("due").is_empty(),
        "it has one wake-up"
    );
    assert_eq!(store.due_jobs(moved.due, 9, &HashSet::new()).await.expect("due"), std::slice::from_ref(&first.id));
    store.remove_job(&first.id, 2).await.expect("removed");
    assert!(store.due_jobs(moved.due, 9, &HashSet::new()).await.expect("due").is_empty());
}

pub async fn law_24_jobs_come_by_time_and_never_among_calls(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let mut ids = Vec::new();
    for number in 0..5 {
        let job = new_job(subject, &format!("webhook:{number}"));
        store.commit_job(&job, None).await.expect("queued");
        ids.push(job.id);
        clock.advance(Duration::from_secs(1));
    }
    let call = new_call(clock);
    create(&**store, &call).await.expect("written");
    let far = clock.now() + Duration::from_hours(1);
    assert_eq!(store.due_jobs(far, 9, &HashSet::new()).await.expect("due"), ids);
    assert_eq!(store.due_jobs(far, 2, &HashSet::new()).await.expect("due"), ids[..2]);
    assert_eq!(store.due(far, 9, &HashSet::new()).await.expect("due"), [call.id]);
}

pub async fn law_24_what_is_known_to_be_due_takes_no_other_ones_place(subject: &Subject) {
    const KNOWN: usize = 200;
    let Subject { store, clock, .. } = subject;
    // As a store on Redis spreads them: all of one partition.
    let of_one = |id: &String| digest(&SHA256, id.as_bytes()).as_ref()[0] == 7;
    let mut ids = (0..).map(|number| format!("webhook:{number}")).filter(of_one);
    let jobs: Vec<Job> = ids.by_ref().take(KNOWN + 2).map(|id| new_job(subject, &id)).collect();
    for (number, job) in jobs.iter().enumerate() {
        let late = job.due + Duration::from_millis(number as u64);
        store.commit_job(&Job { due: late, ..job.clone() }, None).await.expect("queued");
    }
    let known: HashSet<JobId> = jobs[..KNOWN].iter().map(|job| job.id.clone()).collect();
    let all: Vec<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
    let far = clock.now() + Duration::from_hours(1);
    assert_eq!(store.due_jobs(far, 9, &known).await.expect("due"), all);
    assert_eq!(store.due_jobs(far, 1, &known).await.expect("due"), all[..=KNOWN]);
    assert_eq!(store.due_jobs(far, 9, &HashSet::new()).await.expect("due"), all[..9]);
}

pub async fn law_24_of_many_that_expect_the_same_version_one_is_written(subject: &Subject) {
    const MANY: usize = 20;
    let first = new_job(subject, "ban:1");
    let created = at_once(MANY, |_| {
        let (store, job) = (subject.store.clone(), first.clone());
        async move { store.commit_job(&job, None).await.is_ok() }
    });
    assert_eq!(created.await.into_iter().filter(|done| *done).count(), 1);
    let next = first.begun(subject.clock.now());
    let begun = at_once(MANY, |_| {
        let (store, job) = (subject.store.clone(), next.clone());
        async move { store.commit_job(&job, Some(1)).await.is_ok() }
    });
    assert_eq!(begun.await.into_iter().filter(|done| *done).count(), 1);
}
