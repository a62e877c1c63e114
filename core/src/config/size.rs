//! Sizes in bytes as people write them: `65536`, `64 KiB`.

/// Units and their bytes; the binary ones, longest first, are those written by [`show`].
const BINARY: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const DECIMAL: [(&str, u64); 6] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a size: a whole number of bytes, or a whole number with a unit.
///
/// The error is a sentence that says what to write.
pub(super) fn parse(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].trim_start();
    if digits > 0 && unit.starts_with('.') {
        return Err("fractions are not read: write the next smaller unit, as 1536 KiB for 1.5 MiB"
            .to_owned());
    }
    let bytes = match unit {
        "" => Some(1),
        unit => BINARY
            .iter()
            .chain(&DECIMAL)
            .find_map(|(name, bytes)| (*name == unit).then_some(*bytes)),
    };
    let (true, Some(bytes)) = (digits > 0, bytes) else {
        return Err(
            "units are B, KiB, MiB, GiB, TiB, kB, MB, GB and TB; no unit means bytes".to_owned()
        );
    };
    text[..digits]
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(bytes))
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "that is more than can be counted".to_owned())
}

/// Writes a size with the largest unit that keeps it whole.
pub(super) fn show(size: usize) -> String {
    let size = size as u64;
    BINARY
        .iter()
        .find(|(_, bytes)| size >= *bytes && size.is_multiple_of(*bytes))
        .map_or_else(|| size.to_string(), |(unit, bytes)| format!("{} {unit}", size / bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_bytes() {
        assert_eq!(parse("65536"), Ok(65_536));
    }

    #[test]
    fn binary_units_are_powers_of_two() {
        assert_eq!(parse("64 KiB"), Ok(65_536));
        assert_eq!(parse("16MiB"), Ok(16 << 20));
    }

    #[test]
    fn decimal_units_are_powers_of_ten() {
        assert_eq!(parse("1 MB"), Ok(1_000_000));
        assert_eq!(parse("2kB"), parse("2 KB"));
    }

    #[test]
    fn what_is_no_size_lists_the_units() {
        for text in ["", "MiB", "16 mib", "16 M", "-1", "1 Mb"] {
            assert!(parse(text).unwrap_err().starts_with("units are"), "{text}");
        }
    }

    #[test]
    fn fractions_are_refused_rather_than_rounded() {
        assert!(parse("1.5 MiB").unwrap_err().contains("1536 KiB"));
    }

    #[test]
    fn too_large_is_an_error_not_a_panic() {
        assert!(parse("99999999999999999999").is_err());
        assert!(parse("99999999999 TiB").is_err());
    }

    #[test]
    fn a_size_is_shown_whole() {
        assert_eq!(show(16 << 20), "16 MiB");
        assert_eq!(show(1025), "1025");
        assert_eq!(show(0), "0");
        assert_eq!(parse(&show(3 << 30)), Ok(3 << 30));
    }
}
