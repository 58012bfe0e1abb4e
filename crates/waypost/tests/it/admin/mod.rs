//! The admin API, a module per resource as in the server.

mod admin_api_keys;
mod api_keys;
mod audit_logs;
mod authentication;
mod federation_rules;
mod projects;
mod providers;
mod service_accounts;
