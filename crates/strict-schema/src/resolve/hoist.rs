use serde_json::Value;

use super::Change;
use super::moves::Moves;

pub(super) fn hoist(_work: &mut Value, _moves: &mut Moves, _changes: &mut Vec<Change>) -> bool {
    false
}
