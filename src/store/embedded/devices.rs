//! Devices, and whose each push token is. They are handled as they are stored, with their tokens sealed.

use std::sync::Arc;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::expiry::{self, Expiring};
use crate::domain::ids::IdError;
use crate::domain::{Device, DeviceId, Environment, Heard, PushToken, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::codec::{read_json, write_json};
use crate::store::sealing::{Sealing, TokenName, token_names};

/// By user: their devices as JSON, in the order of their ids.
pub(super) const DEVICES: TableDefinition<&str, &[u8]> = TableDefinition::new("devices");
/// By a token's SHA-256: the user and the device that own it.
pub(super) const TOKENS: TableDefinition<&[u8], (&str, &str)> = TableDefinition::new("tokens");

const NONE: &[u8] = b"[]";

pub(super) fn decode(json: &[u8]) -> Result<Vec<Device>, StoreError> {
    read_json("devices", json)
}

/// A user's devices as they are stored.
pub(super) fn encoded(txn: &WriteTransaction, user: &UserId) -> Result<Vec<u8>, StoreError> {
    let devices = txn.open_table(DEVICES)?;
    let json = devices.get(user.as_str())?;
    Ok(json.map_or_else(|| NONE.to_vec(), |json| json.value().to_vec()))
}

pub(super) fn list(txn: &ReadTransaction, user: &UserId) -> Result<Vec<Device>, StoreError> {
    let devices = txn.open_table(DEVICES)?;
    devices.get(user.as_str())?.map_or_else(|| Ok(Vec::new()), |json| decode(json.value()))
}

pub(super) fn holder(txn: &ReadTransaction, token: &PushToken) -> Result<Option<(UserId, Device)>, StoreError> {
    let tokens = txn.open_table(TOKENS)?;
    let Some(row) = tokens.get(TokenName::of(token).0.as_slice())? else { return Ok(None) };
    let (owner, id) = row.value();
    let owner = UserId::new(owner).map_err(|error| StoreError::Corrupt(format!("owner of a token: {error}")))?;
    let device = list(txn, &owner)?.into_iter().find(|device| device.id.as_str() == id);
    Ok(device.map(|device| (owner, device)))
}

/// How devices are stored: sealed, and kept for so long after their last registration.
pub(super) struct Keeper {
    pub(super) sealing: Arc<Sealing>,
    pub(super) kept: Duration,
}

pub(super) fn put(
    txn: &WriteTransaction,
    keeper: &Keeper,
    user: &UserId,
    mut device: Device,
    most: usize,
) -> Result<Vec<(UserId, DeviceId)>, StoreError> {
    let others = other_owners(txn, user, &device)?;
    // What cannot be read must refuse all of this, so it is read before anything is written.
    for owner in others.iter().map(|(owner, _)| owner).chain([user]) {
        read(txn, owner)?;
    }
    let mut gone = Vec::new();
    for (owner, id) in others {
        if remove(txn, keeper, &owner, &id)? {
            gone.push((owner, id));
        }
    }
    let mut devices = read(txn, user)?;
    if let Some(place) = devices.iter().position(|other| other.id == device.id) {
        let earlier = devices.remove(place);
        let_go(txn, keeper, user, &earlier)?;
        device.keep_acks(&earlier);
    }
    while devices.len() >= most.max(1) {
        let Some(oldest) = (0..devices.len()).min_by_key(|place| devices[*place].registered_at) else { break };
        let oldest = devices.remove(oldest);
        let_go(txn, keeper, user, &oldest)?;
        gone.push((user.clone(), oldest.id));
    }
    own(txn, user, &device)?;
    let over = device.registered_at + keeper.kept;
    expiry::note(txn, over, Expiring::Device, user.as_str(), &registration(&device))?;
    let place = devices.partition_point(|other| other.id < device.id);
    devices.insert(place, device);
    write(txn, keeper, user, devices)?;
    Ok(gone)
}

pub(super) fn remove(
    txn: &WriteTransaction,
    keeper: &Keeper,
    user: &UserId,
    id: &DeviceId,
) -> Result<bool, StoreError> {
    let mut devices = read(txn, user)?;
    let Some(place) = devices.iter().position(|device| device.id == *id) else { return Ok(false) };
    let_go(txn, keeper, user, &devices.remove(place))?;
    write(txn, keeper, user, devices)?;
    Ok(true)
}

pub(super) fn drop_token(
    txn: &WriteTransaction,
    keeper: &Keeper,
    user: &UserId,
    id: &DeviceId,
    token: &PushToken,
    since: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let mut devices = read(txn, user)?;
    let newer = |device: &Device| since.is_some_and(|since| device.registered_at > since);
    let Some(place) = devices.iter().position(|device| device.id == *id && !newer(device)) else { return Ok(false) };
    let device = &mut devices[place];
    keeper.sealing.open(user, device);
    if !device.drop_token(token) {
        return Ok(false);
    }
    if device.tokens().next().is_none() {
        let_go(txn, keeper, user, &devices.remove(place))?;
    }
    txn.open_table(TOKENS)?.remove(TokenName::of(token).0.as_slice())?;
    write(txn, keeper, user, devices)?;
    Ok(true)
}

pub(super) fn set_environment(
    txn: &WriteTransaction,
    keeper: &Keeper,
    user: &UserId,
    id: &DeviceId,
    environment: Environment,
) -> Result<(), StoreError> {
    let mut devices = read(txn, user)?;
    match devices.iter_mut().find(|device| device.id == *id) {
        Some(device) => device.environment = environment,
        None => return Ok(()),
    }
    write(txn, keeper, user, devices)
}

pub(super) fn note_heard(
    txn: &WriteTransaction,
    keeper: &Keeper,
    user: &UserId,
    id: &DeviceId,
    heard: Heard,
) -> Result<(), StoreError> {
    let mut devices = read(txn, user)?;
    let device = devices.iter_mut().find(|device| device.id == *id);
    if device.is_some_and(|device| device.acks.note(heard)) { write(txn, keeper, user, devices) } else { Ok(()) }
}

/// What names one registration of a device, and no later one of it.
fn registration(device: &Device) -> String {
    format!("{} {}", device.id, device.registered_at.as_millis())
}

/// Forgets a device whose time is over, unless it was registered again since.
pub(super) fn forget(txn: &WriteTransaction, user: &str, over: &str) -> Result<(), StoreError> {
    let Ok(user) = UserId::new(user) else { return Ok(()) };
    let mut devices = read(txn, &user)?;
    let Some(place) = devices.iter().position(|device| registration(device) == over) else { return Ok(()) };
    disown(txn, &devices.remove(place))?;
    store(txn, &user, &devices)
}

fn read(txn: &WriteTransaction, user: &UserId) -> Result<Vec<Device>, StoreError> {
    let devices = txn.open_table(DEVICES)?;
    devices.get(user.as_str())?.map_or_else(|| Ok(Vec::new()), |json| decode(json.value()))
}

/// Writes a user's devices; those that were stored plain are sealed now.
fn write(txn: &WriteTransaction, keeper: &Keeper, user: &UserId, mut devices: Vec<Device>) -> Result<(), StoreError> {
    for device in &mut devices {
        keeper.sealing.seal(user, device)?;
    }
    store(txn, user, &devices)
}

fn store(txn: &WriteTransaction, user: &UserId, devices: &[Device]) -> Result<(), StoreError> {
    let mut table = txn.open_table(DEVICES)?;
    if devices.is_empty() {
        table.remove(user.as_str())?;
    } else {
        table.insert(user.as_str(), write_json("devices", &devices)?.as_slice())?;
    }
    Ok(())
}

/// The devices that hold a token of this one.
fn other_owners(txn: &WriteTransaction, user: &UserId, device: &Device) -> Result<Vec<(UserId, DeviceId)>, StoreError> {
    let unreadable = |error: IdError| StoreError::Corrupt(format!("owner of a token: {error}"));
    let tokens = txn.open_table(TOKENS)?;
    let mut owners = Vec::new();
    for name in token_names(device) {
        let Some(row) = tokens.get(name.0.as_slice())? else { continue };
        let (owner, id) = row.value();
        if (owner, id) != (user.as_str(), device.id.as_str()) {
            owners.push((UserId::new(owner).map_err(unreadable)?, DeviceId::new(id).map_err(unreadable)?));
        }
    }
    Ok(owners)
}

fn own(txn: &WriteTransaction, user: &UserId, device: &Device) -> Result<(), StoreError> {
    let mut tokens = txn.open_table(TOKENS)?;
    for name in token_names(device) {
        tokens.insert(name.0.as_slice(), (user.as_str(), device.id.as_str()))?;
    }
    Ok(())
}

/// A registration is over before its time: nothing is left to look at then, however often an app registers.
fn let_go(txn: &WriteTransaction, keeper: &Keeper, user: &UserId, device: &Device) -> Result<(), StoreError> {
    let over = device.registered_at + keeper.kept;
    expiry::forgo(txn, over, Expiring::Device, user.as_str(), &registration(device))?;
    disown(txn, device)
}

fn disown(txn: &WriteTransaction, device: &Device) -> Result<(), StoreError> {
    let mut tokens = txn.open_table(TOKENS)?;
    for name in token_names(device) {
        tokens.remove(name.0.as_slice())?;
    }
    Ok(())
}
