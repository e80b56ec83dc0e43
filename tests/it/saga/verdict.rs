//! What must be true when everything has settled, whoever stood still where: told from the records, from what people were
//! told, from the attempts that were begun, and from calling everybody once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::{Call, CallId, EndReason, State, Timestamp, UserId};
use bellwire::engine::{Asker, EngineError};
use bellwire::store::Slot;

use super::scene::{Said, Scene, in_short, invite, on_phone, rings};

/// Past the end of every ring.
const RING_IS_OVER: Duration = Duration::from_mins(1);

/// What was found, and what is wrong with it.
pub struct Verdict {
    pub calls: BTreeMap<CallId, Call>,
    /// Who has had anything to do with a call.
    concerned: BTreeSet<UserId>,
    pub problems: Vec<String>,
}

impl Verdict {
    /// Looks at a scene where nothing is under way any more, and ends its calls. `dead`: an instance died, and what its commits
    /// asked for may not have been begun.
    pub async fn on(scene: &mut Scene<'_>, said: &[Said], dead: bool) -> Self {
        let mut verdict = Self { calls: BTreeMap::new(), concerned: BTreeSet::new(), problems: Vec::new() };
        verdict.load(scene).await;
        verdict.nothing_stands_on_a_tombstone(scene);
        verdict.answers_are_true(scene, said).await;
        if !dead {
            verdict.who_is_banned_is_in_no_call(scene).await;
        }
        verdict.everybody_ends(scene).await;
        verdict.nothing_rings_twice();
        verdict.who_is_busy_has_a_call();
        verdict.each_ring_is_begun_once(scene, dead);
        verdict.same_key_same_call(scene, said).await;
        verdict.lines_are_free(scene).await;
        verdict
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Every call of these people.
    async fn load(&mut self, scene: &Scene<'_>) {
        let store = scene.ground.store();
        for user in scene.cast.all() {
            for id in store.history(user, None, 100).await.expect("a history") {
                self.concerned.insert(user.clone());
                if let Slot::Call(call) = store.load(id).await.expect("a slot") {
                    self.calls.insert(id, *call);
                }
            }
        }
    }

    fn nothing_stands_on_a_tombstone(&mut self, scene: &Scene<'_>) {
        let calls = scene.buried.iter().filter_map(|id| self.calls.get(id));
        let problems: Vec<String> = calls.map(|call| format!("its id was buried: {}", in_short(call))).collect();
        self.problems.extend(problems);
    }

    /// Who was told of a call has it, and who was refused was refused for a reason.
    async fn answers_are_true(&mut self, scene: &Scene<'_>, said: &[Said]) {
        for told in said {
            let known = |id: &CallId| self.calls.get(id).filter(|call| call.is_visible_to(&told.from));
            let is_true = match &told.answer {
                Ok(call) => {
                    let theirs = call.caller.id == told.from && call.callee.id == told.to;
                    let glare = call.caller.id == told.to && call.callee.id == told.from && call.answered_at.is_some();
                    known(&call.id).is_some() && (theirs || glare)
                }
                Err(EngineError::CallerBusy(id)) => known(id).is_some(),
                Err(EngineError::Banned) => scene.aside.engine.ban_of(&told.from).await.expect("known").is_some(),
                Err(_) => false,
            };
            if !is_true {
                self.problem(format!("what was said is not so: {told}"));
            }
        }
    }

    async fn who_is_banned_is_in_no_call(&mut self, scene: &Scene<'_>) {
        for user in [&scene.cast.ann, &scene.cast.bob] {
            if scene.aside.engine.ban_of(user).await.expect("known").is_some() {
                let live = self.calls.values().filter(|call| !call.is_ended() && call.is_visible_to(user));
                let problems: Vec<String> = live.map(|call| format!("{user} is banned: {}", in_short(call))).collect();
                self.problems.extend(problems);
            }
        }
    }

    /// Answered calls are hung up; the others end when their ring does.
    async fn everybody_ends(&mut self, scene: &Scene<'_>) {
        let engine = &scene.aside.engine;
        let live = || self.calls.values().filter(|call| !call.is_ended());
        for call in live().filter(|call| call.state == State::Active) {
            engine.hang_up(call.id, &Asker::Service).await.expect("hung up");
        }
        let ringing: Vec<CallId> = live().filter(|call| rings(call)).map(|call| call.id).collect();
        if !ringing.is_empty() {
            scene.ground.clock.advance(RING_IS_OVER);
        }
        for id in ringing {
            engine.wake(id).await.expect("woken");
        }
        self.load(scene).await;
        let endless: Vec<String> = self.calls.values().filter(|call| !call.is_ended()).map(in_short).collect();
        for call in endless {
            self.problem(format!("it does not end: {call}"));
        }
    }

    /// Nobody rings for two calls at a time or while they talk, and nobody calls two at a time.
    fn nothing_rings_twice(&mut self) {
        let mut problems = Vec::new();
        let real: Vec<&Call> = self.calls.values().filter(|call| was_real(call)).collect();
        for (place, one) in real.iter().enumerate() {
            for other in &real[place + 1..] {
                let both = || format!("{} and {}", in_short(one), in_short(other));
                let seen = !one.hidden && !other.hidden;
                if seen && one.callee.id == other.callee.id && overlap(ringing(one), ringing(other)) {
                    problems.push(format!("both ring: {}", both()));
                }
                if one.caller.id == other.caller.id && overlap(living(one), living(other)) {
                    problems.push(format!("one user makes both: {}", both()));
                }
                for (one, other) in [(one, other), (other, one)] {
                    let theirs = other.is_visible_to(&one.callee.id) && !one.hidden;
                    let talk = other.answered_at.map(|at| (at, living(other).1));
                    if theirs && talk.is_some_and(|(from, to)| from < one.created_at && one.created_at < to) {
                        problems.push(format!("the first rings while the second is talked in: {}", both()));
                    }
                }
            }
        }
        self.problems.extend(problems);
    }

    /// A call that ended as busy met another one of its callee.
    fn who_is_busy_has_a_call(&mut self) {
        let busy = self.calls.values().filter(|call| call.end_reason == Some(EndReason::Busy));
        let groundless = busy.filter(|busy| {
            let callee = &busy.callee.id;
            let before = |call: &&Call| call.is_visible_to(callee) && call.created_at <= busy.created_at;
            !self.calls.values().filter(|call| was_real(call)).any(|call| before(&call))
        });
        let problems: Vec<String> = groundless.map(|call| format!("busy without a call: {}", in_short(call))).collect();
        self.problems.extend(problems);
    }

    /// The first attempt of each ring was begun by one instance: by the one that committed it.
    fn each_ring_is_begun_once(&mut self, scene: &mut Scene<'_>, dead: bool) {
        let mut begun: BTreeMap<CallId, usize> = BTreeMap::new();
        let others = scene.others.iter_mut();
        for instance in [&mut scene.here, &mut scene.there, &mut scene.aside].into_iter().chain(others) {
            while let Ok(next) = instance.follow_ups.begun.try_recv() {
                let firsts = next.tasks.iter().filter(|task| task.kind.is_ring() && task.attempt == 1);
                *begun.entry(next.call.id).or_default() += firsts.count();
            }
        }
        let mut problems = Vec::new();
        for call in self.calls.values() {
            let count = begun.remove(&call.id).unwrap_or_default();
            let wanted = usize::from(was_real(call) && !call.hidden);
            if count != wanted && !(dead && count == 0) {
                problems.push(format!("its ring was begun {count} times: {}", in_short(call)));
            }
        }
        problems.extend(begun.keys().map(|id| format!("a ring was begun for {id}, which is none of their calls")));
        self.problems.extend(problems);
    }

    /// Who sends an invite again is told of the call that they were told of before.
    async fn same_key_same_call(&mut self, scene: &Scene<'_>, said: &[Said]) {
        self.everybody_may_call(scene).await;
        let mut by_key: BTreeMap<(&UserId, &str), CallId> = BTreeMap::new();
        for told in said {
            let (Some(key), Some(call)) = (told.key, told.call()) else { continue };
            let first = *by_key.entry((&told.from, key)).or_insert(call.id);
            if first != call.id {
                self.problem(format!("the same key meant {first}, and then {told}"));
            }
            let again = invite("again", &scene.aside.engine, &told.from, &told.to, Some(key)).await;
            if again.call().map(|again| again.id) != Some(call.id) {
                self.problem(format!("the same key means another call after the end: {told}, {again}"));
            }
        }
    }

    async fn everybody_may_call(&self, scene: &Scene<'_>) {
        let (engine, cast) = (&scene.aside.engine, &scene.cast);
        for user in [&cast.ann, &cast.bob] {
            engine.lift_ban(user).await.expect("lifted");
        }
        engine.set_block(&cast.bob, &cast.ann, false).await.expect("no block");
    }

    /// Each can be called and can call, although nobody has carried out what the ends of the calls asked for.
    async fn lines_are_free(&mut self, scene: &Scene<'_>) {
        let cast = &scene.cast;
        let engine = &scene.there.engine;
        scene.there.stops.release();
        for (from, to) in
            [(&cast.ann, &cast.bob), (&cast.bob, &cast.ann), (&cast.cid, &cast.dan), (&cast.dan, &cast.cid)]
        {
            if self.concerned.is_disjoint(&[from.clone(), to.clone()].into()) {
                continue;
            }
            let fresh = invite("a fresh one", engine, from, to, None).await;
            match fresh.call() {
                Some(call) if rings(call) => {
                    engine.cancel(call.id, &on_phone(from)).await.expect("cancelled");
                }
                _ => self.problem(format!("a line is stuck: {fresh}")),
            }
        }
    }
}

/// Whether it was more than a record of an invite that reached nobody.
fn was_real(call: &Call) -> bool {
    !matches!(call.end_reason, Some(EndReason::Busy | EndReason::Unreachable))
}

type Span = (Timestamp, Timestamp);

fn overlap(one: Span, other: Span) -> bool {
    one.0 < other.1 && other.0 < one.1
}

fn living(call: &Call) -> Span {
    (call.created_at, call.ended_at.unwrap_or(call.ring_until))
}

fn ringing(call: &Call) -> Span {
    let (from, to) = living(call);
    (from, call.answered_at.unwrap_or(to))
}

/// What was said, in lines.
pub fn in_lines(said: &[Said]) -> String {
    said.iter().map(|told| format!("\n    {told}")).collect::<Vec<_>>().concat()
}

/// As the call stands in the end.
pub fn ended_as(verdict: &Verdict, call: &Arc<Call>) -> Option<EndReason> {
    verdict.calls.get(&call.id).and_then(|call| call.end_reason)
}
