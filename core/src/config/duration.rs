//! Durations as people write them: `50ms`, `1m30s`.

use std::time::Duration;

/// Units, longest first: how they are written, and their length in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const LISTED: &str =
    "units are d, h, m, s, ms, us and ns, each at most once and the longest first: 1m30s";

/// Reads a duration: whole numbers, each with its unit, longest unit first.
///
/// Spaces may stand between the parts. Fractions are refused (`1500ms` says the same as 1.5 s
/// without rounding). The error is a sentence that says what to write.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) {
        return Err(needs_unit(rest));
    }
    let mut nanos: u128 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| LISTED.to_owned())?;
        rest = rest[digits..].trim_start();
        if rest.starts_with('.') || rest.starts_with(',') {
            return Err("fractions are not read: write the next smaller unit, as 1500ms for 1.5 s"
                .to_owned());
        }
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS
            .iter()
            .skip(next_unit)
            .position(|(name, _)| *name == &rest[..letters])
            .ok_or(LISTED)?
            + next_unit;
        // A `u64` times a day in nanoseconds, seven times: far below `u128::MAX`.
        nanos += u128::from(number) * UNITS[unit].1;
        next_unit = unit + 1;
        rest = rest[letters..].trim_start();
    }
    if next_unit == 0 {
        return Err(LISTED.to_owned());
    }
    let seconds =
        u64::try_from(nanos / 1_000_000_000).map_err(|_| "that is longer than can be counted")?;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// What to write instead of the bare `number`.
pub(super) fn needs_unit(number: &str) -> String {
    format!("a duration needs a unit: {number}s for seconds, {number}ms for milliseconds")
}

/// Writes a duration so that [`parse`] reads the same.
pub(super) fn show(duration: Duration) -> String {
    let mut nanos = duration.as_nanos();
    let mut shown = String::new();
    for (unit, length) in UNITS {
        // Days are read but not written: everyone knows `36h`.
        if unit != "d" && nanos >= length {
            shown.push_str(&format!("{}{unit}", nanos / length));
            nanos %= length;
        }
    }
    if shown.is_empty() {
        shown.push_str("0s");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        assert_eq!(parse("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("3m"), Ok(Duration::from_secs(180)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(parse("7ns"), Ok(Duration::from_nanos(7)));
    }

    #[test]
    fn units_add_up() {
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("1h 1ms"), Ok(Duration::from_millis(3_600_001)));
    }

    #[test]
    fn spaces_between_the_parts_are_fine() {
        assert_eq!(parse(" 10 s "), Ok(Duration::from_secs(10)));
    }

    #[test]
    fn nothing_at_all_is_zero_seconds() {
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_duration_without_a_unit_says_what_to_write() {
        let error = parse("30").unwrap_err();
        assert_eq!(error, "a duration needs a unit: 30s for seconds, 30ms for milliseconds");
    }

    #[test]
    fn units_come_once_and_longest_first() {
        for text in ["30s1m", "1s1s", "1ms1s"] {
            assert_eq!(parse(text), Err(LISTED.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_lists_the_units() {
        for text in ["", " ", "s", "ten", "10x", "10S", "-1s", "+1s", "1s x", "1s 2", "1é", "١s"]
        {
            assert_eq!(parse(text), Err(LISTED.to_owned()), "{text}");
        }
    }

    #[test]
    fn fractions_are_refused_rather_than_rounded() {
        assert!(parse("1.5s").unwrap_err().contains("1500ms"));
    }

    #[test]
    fn too_long_is_an_error_not_a_panic() {
        assert!(parse("18446744073709551615d").is_err());
        assert!(parse("99999999999999999999999s").is_err());
    }

    #[test]
    fn what_is_shown_reads_the_same() {
        for text in ["0s", "1m30s", "36h", "1h1ms", "250us", "1s5ns"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }
}
