//! Rows made of parts.

/// A row of a table that holds what another component keeps about it. What is known about one peer, or one prefix,
/// lies together, so that an operation waits for one place in memory and not for one in every component.
pub(super) trait Part<T> {
    /// The part.
    fn part(&self) -> &T;
    /// The part, to be changed.
    fn part_mut(&mut self) -> &mut T;
}

/// Implements [`Part`] for fields of a row.
macro_rules! parts {
    ($row:ty { $($field:ident: $part:ty),* $(,)? }) => {
        $(impl Part<$part> for $row {
            fn part(&self) -> &$part {
                &self.$field
            }

            fn part_mut(&mut self) -> &mut $part {
                &mut self.$field
            }
        })*
    };
}

pub(super) use parts;
