//! Where the entries of a list that was read stood in the list as it came.
//!
//! Reading may leave entries out, and errors that are found later name places
//! of what the caller sent.

use serde_json::Value;

/// The place of each entry; of one that is not noted, its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(Vec<usize>);

impl Places {
    /// Gathers what is read of a list, without what is left out (`None`).
    pub fn gather<E>(
        read: impl Iterator<Item = Result<Option<Value>, E>>,
    ) -> Result<(Vec<Value>, Self), E> {
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for (at, value) in read.enumerate() {
            if let Some(value) = value? {
                values.push(value);
                places.push(at);
            }
        }
        Ok((values, Self(places)))
    }

    /// Where the entry that is now the one at `at` stood.
    pub fn of(&self, at: usize) -> usize {
        self.0.get(at).copied().unwrap_or(at)
    }

    /// Leaves out entries, and knows the places of those that stay.
    pub fn retain(&mut self, values: &mut Vec<Value>, mut stays: impl FnMut(&Value) -> bool) {
        let mut places = Vec::with_capacity(values.len());
        let mut at = 0;
        values.retain(|value| {
            let kept = stays(value);
            if kept {
                places.push(self.of(at));
            }
            at += 1;
            kept
        });
        self.0 = places;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_those_of_the_list_as_it_came() {
        let read = (0..6).map(|n| Ok::<_, ()>((n % 3 != 0).then(|| json!(n))));
        let (mut values, mut places) = Places::gather(read).unwrap();
        assert_eq!(values, [1, 2, 4, 5]);
        assert_eq!([0, 1, 2, 3].map(|at| places.of(at)), [1, 2, 4, 5]);
        places.retain(&mut values, |value| *value != 2);
        assert_eq!([0, 1, 2].map(|at| places.of(at)), [1, 4, 5]);
        assert_eq!(Places::default().of(7), 7);
    }
}
