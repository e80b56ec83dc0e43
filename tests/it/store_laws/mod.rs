//! The laws of `bellwire::store::Store`, each by its number, on every store.
//!
//! A law is a function of a [`Subject`]: a store that holds nothing yet, and its clock. `laws!` makes a test of each for one store, so
//! that another store is one more line, and a law that it breaks is named in the output.

mod acks;
mod calls;
mod contacts;
mod devices;
mod erasure;
pub mod fixture;
mod history;
mod jobs;
mod keys;
mod lines;
mod missed;
mod moderation;
mod only_embedded;
mod owners;
mod rates;
mod several;
mod usage;
mod waiting;
mod wake_ups;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config::store::EncryptionKey;
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use bellwire::store::redis::Redis;

use crate::support::redis::{PASSWORD, RedisCluster, RedisServer, USER, store_config};

/// An empty store under test.
struct Subject {
    store: Arc<dyn Store>,
    clock: Clock,
    /// What must live as long as the store: its folder, its server.
    _keep: Box<dyn Any + Send + Sync>,
}

async fn embedded_store() -> Option<Subject> {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_secs(10), clock.clone());
    Some(Subject { store: Arc::new(store.expect("an embedded store")), clock, _keep: Box::new(folder) })
}

async fn one_redis() -> Option<Subject> {
    Some(on_redis(&RedisServer::shared().await?.url(), &[]).await)
}

async fn redis_with_tls_and_user() -> Option<Subject> {
    let server = RedisServer::shared_with_tls_and_acl().await?;
    let ca = server.ca_file();
    let keys = [("username", USER), ("password", PASSWORD), ("ca_file", ca.to_str().expect("a path"))];
    Some(on_redis(&server.url(), &keys).await)
}

async fn redis_cluster() -> Option<Subject> {
    Some(on_redis(&RedisCluster::shared().await?.url(), &[]).await)
}

/// A store with keys of its own.
async fn on_redis(url: &str, keys: &[(&str, &str)]) -> Subject {
    let clock = Clock::system();
    let store = Redis::open(&store_config(url, keys), Duration::from_secs(10), clock.clone()).await;
    Subject { store: Arc::new(store.expect("a store on Redis")), clock, _keep: Box::new(()) }
}

/// Stores whose push tokens are encrypted: the laws are the same.
async fn encrypted_embedded_store() -> Option<Subject> {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_secs(10), clock.clone());
    let store = store.expect("an embedded store").sealed_by(&[EncryptionKey::Key([7; 32])]);
    Some(Subject { store: Arc::new(store), clock, _keep: Box::new(folder) })
}

async fn encrypted_redis() -> Option<Subject> {
    let clock = Clock::system();
    let config = store_config(&RedisServer::shared().await?.url(), &[]);
    let store = Redis::open(&config, Duration::from_secs(10), clock.clone()).await.expect("a store on Redis");
    let store = store.sealed_by(&[EncryptionKey::Key([7; 32])]);
    Some(Subject { store: Arc::new(store), clock, _keep: Box::new(()) })
}

macro_rules! laws {
    ($store:ident, $open:ident) => {
        laws! { @each $store, $open,
            calls: [
                law_01_what_was_committed_last_is_loaded,
                law_01_fields_of_a_newer_release_are_kept,
                law_02_a_new_call_is_written_only_where_nothing_stands,
                law_02_a_record_is_replaced_only_at_the_version_expected,
                law_02_of_many_commits_that_expect_the_same_one_is_written,
                law_03_new_events_are_announced_once_with_their_record,
                law_03_a_hidden_call_is_announced_to_its_caller_alone,
                law_03_what_is_refused_or_without_news_is_not_announced,
                law_03_of_many_racing_commits_each_event_is_announced_once,
                law_04_a_tombstone_is_written_only_where_nothing_stands,
                law_04_of_a_burial_and_a_commit_at_once_one_wins,
                law_05_only_the_version_named_is_removed,
            ],
            wake_ups: [
                law_06_a_call_is_due_from_its_time_until_a_commit_moves_it,
                law_06_urgent_calls_come_first_then_by_time_up_to_the_limit,
                law_06_ended_calls_wait_behind_the_urgent_ones,
                law_06_what_is_known_to_be_due_takes_no_other_ones_place,
            ],
            lines: [
                law_07_claims_are_returned_in_the_order_in_which_they_were_made,
                law_07_a_claim_made_again_changes_nothing,
                law_07_a_claim_past_its_time_is_gone,
                law_07_of_many_that_claim_each_sees_all_before_it,
                law_10_ringing_claims_and_reads_what_an_invite_must_know,
                law_10_a_blocked_caller_claims_nothing_and_is_not_recorded,
                law_11_a_freed_line_keeps_its_other_claims,
                law_26_a_line_names_a_live_call_that_the_history_names_no_more,
                law_35_a_crowded_line_is_not_claimed_but_told_of,
                law_35_of_many_that_ring_at_once_few_claim,
            ],
            keys: [
                law_08_a_key_belongs_to_the_first_call,
                law_08_a_key_gives_way_to_its_own_call_and_to_the_replacing_one,
                law_08_a_key_is_free_again_after_its_time,
                law_08_keys_of_two_users_do_not_meet,
                law_08_of_many_that_take_a_key_one_gets_it,
            ],
            history: [
                law_09_an_outgoing_call_is_the_newest_of_the_history,
                law_09_calling_back_counts_missed_calls_from_zero,
                law_12_the_history_keeps_the_newest,
                law_12_the_history_is_read_in_pages,
                law_16_a_missed_call_counts_once,
                law_16_a_caller_who_does_not_give_up_is_counted_on,
                law_16_of_many_counted_at_once_each_has_its_own_number,
            ],
            devices: [
                law_13_the_device_registered_longest_ago_gives_way,
                law_13_a_refreshed_device_takes_no_second_place,
                law_14_a_token_moves_from_user_to_user_and_takes_the_device_away,
                law_14_a_token_moves_between_devices_of_a_user,
                law_14_a_token_given_up_is_free,
                law_14_of_many_that_register_a_token_one_keeps_it,
                law_33_a_token_leads_to_the_device_that_has_it,
                law_15_a_dead_token_is_dropped_only_where_it_stands,
                law_15_a_token_registered_again_since_stays,
                law_15_a_device_without_tokens_is_removed,
                devices_are_listed_by_id_and_removed_one_by_one,
                an_environment_is_noted_at_its_device_alone,
            ],
            acks: [
                law_21_a_note_stays_when_the_device_registers_again,
                law_21_a_note_goes_with_the_device_and_with_its_app,
                law_21_of_notes_and_registrations_at_once_none_is_lost,
            ],
            missed: [
                law_22_a_caller_who_calls_on_is_told_of_now_and_then,
                law_22_a_thousand_callers_are_told_of_thirty_times_an_hour,
                law_22_of_many_missed_at_once_one_tells_and_one_will,
                law_22_one_caller_leaves_room_for_others,
                law_22_what_was_forgotten_is_not_told,
                law_22_a_teller_that_never_comes_back_keeps_nobody_silent_for_long,
            ],
            rates: [
                law_23_as_many_as_the_rate_has_come_at_once_and_then_one_for_each_interval,
                law_23_what_is_too_far_ahead_to_be_of_the_rate_counts_for_nothing,
                law_23_what_is_refused_changes_nothing,
                law_23_a_call_that_is_known_is_not_charged,
                law_23_a_blocked_caller_takes_nothing_and_is_refused_as_any_other,
                law_23_a_refused_ring_claims_nothing_and_is_in_no_history,
                law_23_users_pairs_and_limits_do_not_meet,
                law_23_of_many_at_once_as_many_as_may_are_admitted,
                law_23_a_banned_user_is_neither_charged_nor_limited,
                law_23_of_several_that_are_used_up_the_longest_wait_is_told,
            ],
            jobs: [
                law_24_a_job_is_created_only_where_nothing_stands,
                law_24_what_is_known_to_be_due_takes_no_other_ones_place,
                law_24_a_job_is_replaced_and_removed_only_at_the_version_expected,
                law_24_a_job_is_due_from_its_time_until_a_commit_moves_it,
                law_24_jobs_come_by_time_and_never_among_calls,
                law_24_of_many_that_expect_the_same_version_one_is_written,
            ],
            waiting: [
                law_34_calls_count_while_they_are_urgent_and_jobs_until_they_are_gone,
            ],
            usage: [
                law_25_a_call_is_added_once,
                law_25_days_are_added_up_and_read_in_order,
                law_25_of_many_calls_at_once_each_is_added_once,
                law_25_a_day_is_forgotten_after_its_time,
            ],
            erasure: [
                law_27_calls_that_name_a_user_are_found_also_those_that_are_hidden_from_them,
                law_28_what_is_kept_of_a_user_is_forgotten_and_what_others_have_stays,
                law_28_a_ban_that_is_over_is_forgotten,
                law_29_a_device_that_is_not_registered_again_goes_in_time,
            ],
            contacts: [
                law_30_a_claim_that_has_lapsed_is_not_made,
                law_30_a_call_without_a_key_is_charged_once_before_its_claim_is_made,
                law_31_where_contacts_alone_are_admitted_a_stranger_changes_nothing,
                law_32_contacts_are_listed_in_order_and_by_user,
                law_32_of_many_that_are_added_at_once_as_many_as_may_are,
            ],
            moderation: [
                law_17_a_ban_ends_at_its_time,
                law_17_a_ban_is_replaced_and_lifted,
                law_19_a_banned_user_opens_no_line,
                law_19_a_banned_callee_is_claimed_as_any_other,
                law_19_a_claim_sees_the_ban_or_is_seen,
                law_20_who_may_not_read_on_is_announced,
                blocks_are_kept_in_order_and_by_user,
                users_with_similar_names_stay_apart,
            ],
        }
    };
    (@each $store:ident, $open:ident, $($part:ident: [$($law:ident,)*],)*) => {
        mod $store {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let Some(subject) = super::$open().await else { return };
                    super::$part::$law(&subject).await;
                }
            )*)*
        }
    };
}

laws!(embedded, embedded_store);
laws!(redis, one_redis);
laws!(redis_with_tls, redis_with_tls_and_user);
laws!(cluster, redis_cluster);
laws!(embedded_encrypted, encrypted_embedded_store);
laws!(redis_encrypted, encrypted_redis);
