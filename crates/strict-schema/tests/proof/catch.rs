//! Runs a check and brings its panic back as a sentence, so that one run finds every broken promise
//! and not the first alone.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

/// Characters of a message: a schema can be a megabyte.
const SHOWN: usize = 3_000;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// The message of the panic, if `check` has one. Every other panic is reported as always.
pub fn caught<T>(check: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                before(panic);
            }
        }));
    });
    CATCHING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(check));
    CATCHING.set(false);
    outcome.map_err(|payload| shorten(&message(&*payload)))
}

fn message(payload: &dyn Any) -> String {
    if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else {
        "a panic without words".to_owned()
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
