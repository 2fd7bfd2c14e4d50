//! What the ports promise, as one suite that runs on every backend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a test waits for every task it spawns")]

#[path = "contract/backend.rs"]
mod backend;
#[path = "contract/blobs.rs"]
mod blobs;
#[path = "contract/connections.rs"]
mod connections;
#[path = "contract/contacts.rs"]
mod contacts;
#[path = "contract/definitions.rs"]
mod definitions;
#[path = "contract/destinations.rs"]
mod destinations;
#[path = "contract/inbox.rs"]
mod inbox;
#[path = "contract/journal.rs"]
mod journal;
#[path = "contract/key_values.rs"]
mod key_values;
#[path = "contract/list.rs"]
mod list;
#[path = "contract/people.rs"]
mod people;
#[path = "contract/polls.rs"]
mod polls;
#[path = "contract/queue.rs"]
mod queue;
#[path = "contract/retention.rs"]
mod retention;
#[path = "contract/schedules.rs"]
mod schedules;
#[path = "contract/search.rs"]
mod search;
#[path = "contract/tail.rs"]
mod tail;
#[path = "contract/triggers.rs"]
mod triggers;

/// Makes each of the named sentences a test on each backend.
macro_rules! on_every_backend {
    ($($module:ident :: { $($name:ident),+ $(,)? }),+ $(,)?) => {
        mod memory_store { $( mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { crate::$module::$name(crate::backend::Backend::memory()).await; }
        )+ } )+ }
        mod embedded_store { $( mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { crate::$module::$name(crate::backend::Backend::embedded()).await; }
        )+ } )+ }
    };
}

on_every_backend! {
    blobs::{
        a_blob_comes_back_as_it_was_after_a_restart,
        a_blob_goes_with_its_run_and_stays_with_another_one,
    },
    journal::{
        an_accepted_delivery_is_there_with_its_runs,
        an_event_without_runs_is_accepted_too,
        the_same_key_starts_nothing_and_answers_with_the_first_event,
        the_same_key_on_another_trigger_or_workspace_is_another_delivery,
        a_key_is_forgotten_after_seventy_two_hours,
        a_key_is_forgotten_after_the_window_of_its_terms,
        the_same_key_with_another_body_is_refused_where_bodies_count,
        sixty_four_concurrent_duplicates_are_one_event_before_and_after_a_restart,
        an_event_or_run_that_is_there_is_never_replaced,
        a_delivery_whose_run_does_not_begin_right_is_refused,
        an_append_at_the_wrong_length_is_a_conflict_that_tells_the_length,
        one_of_many_concurrent_appends_wins,
        an_append_that_is_only_queued_conflicts_at_once,
        queued_appends_are_there_after_a_synced_one,
        nothing_is_appended_after_the_end,
        nothing_is_appended_to_a_run_that_is_not_there,
        an_append_of_another_workspace_does_not_find_the_run,
        entries_out_of_turn_or_uncounted_are_refused,
        large_and_odd_values_come_back_as_they_were,
        any_split_of_a_history_into_appends_folds_to_the_same_run,
    },
    queue::{
        a_new_run_is_claimed_once,
        nothing_is_claimed_before_it_is_due_and_the_longest_due_comes_first,
        what_is_due_since_its_creation_is_due_by_a_clock_that_was_set_back,
        a_released_run_is_claimed_again_with_what_was_written_before,
        a_restart_releases_every_claim_and_keeps_every_unfinished_run,
        finished_and_parked_runs_are_not_claimed,
        a_retry_moves_the_run_to_its_new_time,
        changed_resolves_for_what_comes_after_the_call,
        releasing_what_is_not_claimed_does_nothing,
    },
    list::{
        runs_are_listed_newest_first_in_pages,
        a_filter_passes_over_other_runs,
        a_workspace_sees_only_its_own_runs,
    },
    search::{
        every_filter_finds_what_the_journals_say,
        pages_stay_as_they_are_while_new_runs_arrive,
        a_search_sees_only_its_own_workspace,
    },
    tail::{
        a_follower_sees_every_entry_once_and_in_order,
        what_a_follower_is_told_of_is_in_the_journal,
    },
    retention::{
        removed_runs_are_gone_from_everywhere_and_the_others_stay,
        a_pinned_run_stays_until_it_is_unpinned,
        a_delivery_is_known_until_its_key_expires_although_its_runs_are_gone,
        an_expired_key_that_was_used_again_is_not_forgotten_with_the_old_delivery,
        large_payloads_go_and_shared_ones_stay,
        runs_are_kept_in_pages_from_both_ends,
        runs_go_by_age,
        runs_go_by_their_number_for_each_workflow,
        failed_runs_stay_longer_where_it_is_said,
        the_rules_of_a_workflow_come_before_the_operators,
        runs_go_by_bytes_the_oldest_first_until_the_rest_fits,
    },
    polls::{
        what_a_poll_brought_and_its_cursor_are_written_together,
        a_state_that_is_not_the_next_is_a_conflict_and_nothing_of_its_runs_is_there,
        one_delivery_that_cannot_be_written_keeps_everything_else_out,
        a_delivery_that_came_before_starts_nothing_and_the_others_do,
        one_of_many_concurrent_polls_wins_with_all_its_runs,
        large_cursors_and_payloads_are_there_after_a_restart,
        states_are_listed_by_workflow_within_their_workspace,
        subscriptions_follow_one_another_and_survive_a_restart,
    },
    triggers::{
        a_reference_is_there_after_a_restart_and_is_written_over,
        late_callers_are_there_after_a_restart,
    },
    definitions::{
        a_version_its_head_and_its_hook_are_written_together,
        a_version_that_is_not_the_next_is_a_conflict,
        one_of_many_concurrent_versions_wins,
        a_new_hook_replaces_the_old_one,
        a_hook_of_another_workflow_is_not_taken_over,
        workflows_are_listed_by_id_within_their_workspace,
        definitions_survive_a_restart,
        a_rotated_url_leads_on_beside_the_former_one_until_that_is_gone,
        a_version_made_before_a_rotation_is_a_conflict,
    },
    destinations::{
        records_replace_those_before_and_are_listed_by_workspace_and_url,
        destinations_survive_a_restart,
    },
    key_values::{
        a_value_is_there_until_it_expires_or_is_deleted_and_after_a_restart,
        a_write_on_another_expectation_changes_nothing,
        sixty_four_concurrent_sums_count_each_once_and_a_repeated_one_not_again,
        one_of_many_takes_a_lock_and_nobody_takes_it_until_it_is_released_or_expired,
        keys_are_listed_in_order_within_their_space,
        a_plugin_has_room_for_its_quota_and_gets_it_back,
        what_has_expired_is_swept_with_its_room,
        versions_never_come_again,
    },
    people::{
        a_user_is_there_after_it_was_put_and_each_write_is_the_next_revision,
        one_of_many_concurrent_writes_of_a_user_wins,
        users_are_listed_by_id_within_their_workspace_and_survive_a_restart,
        a_removed_user_takes_their_inbox_along,
    },
    inbox::{
        a_message_is_in_every_recipients_inbox_newest_first_and_in_pages,
        the_same_receipt_delivers_once_before_and_after_a_restart,
        one_of_many_concurrent_deliveries_of_a_receipt_is_made,
        a_receipt_that_is_too_old_does_not_count,
        items_are_marked_read_and_unread_and_deleted,
        an_inbox_keeps_its_newest,
        receipts_are_kept_and_forgotten_by_their_time,
    },
    schedules::{
        a_cursor_is_there_after_it_was_put_and_replaces_the_one_before,
        a_cursor_belongs_to_one_trigger_of_one_workflow_of_one_workspace,
        cursors_are_listed_by_workspace_workflow_and_trigger,
        cursors_survive_a_restart,
        one_of_many_concurrent_cursors_is_there_before_and_after_a_restart,
    },
    connections::{
        a_connection_is_there_after_it_was_put_and_each_write_is_the_next_revision,
        one_of_many_concurrent_writes_wins,
        connections_are_listed_by_name_within_their_workspace,
        a_removed_connection_is_gone_and_its_name_is_free,
        connections_survive_a_restart_however_large,
    },
    contacts::{
        sixty_four_concurrent_upserts_of_one_person_make_one_contact,
        concurrent_upserts_by_different_identities_make_one_contact,
        a_change_leaves_what_it_is_found_by_free_for_others,
        what_a_change_sets_off_waits_until_it_is_dispatched,
        the_same_key_is_answered_as_the_first_time,
        a_deleted_contact_takes_notes_and_history_with_it,
        contacts_are_searched_in_pages_within_their_workspace,
        large_contacts_notes_and_definitions_survive_a_restart,
    },
}
