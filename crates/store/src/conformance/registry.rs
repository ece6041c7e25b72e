//! The list of all clauses.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::{DEADLINE, Fixture, Outcome, Stores, Violation};

type Run = for<'a> fn(&'a Stores) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One demand of the contract, by name.
#[derive(Clone, Copy)]
pub struct Clause {
    name: &'static str,
    run: Run,
}

impl Clause {
    /// The path of its function, such as `commits::a_conflict_leaves_no_trace`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the clause on an empty store of `fixture`. Must be awaited inside a Tokio runtime with time enabled.
    ///
    /// # Errors
    /// How the store breaks the clause.
    pub async fn run(&self, fixture: &dyn Fixture) -> Outcome {
        let stores = fixture.open().await?;
        let outcome = tokio::time::timeout(DEADLINE * 3, (self.run)(&stores)).await;
        stores.store.close().await?;
        stores.other.close().await?;
        outcome.unwrap_or_else(|_| Err(Violation::new("it hangs")))
    }
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clause").field(&self.name).finish()
    }
}

/// Runs all clauses, each on an empty store.
///
/// # Panics
/// When the store breaks a clause: the message lists all that it breaks.
pub async fn assert_fulfilled(fixture: &dyn Fixture) {
    let mut broken = Vec::new();
    for clause in CLAUSES {
        if let Err(violation) = clause.run(fixture).await {
            broken.push(format!("{}: {violation}", clause.name()));
        }
    }
    assert!(
        broken.is_empty(),
        "{} breaks {} of {} clauses:\n{}",
        fixture.name(),
        broken.len(),
        CLAUSES.len(),
        broken.join("\n")
    );
}

macro_rules! list {
    ($($module:ident: $($clause:ident),+;)+) => {
        &[$($(Clause {
            name: concat!(stringify!($module), "::", stringify!($clause)),
            run: |stores| Box::pin(super::$module::$clause(stores)),
        },)+)+]
    };
}

/// Every clause there is, by subject.
pub const CLAUSES: &[Clause] = list! {
    commits:
        a_record_comes_back_as_it_was_put,
        what_is_not_there_is_none,
        a_record_is_made_once,
        a_record_changes_only_in_its_version,
        a_deleted_record_is_gone,
        versions_increase_and_are_never_used_again,
        a_conflict_leaves_no_trace,
        a_conflict_names_what_was_found,
        a_check_guards_and_changes_nothing,
        all_records_of_a_commit_have_its_version,
        a_commit_names_a_record_once,
        one_of_many_writers_wins,
        two_guards_cannot_both_pass,
        no_increment_is_lost,
        many_keys_are_read_in_order;
    lists:
        lists_follow_the_time_of_creation,
        every_filter_selects,
        filters_join,
        a_changed_record_moves_in_the_lists,
        pages_join_without_seam,
        pages_are_stable_under_writes,
        prefixes_are_taken_literally,
        keys_are_ordered_by_their_bytes,
        a_page_is_bounded_in_items;
    due:
        due_records_come_in_order,
        a_claim_takes_and_fences,
        two_claimers_never_share,
        a_lease_that_ended_is_claimed_again,
        a_record_without_due_is_never_due;
    logs:
        entries_come_back_in_order,
        positions_are_contiguous,
        an_append_may_name_its_position,
        appends_and_records_commit_together,
        concurrent_appends_leave_no_gap,
        a_log_is_read_in_pages,
        trimming_by_position,
        trimming_by_count_and_bytes,
        trimming_by_age,
        an_append_trims_in_one_commit,
        a_dropped_log_begins_anew,
        a_log_is_dropped_at_its_end,
        what_is_not_there_is_trimmed_and_dropped_in_peace,
        logs_are_listed_by_key,
        long_logs_are_dropped_and_trimmed_at_once;
    blobs:
        a_blob_is_found_by_its_hash,
        a_blob_lives_as_long_as_an_owner,
        a_blob_is_put_for_a_record_only,
        putting_twice_is_owning_once,
        a_failed_commit_stores_no_blob,
        deleting_the_owner_releases_everything;
    watches:
        a_commit_wakes_the_watchers_of_its_tables,
        a_claim_wakes,
        closing_wakes;
    limits:
        sizes_up_to_the_limit_are_taken,
        larger_ones_are_refused,
        impossible_keys_are_refused,
        extreme_arguments_harm_nobody,
        bodies_are_opaque;
    lifecycle:
        a_closed_store_refuses,
        handles_name_the_same_data,
        stats_count_what_is_there,
        an_abandoned_commit_happens_as_a_whole_or_not,
        a_caller_that_stands_still_blocks_nobody,
        the_time_of_a_commit_is_its_own;
};
