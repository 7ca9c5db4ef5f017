//! `action=move`: a row before or after another.

use super::error::CmdbError;
use super::write::{Attempt, Outcome};
use crate::store::{Place, Position};
use crate::value::Key;

/// Which side of the other row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Right before it.
    Before,
    /// Right after it.
    After,
}

/// Moves a row beside another; nothing changes where it stands there already.
pub(crate) fn relocate(
    attempt: &Attempt<'_>,
    key: &Key,
    side: Side,
    other: &Key,
) -> Result<Outcome, CmdbError> {
    if !attempt.table.table().ordered {
        return Err(CmdbError::BadRequest("rows of this table have no order".into()));
    }
    let place = Place::of(attempt.table, attempt.vdom);
    let row = attempt.view.get(&place, key).ok_or(CmdbError::NotFound)?.clone();
    let other_rank = attempt.view.rank(&place, other).ok_or(CmdbError::NotFound)?;
    let after = side == Side::After;
    let there = attempt.view.neighbour(&place, other_rank, after);
    let already = key == other || (there.is_some() && there == attempt.view.rank(&place, key));
    let position = if after { Position::After(other.clone()) } else { Position::Before(other.clone()) };
    let changes = if already { Vec::new() } else { vec![attempt.change(key, Some(row), position)] };
    Ok(Outcome { key: Some(key.clone()), changes })
}
