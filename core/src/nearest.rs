//! What somebody probably meant.

use strsim::damerau_levenshtein;

/// The candidate nearest to `word`, if it is near enough that a slip of the fingers explains it: a
/// third of its length, as in rustc. Case, `-` and `_`, and how many of them, make no difference.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    ranked(word, candidates).into_iter().next()
}

/// Up to three candidates that are near enough, nearest first.
pub(crate) fn nearest_few<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Vec<String> {
    ranked(word, candidates).into_iter().take(3).map(str::to_owned).collect()
}

fn ranked<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<&'c str> {
    let word = flattened(word);
    let mut ranked: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let flat = flattened(candidate);
            let distance = damerau_levenshtein(&word, &flat);
            let limit = (word.chars().count().max(flat.chars().count()) / 3).max(1);
            // Two words of one letter are always one change apart.
            (distance <= limit && distance < flat.chars().count()).then_some((distance, candidate))
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}

fn flattened(word: &str) -> String {
    // Longer words are no slip, and comparing takes the square of the length.
    let word: String = word.chars().take(128).collect();
    word.to_lowercase()
        .split(['.', '_', '-'])
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood() {
        assert_eq!(nearest("unx", ["redis", "unix"]), Some("unix"));
        assert_eq!(nearest("sevrer", ["client", "server"]), Some("server"));
    }

    #[test]
    fn the_nearest_wins() {
        assert_eq!(nearest("max_cals", ["max_peers", "max_calls"]), Some("max_calls"));
    }

    #[test]
    fn case_and_separators_make_no_difference() {
        assert_eq!(nearest("Redis-URL", ["redis.url"]), Some("redis.url"));
        assert_eq!(nearest("REDIS_URL", ["redis__url"]), Some("redis__url"));
    }

    #[test]
    fn another_word_is_no_slip() {
        assert_eq!(nearest("kafka", ["unix", "zmq", "redis"]), None);
        assert_eq!(nearest("a", ["b"]), None);
        assert_eq!(nearest("", ["id"]), None);
    }
}
