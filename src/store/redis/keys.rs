//! Names of keys: partitions, their hash tags, and what lies in each.
//!
//! Everything that one script touches lies in one partition, whose tag keeps it in one slot of a cluster
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>). The partition of a call, user or token is
//! fixed for good. What is stored under a key is the business of the part that uses it.

use std::fmt::{Display, Write};
use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use crate::domain::{CallId, JobId, UserId};
use crate::store::sealing::TokenName;

/// How many partitions there are; a byte of a hash tells which.
pub(super) const PARTITIONS: usize = 256;
/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// Bytes that most names fit in: an id of a call, of a user, or the hash in one of a pair.
const USUAL_NAME: usize = 80;

/// Of each partition, the first number whose slot is in its share of the slots, so that every node of a cluster has as many
/// partitions as the others.
static TAGS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut tags = vec![None; PARTITIONS];
    for number in 0.. {
        let share = slot(number.to_string().as_bytes()) / (SLOTS / PARTITIONS);
        tags[share].get_or_insert(number);
        if tags.iter().all(Option::is_some) {
            break;
        }
    }
    tags.into_iter().flatten().collect()
});

/// The slot of a key by its tag, of a key without one by all of it.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.split(|byte| *byte == b'{').nth(1).and_then(|rest| rest.split(|byte| *byte == b'}').next());
    // There are fewer slots than that has numbers.
    u16::try_from(slot(tag.unwrap_or(key))).unwrap_or_default()
}

/// The slots of all partitions.
pub(super) fn slots() -> impl Iterator<Item = u16> {
    TAGS.iter().map(|tag| slot_of(tag.to_string().as_bytes()))
}

/// The slot of a tag: CRC-16/XMODEM, as the specification of the cluster has it.
fn slot(tag: &[u8]) -> usize {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    usize::from(crc) % SLOTS
}

/// The names of one gateway's keys.
pub(super) struct Keys {
    prefix: String,
    bases: Vec<String>,
}

/// The keys of a partition.
#[derive(Clone, Copy)]
pub(super) struct Partition<'a> {
    /// From 0.
    pub(super) number: usize,
    base: &'a str,
}

impl Keys {
    /// Keys that begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        let bases = TAGS.iter().map(|tag| format!("{prefix}:{{{tag}}}:")).collect();
        Self { prefix: prefix.to_owned(), bases }
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Every partition.
    pub(super) fn all(&self) -> impl Iterator<Item = Partition<'_>> {
        self.bases.iter().enumerate().map(|(number, base)| Partition { number, base })
    }

    /// The partition with a number.
    pub(super) fn partition(&self, number: usize) -> Partition<'_> {
        Partition { number, base: &self.bases[number] }
    }

    /// The partition of a call.
    pub(super) fn of_call(&self, id: CallId) -> Partition<'_> {
        self.of(id.as_uuid().as_bytes())
    }

    /// The partition of what is a user's.
    pub(super) fn of_user(&self, user: &UserId) -> Partition<'_> {
        self.of(user.as_str().as_bytes())
    }

    /// The partition of a job.
    pub(super) fn of_job(&self, id: &JobId) -> Partition<'_> {
        self.of(id.as_str().as_bytes())
    }

    /// The key under which the owner of a token stands. The token itself is in no key.
    pub(super) fn token(&self, token: &TokenName) -> String {
        self.partition(usize::from(token.0[0])).key("token", HEXLOWER.encode(&token.0))
    }

    fn of(&self, what: &[u8]) -> Partition<'_> {
        self.partition(usize::from(digest(&SHA256, what).as_ref()[0]))
    }
}

impl Partition<'_> {
    /// `kind` of something in this partition.
    pub(super) fn key(&self, kind: &str, name: impl Display) -> String {
        let mut key = String::with_capacity(self.base.len() + kind.len() + USUAL_NAME);
        // A text takes all that is written to it.
        let _ = write!(key, "{}{kind}:{name}", self.base);
        key
    }

    /// What there is one of in each partition.
    pub(super) fn one(&self, kind: &str) -> String {
        [self.base, kind].concat()
    }

    /// `kind` of a user and something else of theirs, of any length and letters.
    pub(super) fn pair(&self, kind: &str, user: &UserId, other: &str) -> String {
        // A hash has one length, so no two pairs share a name.
        self.key(kind, format_args!("{}:{}", Self::hash_of(other), user.as_str()))
    }

    /// What stands for something in the names of pairs.
    pub(super) fn hash_of(other: &str) -> String {
        HEXLOWER.encode(&digest(&SHA256, other.as_bytes()).as_ref()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3);
    }

    #[test]
    fn each_partition_has_its_share_of_the_slots() {
        for (partition, tag) in TAGS.iter().enumerate() {
            assert_eq!(slot(tag.to_string().as_bytes()) / 64, partition);
        }
    }

    #[test]
    fn a_key_lies_in_the_slot_of_its_tag() {
        assert_eq!(slot_of(b"bw:{123456789}:call:{1}"), 0x31C3);
        assert_eq!(slot_of(b"123456789"), 0x31C3);
    }

    #[test]
    fn names_are_fixed_for_good() {
        // Another name would hide what is stored.
        let keys = Keys::new("bw");
        let call = CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id");
        assert_eq!(keys.of_call(call).key("call", call), "bw:{246}:call:0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
        let user = UserId::new("ann").expect("a user id");
        assert_eq!(keys.of_user(&user).key("line", user.as_str()), "bw:{266}:line:ann");
        assert_eq!(keys.of_user(&user).pair("key", &user, "k"), "bw:{266}:key:8254c329a92850f6d539dd376f4816ee:ann");
    }
}
