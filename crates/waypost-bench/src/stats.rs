//! Order statistics of small samples, and the seeded order of rounds.

/// The value below which a share of the sorted samples lies; NaN of none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let rank = (share * (sorted.len() - 1) as f64).round();
    sorted[rank as usize]
}

pub fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples
}

pub fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    let samples = sorted(samples.into_iter().collect());
    let middle = samples.len() / 2;
    if samples.len().is_multiple_of(2) && middle > 0 {
        return f64::midpoint(samples[middle - 1], samples[middle]);
    }
    samples.get(middle).copied().unwrap_or(f64::NAN)
}

/// p50 and p99 of some samples.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
}

impl Spread {
    pub fn of(samples: Vec<f64>) -> Self {
        let samples = sorted(samples);
        Self {
            p50: quantile(&samples, 0.5),
            p99: quantile(&samples, 0.99),
        }
    }

    /// The medians of the rounds' own: one disturbed round does not count.
    pub fn of_rounds(rounds: &[Vec<f64>]) -> Self {
        let each: Vec<Self> = rounds.iter().cloned().map(Self::of).collect();
        Self {
            p50: median(each.iter().map(|round| round.p50)),
            p99: median(each.iter().map(|round| round.p99)),
        }
    }
}

/// SplitMix64: the same seed gives the same order of rounds.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The numbers below `count`, in random order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, self.below(i as u64 + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_medians() {
        let samples: Vec<f64> = (0..=100).map(f64::from).collect();
        assert!((quantile(&samples, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!((median([3.0, 1.0, 2.0, 10.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median([]).is_nan());
        let rounds = vec![vec![1.0], vec![2.0], vec![900.0]];
        assert!((Spread::of_rounds(&rounds).p99 - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_order_is_a_permutation_of_its_seed() {
        let order = Rng::new(7).order(5);
        assert_eq!(order, Rng::new(7).order(5));
        let mut all = order;
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}
