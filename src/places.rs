//! How many of something there may be at a time: all in all, and of one address or user.
//!
//! An eighth of all places is kept for those who must get through whatever the others do. What is done about whoever finds no place is left to
//! those who ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

/// One in so many places is kept.
const KEPT: usize = 8;

/// A limit that may not be set: as many as there are then.
pub fn or_any(most: Option<usize>) -> usize {
    most.unwrap_or(usize::MAX)
}

/// So many places. Clones share them.
#[derive(Debug, Clone)]
pub struct Places {
    most: Arc<AtomicUsize>,
    taken: Arc<AtomicUsize>,
    gauge: Gauge,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place(Places);

impl Places {
    /// None taken yet; `gauge` shows how many are.
    pub fn new(most: usize, gauge: Gauge) -> Self {
        Self { most: Arc::new(most.into()), taken: Arc::default(), gauge }
    }

    /// There are so many from now on. Where more are taken, none is until they have become fewer.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// A place that anybody may take.
    pub fn take(&self) -> Option<Place> {
        let most = self.most.load(Ordering::Relaxed);
        self.take_below(most - most / KEPT)
    }

    /// Any place: also one of those that are kept.
    pub fn take_kept(&self) -> Option<Place> {
        self.take_below(self.most.load(Ordering::Relaxed))
    }

    fn take_below(&self, most: usize) -> Option<Place> {
        let taken =
            self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < most).then_some(taken + 1));
        taken.ok()?;
        self.gauge.inc();
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}

/// So many places for each address or user. Only those that have one are remembered. Clones share them.
#[derive(Debug, Clone)]
pub struct PlacesPer<K> {
    most: Arc<AtomicUsize>,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// A place of an address or user, taken until this is dropped.
#[derive(Debug)]
pub struct PlaceOf<K: Hash + Eq>(PlacesPer<K>, K);

impl<K: Hash + Eq + Clone> PlacesPer<K> {
    /// None taken yet.
    pub fn new(most: usize) -> Self {
        Self { most: Arc::new(most.into()), taken: Arc::default() }
    }

    /// There are so many for each from now on.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// A place of this one that anybody may take.
    pub fn take(&self, of: K) -> Option<PlaceOf<K>> {
        let most = self.most.load(Ordering::Relaxed);
        self.take_below(of, most - most / KEPT)
    }

    /// Any place of this one: also one of those that are kept.
    pub fn take_kept(&self, of: K) -> Option<PlaceOf<K>> {
        self.take_below(of, self.most.load(Ordering::Relaxed))
    }

    fn take_below(&self, of: K, most: usize) -> Option<PlaceOf<K>> {
        let mut counts = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counts.get(&of).copied().unwrap_or_default();
        (taken < most).then(|| {
            counts.insert(of.clone(), taken + 1);
            PlaceOf(self.clone(), of)
        })
    }
}

impl<K: Hash + Eq> Drop for PlaceOf<K> {
    fn drop(&mut self) {
        let Self(places, of) = self;
        let mut counts = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(of) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(counts.remove(of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_is_kept_and_a_place_is_free_again_when_it_is_dropped() {
        let gauge = Gauge::default();
        let places = Places::new(16, gauge.clone());
        let mut taken: Vec<Place> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(taken.len(), 14);
        taken.extend(std::iter::from_fn(|| places.take_kept()));
        assert_eq!((taken.len(), gauge.get()), (16, 16));
        taken.truncate(13);
        assert!(places.take().is_some());
        drop(taken);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn how_many_there_are_may_change() {
        let (places, per) = (Places::new(16, Gauge::default()), PlacesPer::new(8));
        let mut taken: Vec<Place> = std::iter::from_fn(|| places.take()).collect();
        let taken_per: Vec<PlaceOf<u8>> = std::iter::from_fn(|| per.take(1)).collect();
        places.clone().set_most(8);
        per.set_most(or_any(None));
        assert!(places.take_kept().is_none() && taken_per.len() == 7 && per.take(1).is_some());
        taken.truncate(6);
        assert!(places.take().is_some() && places.take_kept().is_some(), "those that are taken count on");
    }

    #[test]
    fn few_places_are_all_for_anybody() {
        let places = Places::new(1, Gauge::default());
        let taken = places.take();
        assert!(taken.is_some() && places.take_kept().is_none());
    }

    #[test]
    fn each_address_has_its_own_and_none_is_remembered_that_has_none() {
        let places = PlacesPer::new(8);
        let (one, other) = (1, 2);
        let taken: Vec<PlaceOf<u8>> = std::iter::from_fn(|| places.take(one)).collect();
        assert_eq!(taken.len(), 7);
        let kept = places.take_kept(one);
        assert!(kept.is_some() && places.take_kept(one).is_none() && places.take(other).is_some());
        drop((taken, kept));
        assert!(places.taken.lock().expect("a lock").is_empty());
    }
}
