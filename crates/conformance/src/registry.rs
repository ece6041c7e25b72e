//! The list of all clauses.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::{ClauseResult, Fixture, clauses};

type Run = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ClauseResult> + Send + 'a>>;

/// One demand of the contract, by name.
#[derive(Clone, Copy)]
pub struct Clause {
    name: &'static str,
    run: Run,
}

impl Clause {
    /// The path of its function below [`clauses`], such as `groups::every_group_gets_every_event`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the clause on a fresh bus of `fixture`. Must be awaited inside a Tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`Unmet`](crate::Unmet), saying why the clause does not apply or how it is broken.
    pub async fn run(&self, fixture: &dyn Fixture) -> ClauseResult {
        (self.run)(fixture).await
    }
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clause").field(&self.name).finish()
    }
}

macro_rules! list {
    ($($module:ident: $($clause:ident),+;)+) => {
        &[$($(Clause {
            name: concat!(stringify!($module), "::", stringify!($clause)),
            run: |fixture| Box::pin(clauses::$module::$clause(fixture)),
        },)+)+]
    };
}

/// Every clause there is, by subject.
pub const CLAUSES: &[Clause] = list! {
    order:
        one_publisher_is_seen_in_order,
        concurrent_publishers_are_seen_in_one_order,
        what_is_published_together_is_seen_in_order,
        overlapping_publishes_arrive_once_each,
        positions_increase_and_match_the_receipts,
        batch_reads_see_the_same_stream;
    fan_out:
        fan_out_reaches_every_subscriber,
        publisher_receives_its_own_events,
        every_handle_publishes_and_subscribes,
        subscribing_resolves_when_live,
        publishing_needs_no_subscriber,
        ungrouped_events_need_no_settling,
        dropping_an_ungrouped_event_is_no_nack;
    identity:
        ids_are_unique_and_the_same_for_all,
        creation_time_is_that_of_publishing,
        first_delivery_is_attempt_one,
        type_and_run_id_are_opaque,
        unknown_members_are_preserved,
        unknown_members_cannot_shadow_known_ones,
        index_and_generation_are_preserved,
        forwarded_events_are_stamped_anew;
    data:
        absent_null_and_undefined_stay_apart,
        json_arrives_unchanged,
        lone_surrogates_survive,
        pretty_printed_json_breaks_no_frame,
        tagged_values_survive,
        nested_data_arrives_whole,
        data_of_every_size_arrives_whole,
        local_values_are_readable_everywhere;
    topics:
        topic_names_are_opaque_and_isolated,
        long_topic_names_work,
        histories_are_isolated,
        topics_are_listed,
        listed_topics_name_their_groups;
    local:
        local_values_pass_by_reference,
        local_only_reaches_this_process,
        local_only_stays_in_the_process,
        local_only_reaches_one_member_of_each_group;
    groups:
        each_event_goes_to_one_member,
        work_is_shared_among_ready_members,
        every_group_gets_every_event,
        groups_and_fan_out_live_side_by_side,
        group_names_are_opaque,
        groups_belong_to_their_topic,
        a_joining_member_takes_part,
        a_leaving_member_gets_nothing_more,
        a_leaving_member_hands_its_work_over,
        a_held_delivery_belongs_to_its_member,
        unsteady_members_do_all_the_work;
    redelivery:
        a_nack_redelivers_with_the_next_attempt,
        dropping_is_a_nack,
        a_release_is_not_counted,
        acked_events_are_done,
        a_nack_blocks_nothing,
        a_redelivery_stays_in_its_group,
        a_shared_redelivery_is_the_next_attempt_for_all,
        redelivery_stops_at_the_cap,
        redelivery_without_a_cap_goes_on,
        a_fan_out_nack_returns_to_its_subscriber,
        fan_out_redelivery_stops_at_the_cap,
        an_expired_lease_frees_the_event,
        a_renewed_lease_keeps_the_event;
    start:
        latest_skips_what_was_published_before,
        earliest_begins_with_the_first_event,
        an_offset_begins_there,
        a_reader_resumes_where_it_left,
        replay_equals_history,
        a_group_begins_where_it_was_told,
        a_group_keeps_its_position,
        attaching_while_publishing_loses_nothing,
        an_offset_ahead_of_the_end_is_no_surprise;
    retention:
        history_is_read_in_pages,
        unused_topics_have_no_history,
        trim_removes_only_what_is_before,
        a_trimmed_offset_is_told,
        an_attached_reader_is_told_of_a_trim,
        an_attached_reader_is_told_of_a_clear,
        nothing_old_follows_a_clear,
        clear_starts_a_new_history,
        a_group_survives_a_clear,
        without_replay_there_is_no_history;
    lifecycle:
        dropping_unsubscribes,
        leaving_does_not_disturb_the_others,
        subscribers_come_and_go_at_once,
        an_abandoned_subscribe_takes_nothing,
        flush_returns,
        close_ends_the_streams,
        close_wakes_waiting_readers,
        a_closed_bus_refuses,
        deliveries_outlive_the_bus,
        closing_one_participant_leaves_the_others;
    runtimes:
        a_runtime_that_ends_hangs_nobody,
        another_runtime_may_end;
    pressure:
        too_large_events_are_refused,
        a_standing_reader_blocks_nobody,
        a_skippable_reader_is_told_of_gaps,
        a_slower_reader_gets_everything,
        a_cancelled_read_loses_nothing,
        a_cancelled_group_read_loses_nothing,
        a_cancelled_publish_happens_once_or_not,
        a_standing_member_blocks_no_other;
    hostile:
        extreme_options_leave_the_bus_usable,
        extreme_positions_leave_the_bus_usable,
        unserialisable_data_leaves_the_bus_usable,
        data_cannot_break_out,
        panicking_policies_harm_nobody_else;
    batching:
        size_hands_over,
        waiting_hands_over,
        a_full_buffer_hands_over,
        immediate_events_do_not_wait,
        coalesce_reduces_a_batch,
        coalesced_events_are_acked,
        coalesce_cannot_invent_events,
        overflow_waits_unless_told_otherwise,
        overflow_never_drops_immediate_events,
        gathered_events_of_a_leaving_member_are_handed_over;
    leases:
        a_lease_has_one_owner,
        only_the_owner_releases,
        an_expired_lease_is_free,
        renewing_prolongs,
        a_transfer_changes_the_owner,
        one_of_many_wins,
        a_lease_needs_time;
    declaration:
        capabilities_are_consistent,
        a_forwarding_wrapper_is_the_same_bus,
        handles_can_be_described;
};
