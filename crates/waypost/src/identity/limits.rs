//! How many exchanges a client address and a provider may ask for.
//!
//! A token bucket each (GCRA: one number per bucket, no timer), in a bounded
//! table. Checked before any cryptography: this is what bounds the processor
//! time that anonymous callers can use.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::keys::{self, KeyHash};

/// Addresses that are remembered at a time; more push out the least recent.
const MAX_CLIENTS: u64 = 65_536;
/// Ids of no provider that are remembered at a time, likewise.
const MAX_STRANGERS: u64 = 65_536;
/// A bucket is full, and may be forgotten, after this much quiet.
const IDLE: Duration = Duration::from_secs(30);
/// A bucket holds as much as this many seconds bring.
const BURST_SECONDS: u64 = 2;

/// The limits of the token endpoints.
pub struct ExchangeLimits {
    clients: Cache<IpAddr, Arc<Bucket>>,
    /// By the hash of an id that is no provider's.
    strangers: Cache<KeyHash, Arc<Bucket>>,
    per_client: Rate,
    per_provider: Rate,
    start: Instant,
}

/// So many a second; `None` is no limit.
#[derive(Debug, Clone, Copy)]
struct Rate {
    interval_ns: Option<u64>,
}

/// The time at which the bucket is full again, in nanoseconds since the start.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl ExchangeLimits {
    /// Rates are per second; 0 sets no limit.
    pub fn new(per_client: u32, per_provider: u32) -> Self {
        Self {
            clients: Cache::builder()
                .max_capacity(MAX_CLIENTS)
                .time_to_idle(IDLE)
                .build(),
            strangers: Cache::builder()
                .max_capacity(MAX_STRANGERS)
                .time_to_idle(IDLE)
                .build(),
            per_client: Rate::new(per_client),
            per_provider: Rate::new(per_provider),
            start: Instant::now(),
        }
    }

    /// Takes one from the client's bucket; the error is when to come again.
    pub fn client(&self, address: IpAddr) -> Result<(), Duration> {
        if self.per_client.interval_ns.is_none() {
            return Ok(());
        }
        let bucket = self.clients.get_with(network(address), Arc::default);
        self.take(&bucket, self.per_client)
    }

    /// Takes one from a provider's bucket.
    pub fn provider(&self, bucket: &Bucket) -> Result<(), Duration> {
        self.take(bucket, self.per_provider)
    }

    /// The same for an id that is no provider's: the limit must not tell which
    /// ids are.
    pub fn stranger(&self, id: &str) -> Result<(), Duration> {
        let bucket = self.strangers.get_with(keys::hash(id), Arc::default);
        self.take(&bucket, self.per_provider)
    }

    fn take(&self, bucket: &Bucket, rate: Rate) -> Result<(), Duration> {
        rate.interval_ns.map_or(Ok(()), |interval| {
            let now = self.start.elapsed().as_nanos() as u64;
            bucket.take(now, interval, BURST_SECONDS * 1_000_000_000)
        })
    }
}

impl Rate {
    fn new(per_second: u32) -> Self {
        Self {
            interval_ns: (per_second > 0).then(|| 1_000_000_000 / u64::from(per_second)),
        }
    }
}

impl Bucket {
    /// Takes one: `interval` apart on average, `burst` ahead at most.
    pub fn take(&self, now: u64, interval: u64, burst: u64) -> Result<(), Duration> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now) + interval;
            // One always fits into an idle bucket, however low the rate.
            let limit = now + burst.max(interval);
            if next > limit {
                return Err(Duration::from_nanos(next - limit));
            }
            match self
                .0
                .compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(current) => full_at = current,
            }
        }
    }
}

/// Who controls one IPv6 address controls its /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        const SECOND: u64 = 1_000_000_000;
        let bucket = Bucket::default();
        let take = |now| bucket.take(now, SECOND / 10, 2 * SECOND);
        assert_eq!((0..100).filter(|_| take(0).is_ok()).count(), 20);
        assert_eq!(take(0), Err(Duration::from_millis(100)));
        assert!(take(SECOND / 10).is_ok());
        assert!(take(SECOND / 10).is_err());
        assert_eq!((0..100).filter(|_| take(10 * SECOND).is_ok()).count(), 20);
    }

    #[test]
    fn a_v6_network_is_one_client_and_zero_is_no_limit() {
        let limits = ExchangeLimits::new(1, 0);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(limits.client(address("2001:db8::1")).is_ok());
        assert!(limits.client(address("2001:db8::2")).is_ok());
        assert!(limits.client(address("2001:db8::3")).is_err());
        assert!(limits.client(address("2001:db8:0:1::3")).is_ok());
        let strict = ExchangeLimits::new(0, 1);
        assert!(strict.stranger("wip_1").is_ok() && strict.stranger("wip_2").is_ok());
        assert!(strict.stranger("wip_1").is_ok() && strict.stranger("wip_1").is_err());
        let bucket = Bucket::default();
        assert!((0..10_000).all(|_| limits.provider(&bucket).is_ok()));
    }
}
