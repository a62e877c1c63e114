//! Figures as they stand in a table.

use std::fmt::{self, Display, Formatter};

/// A figure with digits behind the point, or a dash.
pub(super) struct Decimals(pub(super) Option<f64>, pub(super) usize);

impl Display for Decimals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(figure) => write!(f, "{figure:.*}", self.1),
            None => f.write_str("–"),
        }
    }
}

/// A whole number with its thousands set apart, or a dash.
pub(super) struct Whole(pub(super) Option<f64>);

impl Display for Whole {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(figure) = self.0 else {
            return f.write_str("–");
        };
        let digits = format!("{figure:.0}");
        for (position, digit) in digits.char_indices() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (figure, text) in [(7.0, "7"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(Whole(Some(figure)).to_string(), text);
        }
    }
}
