//! What a step of the store takes of somebody's rates.

use crate::domain::{DeviceId, Limit, Rate, UserId};

/// One to be taken of a rate of the user whom a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Of what.
    pub limit: Limit,
    /// How often they may.
    pub rate: Rate,
    /// What it is counted for: a peer of theirs, or one of their devices; absent: everything.
    pub of: Option<String>,
}

impl Charge {
    /// Of a user's own rate, if there is one.
    pub fn of_user(limit: Limit, rate: Option<Rate>) -> Option<Self> {
        rate.map(|rate| Self { limit, rate, of: None })
    }

    /// Of a rate that a user has towards each peer, if there is one.
    pub fn of_pair(limit: Limit, rate: Option<Rate>, peer: &UserId) -> Option<Self> {
        rate.map(|rate| Self { limit, rate, of: Some(peer.to_string()) })
    }

    /// Of a rate that each device has, if there is one.
    pub fn of_device(limit: Limit, rate: Option<Rate>, device: &DeviceId) -> Option<Self> {
        rate.map(|rate| Self { limit, rate, of: Some(device.to_string()) })
    }
}
