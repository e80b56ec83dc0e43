//! Law 34: how much waits.

use bellwire::domain::job::Mark;
use bellwire::domain::{Input, Job, JobId, Work};
use bellwire::store::Waiting;

use super::Subject;
use super::fixture::{after, create, new_call, replace};

pub async fn law_34_calls_count_while_they_are_urgent_and_jobs_until_they_are_gone(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let waiting = async || store.waiting().await.expect("counted");
    assert_eq!(waiting().await, Waiting::default());
    let calls: Vec<_> = (0..3).map(|_| new_call(clock)).collect();
    for call in &calls {
        create(&**store, call).await.expect("written");
    }
    let job = |number: u32| {
        let (id, now) = (JobId::new(format!("job:{number}")).expect("an id"), clock.now());
        Job::new(id, Work::UsageCheck(Mark::default()), now, now)
    };
    for number in 0..5 {
        store.commit_job(&job(number), None).await.expect("queued");
    }
    assert_eq!(waiting().await, Waiting { calls: 3, jobs: 5 });
    // Over, with a task open and with none.
    let with_tasks = after(&calls[0], &Input::Cancel, clock.now());
    assert!(with_tasks.wake_up().urgent);
    replace(&**store, &calls[0], &with_tasks).await.expect("written");
    let mut without = after(&calls[1], &Input::Cancel, clock.now());
    without.tasks.clear();
    replace(&**store, &calls[1], &without).await.expect("written");
    store.remove_job(&job(2).id, 1).await.expect("removed");
    assert_eq!(waiting().await, Waiting { calls: 2, jobs: 4 });
    store.remove(calls[2].id, calls[2].version).await.expect("removed");
    assert_eq!(waiting().await, Waiting { calls: 1, jobs: 4 });
}
