//! The rate limit of the organization: fixed windows of 60 s real time.

/// The state of the limit, as every authenticated answer states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    /// `X-RateLimit-Limit`
    pub(crate) limit: u32,
    /// `X-RateLimit-Remaining`
    pub(crate) remaining: u32,
    /// `X-RateLimit-Reset`, unix seconds.
    pub(crate) reset: i64,
    /// Seconds until the next window, when this request is refused.
    pub(crate) retry_after: Option<i64>,
}

/// The limit that is stated where there is none.
pub(crate) const UNLIMITED: u32 = 1_000_000_000;
const WINDOW_MS: i64 = 60_000;

/// Counts the requests of the present window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    limit: u32,
    window: i64,
    used: u32,
}

impl RateLimit {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { limit: limit.unwrap_or(UNLIMITED), window: i64::MIN, used: 0 }
    }

    /// Takes one request at `now_ms`, milliseconds since the epoch; a refused one does not count.
    pub(crate) fn admit(&mut self, now_ms: i64) -> Admission {
        let window = now_ms.div_euclid(WINDOW_MS);
        if window != self.window {
            (self.window, self.used) = (window, 0);
        }
        let end = (window + 1) * WINDOW_MS;
        let refused = self.used >= self.limit;
        if !refused {
            self.used += 1;
        }
        Admission {
            limit: self.limit,
            remaining: self.limit - self.used,
            reset: end / 1000,
            retry_after: refused.then(|| (end - now_ms + 999) / 1000),
        }
    }

    /// How it stands at `now_ms`, for a request that does not count.
    pub(crate) fn peek(&self, now_ms: i64) -> Admission {
        let mut after_one_more = *self;
        let admission = after_one_more.admit(now_ms);
        match admission.retry_after {
            Some(_) => Admission { retry_after: None, ..admission },
            None => Admission { remaining: admission.remaining + 1, ..admission },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_out_its_limit_and_no_more() {
        let mut limit = RateLimit::new(Some(2));
        assert_eq!(limit.admit(60_000), Admission { limit: 2, remaining: 1, reset: 120, retry_after: None });
        assert_eq!(limit.admit(60_001), Admission { limit: 2, remaining: 0, reset: 120, retry_after: None });
        assert_eq!(limit.admit(60_001), Admission { limit: 2, remaining: 0, reset: 120, retry_after: Some(60) });
        assert_eq!(limit.admit(119_999), Admission { limit: 2, remaining: 0, reset: 120, retry_after: Some(1) });
        assert_eq!(limit.admit(120_000), Admission { limit: 2, remaining: 1, reset: 180, retry_after: None });
    }

    #[test]
    fn peeking_takes_nothing_from_the_limit() {
        let mut limit = RateLimit::new(Some(1));
        let free = Admission { limit: 1, remaining: 1, reset: 120, retry_after: None };
        assert_eq!((limit.peek(60_000), limit.peek(60_000)), (free, free));
        limit.admit(60_000);
        assert_eq!(limit.peek(60_001), Admission { remaining: 0, ..free });
        assert_eq!(limit.peek(120_000), Admission { reset: 180, ..free });
    }

    #[test]
    fn no_limit_is_a_huge_one() {
        let mut limit = RateLimit::new(None);
        assert_eq!(limit.admit(0).limit, UNLIMITED);
        assert!((0..10_000).all(|_| limit.admit(0).retry_after.is_none()));
    }
}
