//! Durations as people write them: `50ms`, `1m30s`.

use std::time::Duration;

/// Units, longest first, and their length in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration as configuration does: whole numbers, each with its unit, longest unit first.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let malformed = || {
        let text = text.escape_debug();
        format!(
            "`{text}` is no duration: write whole numbers with units (d, h, m, s, ms, us, ns), as \
             in \"2s\", \"1500ms\" or \"1m30s\""
        )
    };
    let mut rest = text.trim();
    let mut nanos: u128 = 0;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| malformed())?;
        rest = rest[digits..].trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = units.find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(malformed)?;
        nanos += u128::from(number) * unit.1;
        rest = rest[letters..].trim_start();
    }
    if nanos == 0 {
        return Err("without any time every call would fail: write more than 0".into());
    }
    let seconds = u64::try_from(nanos / 1_000_000_000)
        .map_err(|_| format!("`{text}` is longer than can be counted: write less"))?;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_configuration() {
        for (text, expected) in [
            ("7us", Duration::from_micros(7)),
            ("50ms", Duration::from_millis(50)),
            ("2s", Duration::from_secs(2)),
            (" 2 s ", Duration::from_secs(2)),
            ("3m", Duration::from_secs(180)),
            ("1h", Duration::from_secs(3600)),
            ("1m30s", Duration::from_secs(90)),
            ("1h 1ms", Duration::from_millis(3_600_001)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_durations_are_refused() {
        for text in ["", " ", "2", "s", "2 min", "-1s", "1.5s", "30s1m", "1s1s", "1é", "0s", "0h0s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("18446744073709551615d").is_err());
    }
}
