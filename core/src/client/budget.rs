//! How many retries are affordable.

/// A budget of retries: each call earns a tenth of one, so that retries add at most a tenth to the
/// load in the long run, and a few are there from the start.
///
/// The scheme is that of Finagle's `RetryBudget`, without its time window: what is saved up is
/// capped instead.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    tenths: u32,
}

/// Ten retries: what a quiet client may spend at once when its server dies.
const START: u32 = 100;
/// A hundred retries: what a busy one may have saved up.
const CAP: u32 = 1000;

impl RetryBudget {
    pub(crate) fn new() -> Self {
        RetryBudget { tenths: START }
    }

    /// A call was made.
    pub(crate) fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(CAP);
    }

    /// Pays for a retry, if it is affordable.
    pub(crate) fn spend(&mut self) -> bool {
        match self.tenths.checked_sub(10) {
            Some(left) => {
                self.tenths = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_calls_earn_one_retry() {
        let mut budget = RetryBudget::new();
        while budget.spend() {}
        for _ in 0..9 {
            budget.earn();
        }
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    #[test]
    fn what_is_saved_up_is_capped() {
        let mut budget = RetryBudget::new();
        for _ in 0..100_000 {
            budget.earn();
        }
        let spent = std::iter::repeat_with(|| budget.spend()).take_while(|paid| *paid).count();
        assert_eq!(spent, 100);
    }
}
