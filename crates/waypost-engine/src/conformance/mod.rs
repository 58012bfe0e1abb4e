//! The suite that every engine must pass: tests for each sentence of the contracts
//! in [`crate::store`] and [`crate::bus`].
//!
//! An engine's tests call `conformance!(Factory::new())` once, which makes a
//! `#[tokio::test]` of every case. Easy to break: a case may ask only for what the
//! contract promises, never for what the embedded engine happens to do.

#![expect(
    clippy::unwrap_used,
    reason = "test code, also when another crate's tests run it"
)]
#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "test code takes the whole kit")
)]

pub mod audit;
pub mod bus;
pub mod chains;
pub mod directory;
pub mod events;
pub mod federation;
pub mod idempotency;
pub mod items;
pub mod jobs;
pub mod kit;
pub mod lists;
pub mod races;
pub mod responses;
pub mod retention;
pub mod rewinds;
pub mod transactions;

use async_trait::async_trait;

use crate::Engine;

/// Makes the engine under test. Each case has its own factory and uses it once.
#[async_trait]
pub trait Factory: Send + Sync {
    /// An empty engine.
    async fn fresh(&self) -> Engine;
    /// Closes `engine` and opens the same data again. `None` if the engine cannot
    /// close its data (another server keeps it).
    async fn reopen(&self, engine: Engine) -> Option<Engine>;
}

/// Makes a test of every case, in a module for each file. Each test evaluates
/// `$factory`, an expression for a new [`Factory`], once.
#[macro_export]
macro_rules! conformance {
    ($factory:expr) => {
        $crate::conformance_cases! { $factory,
            transactions: [
                what_resolved_survives_reopening,
                a_failing_call_disturbs_nobody,
                dropping_the_future_does_no_harm,
                reads_see_what_resolved_before,
                a_closed_store_is_unavailable,
                a_working_store_says_so,
                a_store_knows_its_size,
            ],
            directory: [
                the_organization_is_made_once,
                every_change_raises_the_version_and_writes_its_event,
                creating_puts_the_new_id_into_the_event,
                a_failed_change_leaves_nothing,
                archiving_twice_changes_nothing,
                an_archived_project_refuses_changes,
                an_account_and_its_key_are_one_change,
                deleting_an_account_takes_its_keys_and_rules,
                another_projects_rows_are_not_found,
                a_key_needs_its_owner_and_its_own_hash,
                a_key_is_changed_while_it_lasts,
                touching_keys_keeps_the_newest_time,
                patches_change_only_what_they_hold,
                the_directory_is_loaded_at_one_moment,
                revoking_twice_changes_nothing,
                expired_revocations_are_not_loaded,
                signing_keys_are_kept_by_kid,
            ],
            federation: [
                provider_names_are_unique,
                providers_are_limited,
                the_trust_epoch_moves_with_the_trust,
                a_provider_with_rules_stays,
                a_rule_needs_provider_and_account,
                one_rule_for_a_provider_and_account,
                rule_names_are_unique_within_the_provider,
                rules_are_limited,
                rules_are_found_through_their_provider,
            ],
            lists: [
                pages_walk_the_whole_list_both_ways,
                before_gives_the_rows_right_before,
                pages_are_stable_under_inserts,
                a_cursor_outlives_its_row,
                every_list_pages,
                archived_projects_are_listed_on_request,
            ],
            audit: [
                events_come_back_whole,
                a_descending_page_has_the_newest_first,
                filters_select,
                appended_events_are_all_there,
                reading_on_misses_no_event,
            ],
            responses: [
                a_background_response_is_stored_whole,
                an_id_is_used_once,
                the_queue_is_limited,
                a_foreground_response_is_complete,
                another_projects_response_is_not_found,
                input_items_page_in_order,
                a_running_response_is_not_deleted,
                deleting_removes_everything,
                cancelling_ends_a_background_response,
                cancelling_again_changes_nothing,
                a_foreground_response_is_not_cancelled,
                an_approval_is_consumed_once,
            ],
            items: [
                items_are_found_in_the_order_asked_for,
                items_of_a_background_response_are_found_once_they_are_final,
                items_of_others_are_not_found,
                the_newest_item_of_an_id_counts,
                items_go_with_their_response,
                referenced_items_are_limited,
            ],
            idempotency: [
                an_idempotency_key_creates_one_response,
                idempotency_keys_are_the_projects_own,
                a_failed_create_takes_no_idempotency_key,
                an_idempotency_key_outlives_its_response,
            ],
            chains: [
                a_chain_is_loaded_oldest_first,
                a_chain_with_a_missing_turn_is_not_found,
                a_chain_is_limited,
            ],
            events: [
                a_log_is_read_from_any_number,
                a_page_is_bounded_and_never_empty,
                reading_past_the_end_is_empty,
                a_log_is_read_while_it_grows,
            ],
            jobs: [
                the_oldest_are_claimed_first,
                a_claim_may_be_of_old_jobs_only,
                a_claim_starts_the_response,
                a_job_is_claimed_once,
                an_ended_lease_is_taken_over,
                an_ended_lease_writes_nothing,
                a_heartbeat_extends_and_names_good_leases,
                a_released_job_comes_back_after_its_delay,
                a_release_counts_or_not,
                ready_queues_are_named,
                jobs_are_counted,
                appending_again_is_accepted,
                what_does_not_fit_is_refused,
                finishing_ends_the_job,
                finishing_again_is_accepted,
                a_deleted_response_fences_its_worker,
                a_checkpoint_outlives_its_claim,
            ],
            rewinds: [
                what_no_reader_was_given_is_taken_back,
                what_a_reader_was_given_stays,
                first_events_count_as_given,
                a_mark_belongs_to_one_state_of_the_log,
                a_log_that_has_ended_keeps_no_marks,
                a_rewind_needs_a_good_lease,
                a_rewind_to_the_end_changes_nothing,
                readers_and_rewinds_race,
            ],
            races: [
                one_of_finish_and_cancel_wins,
                racing_epochs_number_without_gaps,
                racing_claims_share_nothing,
                racing_creates_of_one_id,
                racing_changes_of_one_name,
            ],
            retention: [
                logs_are_dropped_after_their_time,
                responses_are_removed_after_their_time,
                what_runs_is_never_removed,
                expired_revocations_are_swept,
                sweeping_goes_on_until_done,
                the_audit_log_is_kept_unless_it_has_a_time,
            ],
            bus: [
                a_watcher_hears_what_comes_after,
                a_hint_wakes_every_watcher,
                events_of_other_responses_are_not_heard,
                a_hint_carries_its_events,
                a_slow_watcher_is_told_to_read,
                waiting_ends_with_the_timer,
                publishing_to_nobody_does_nothing,
                watch_read_wait_misses_nothing,
                a_follower_without_hints_sees_all,
            ],
        }
    };
}

/// The inner part of [`conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($factory:expr, $($module:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        $(mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::conformance::$module::$case(&$factory).await;
                }
            )*
        })*
    };
}

#[cfg(test)]
mod tests {
    /// A case that nobody lists would never run.
    #[test]
    fn every_case_is_listed() {
        let list = include_str!("mod.rs");
        for file in [
            include_str!("audit.rs"),
            include_str!("bus.rs"),
            include_str!("chains.rs"),
            include_str!("directory.rs"),
            include_str!("events.rs"),
            include_str!("federation.rs"),
            include_str!("idempotency.rs"),
            include_str!("items.rs"),
            include_str!("jobs.rs"),
            include_str!("lists.rs"),
            include_str!("races.rs"),
            include_str!("responses.rs"),
            include_str!("retention.rs"),
            include_str!("rewinds.rs"),
            include_str!("transactions.rs"),
        ] {
            let cases = file.split("\npub async fn ").skip(1);
            for case in cases.filter_map(|rest| rest.split('(').next()) {
                assert!(list.contains(&format!(" {case},\n")), "{case}");
            }
        }
    }
}
