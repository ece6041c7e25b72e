//! What all backends decide alike.

use bowline_events::Text;

use crate::{Expected, Operation, Table};

/// Whether a record in version `found` is as expected.
pub(crate) fn holds(expected: Expected, found: Option<u64>) -> bool {
    match expected {
        Expected::Absent => found.is_none(),
        Expected::Version(version) => found == Some(version),
        Expected::Present => found.is_some(),
        Expected::End(end) => found.unwrap_or(0) == end,
    }
}

/// Whether the record `key` exists after `operations`, if they say so.
pub(crate) fn owner_after(operations: &[Operation], table: Table, key: &Text) -> Option<bool> {
    operations.iter().find_map(|operation| match operation {
        Operation::Put {
            table: other_table,
            key: other,
            ..
        } if *other_table == table && other == key => Some(true),
        Operation::Delete {
            table: other_table,
            key: other,
            ..
        } if *other_table == table && other == key => Some(false),
        _ => None,
    })
}
