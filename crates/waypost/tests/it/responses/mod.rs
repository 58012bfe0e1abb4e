//! The Responses API through the front door.

mod background;
mod cancel;
mod context;
mod create;
mod delete;
mod foreground;
mod idempotency;
mod input_items;
mod references;
mod resume;
mod scopes;
mod shapes;
mod sse;
mod tenancy;
