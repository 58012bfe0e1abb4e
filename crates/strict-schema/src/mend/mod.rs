//! Best-effort parameters of others, made fit to be sent: OpenAI and several engines refuse these
//! also without `strict`, and who calls the model cannot change what an MCP server lists.
//!
//! Mending only loosens: an object that the original takes, the mended schema takes too. Arguments
//! are judged by their own server. So what may be taken away or loosened anywhere makes a keyword
//! stricter that turns around what stands below it (`not`, `oneOf`, `if`); such a keyword goes with
//! it ([`ease`]).
//!
//! In order: keywords with values that they cannot have ([`respell`]), references to nothing
//! ([`ease`]), then the root ([`root`]), whose references and unions become one object
//! ([`objects`]). What that copies has to fit in the profile's guards; what does not fit is left
//! out, and anything goes in its place.

mod ease;
mod objects;
mod respell;
mod root;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::respell::Change;
use crate::limits::Size;
use crate::profile::Profile;

/// The schema as parameters of a function that is not strict: an object without a union at its
/// root, with `properties`, arrays with `items`, references to what is there, and no keyword with
/// a value that it cannot have.
///
/// `None` where it cannot be mended: it is larger than the profile's guards, or no object at all.
pub fn mend(schema: &Value, profile: &Profile) -> Option<Value> {
    Size::of(schema, &profile.guards).ok()?;
    let mut work = schema.clone();
    let change = respell::respell(work.as_object_mut()?);
    ease::drop_lost_references(&mut work, change == Change::Looser);
    let mended = root::mend(work, &profile.guards)?;
    // Respelling wraps, which can make it deeper than it was.
    Size::of(&mended, &profile.guards).ok()?;
    Some(mended)
}
