//! Where an instance stands still: before or after any of its requests to the store, until it may go on, or for good.

use std::fmt;
use std::sync::Arc;

use bellwire::store::StoreError;
use tokio::sync::watch;

/// What an instance that is dead gets for an answer.
pub const DEAD: &str = "this instance is dead";

/// Which side of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// A place where an instance can be held: beside one of its requests, which are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub side: Side,
    pub number: usize,
    pub request: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Before { "before" } else { "after" };
        write!(f, "{side} {}. {}", self.number, self.request)
    }
}

/// The places that an instance comes to, and how many of them it may pass.
pub struct Stops(watch::Sender<Way>);

struct Way {
    /// Where it came to, in order.
    reached: Vec<Place>,
    may_pass: usize,
    dead: bool,
}

impl Way {
    fn is_held(&self) -> bool {
        self.reached.len() > self.may_pass
    }
}

impl Stops {
    /// None: the way is free.
    pub fn none() -> Arc<Self> {
        Self::behind(usize::MAX)
    }

    /// One behind this many places, which are passed.
    pub fn behind(places: usize) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Way { reached: Vec::new(), may_pass: places, dead: false })))
    }

    /// Comes to a place, and passes it when it may. An instance that is dead gets an error for everything from here on.
    pub async fn pass(&self, side: Side, request: &'static str) -> Result<(), StoreError> {
        let mut count = 0;
        self.0.send_modify(|way| {
            let begun = way.reached.iter().filter(|place| place.side == Side::Before).count();
            let number = begun + usize::from(side == Side::Before);
            way.reached.push(Place { side, number, request });
            count = way.reached.len();
        });
        let mut way = self.0.subscribe();
        let way = way.wait_for(|way| way.dead || count <= way.may_pass).await.expect("it lives as long as this");
        if way.dead { Err(StoreError::Unavailable(DEAD.to_owned())) } else { Ok(()) }
    }

    /// Waits until it is held.
    pub async fn held(&self) {
        self.reached(Way::is_held).await;
    }

    /// Waits until it is held, or has come to this many places.
    pub async fn held_or_at(&self, places: usize) {
        self.reached(|way| way.is_held() || way.reached.len() >= places).await;
    }

    async fn reached(&self, is_there: impl FnMut(&Way) -> bool) {
        self.0.subscribe().wait_for(is_there).await.expect("it lives as long as this");
    }

    /// Where it came to, in order.
    pub fn places(&self) -> Vec<Place> {
        self.0.borrow().reached.clone()
    }

    /// Lets it pass this many places more than it has come to.
    pub fn pass_more(&self, places: usize) {
        self.0.send_modify(|way| way.may_pass = way.reached.len() - usize::from(way.is_held()) + places);
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.0.send_modify(|way| way.may_pass = usize::MAX);
    }

    /// It died where it stands: what it asked is not known to it, and nothing that it asks from here on is done.
    pub fn kill(&self) {
        self.0.send_modify(|way| way.dead = true);
    }
}
