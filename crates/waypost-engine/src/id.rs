//! Identifiers: a typed prefix and a UUIDv7, so that ids sort by creation.

use uuid::Uuid;

/// A fresh id: `prefix` followed by 32 lowercase hex digits of a UUIDv7.
/// Ids made in one process ascend strictly.
pub fn fresh(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 32);
    id.push_str(prefix);
    let mut hex = Uuid::encode_buffer();
    id.push_str(Uuid::now_v7().simple().encode_lower(&mut hex));
    id
}

/// Whether `id` is `prefix` followed by 1 to 64 characters of `[0-9A-Za-z_-]`.
/// Anything else cannot be an id of ours and need not reach the store.
pub fn is_plausible(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| {
        (1..=64).contains(&rest.len())
            && rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_are_plausible() {
        let ids: Vec<String> = (0..1000).map(|_| fresh("resp_")).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1]));
        assert!(ids.iter().all(|id| is_plausible(id, "resp_")));
        assert!(!is_plausible("resp_", "resp_"));
        assert!(!is_plausible("resp_a/b", "resp_"));
        assert!(!is_plausible("msg_abc", "resp_"));
    }
}
