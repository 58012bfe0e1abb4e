//! Proof by numbers: public schemas against a frozen table, and chance against everything.
//!
//! `corpora` needs data that `cargo xtask corpora` downloads, so it is ignored otherwise; `fuzz`
//! always runs, and longer with `STRICT_SCHEMA_FUZZ=1000000`.

mod catch;
mod chance;
mod checks;
mod corpora;
mod fuzz;
mod mutate;
mod sample;
mod table;
