//! access_tokens
