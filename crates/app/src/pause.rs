//! Delays that grow from one try to the next.

use std::time::Duration;

/// The first delay.
const FIRST: Duration = Duration::from_millis(200);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(30);

/// Returns delays: 0.2 s, then twice as long each time.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// Creates delays of at most 30 s.
    pub(crate) const fn new() -> Self {
        Self::of_at_most(LONGEST)
    }

    /// Creates delays of at most `longest`.
    pub(crate) const fn of_at_most(longest: Duration) -> Self {
        Self { next: FIRST, longest }
    }

    /// Returns the next delay.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.next.min(self.longest);
        self.next = delay.saturating_mul(2);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut pause = Pause::new();
        let delays: Vec<u128> = (0..10).map(|_| pause.next().as_millis()).collect();
        assert_eq!(
            delays,
            [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]
        );
    }
}
