//! The names of environment variables, and the keys they stand for.

use std::collections::BTreeMap;

use ::config::{Environment, Source, ValueKind};

/// How every variable of ours begins.
pub(super) const PREFIX: &str = "FARCALL_";

/// The one that names the file, and is not a setting.
pub(super) const FILE: &str = "FARCALL_CONFIG";

/// The variables that are ours.
#[derive(Clone, Default)]
pub(super) struct Variables {
    /// By whole key: `redis.url`, not `FARCALL_REDIS__URL`.
    settings: BTreeMap<String, String>,
    /// Names with our prefix that no key has, such as `FARCALL_redis__url`.
    strange: Vec<String>,
}

impl Variables {
    /// Keeps those that begin with `FARCALL_`, except the file's name.
    ///
    /// Values stay the text they are: what they mean depends on who reads them. (The `config` crate
    /// could guess their types, and would make a number of a password.)
    pub(super) fn new(all: impl IntoIterator<Item = (String, String)>) -> Variables {
        let (plain, strange): (Vec<_>, Vec<_>) = all
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && name != FILE)
            .partition(|(name, _)| is_plain(name));
        let mut strange: Vec<String> = strange.into_iter().map(|(name, _)| name).collect();
        strange.sort();
        let settings = Environment::with_prefix("FARCALL")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(false)
            .source(Some(plain.into_iter().collect()))
            .collect()
            .expect("only text that is not Unicode fails, and these are strings")
            .into_iter()
            .filter_map(|(key, value)| match value.kind {
                ValueKind::String(text) => Some((key, text)),
                _ => None,
            })
            .collect();
        Variables { settings, strange }
    }

    /// The value for this whole key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// The whole keys that are set, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// Names with our prefix that no key has.
    pub(super) fn strange(&self) -> &[String] {
        &self.strange
    }
}

/// The variable for a whole key: `FARCALL_REDIS__URL` for `redis.url`.
pub(super) fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// Whether a key can have this name. Lower-case letters are left out: two variables could then set
/// one key.
fn is_plain(name: &str) -> bool {
    name.len() > PREFIX.len()
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn two_underscores_separate_table_and_key() {
        let variables = variables(&[("FARCALL_CLIENT__WAIT_FOR_SERVER", "1s")]);
        assert_eq!(variables.get("client.wait_for_server"), Some("1s"));
    }

    #[test]
    fn a_name_and_its_key_lead_to_each_other() {
        for key in ["transport", "redis.url", "client.wait_for_server", "redis.tls.ca"] {
            assert_eq!(variables(&[(&name_of(key), "x")]).get(key), Some("x"));
        }
    }

    #[test]
    fn values_are_never_altered() {
        for value in ["0012", "TRUE", " a ", "", "Redis://X", "2.70", "a,b"] {
            assert_eq!(variables(&[("FARCALL_A", value)]).get("a"), Some(value));
        }
    }

    #[test]
    fn other_programs_variables_are_not_ours() {
        let variables = variables(&[
            ("PATH", "/bin"),
            ("FARCALLER_X", "1"),
            ("farcall_x", "1"),
            ("FARCALL", "1"),
        ]);
        assert_eq!(variables.keys().count(), 0);
        assert!(variables.strange().is_empty());
    }

    #[test]
    fn the_name_of_the_file_is_no_setting() {
        assert_eq!(variables(&[(FILE, "x.toml")]).keys().count(), 0);
    }

    #[test]
    fn a_name_no_key_has_is_kept_for_the_report() {
        let variables = variables(&[
            ("FARCALL_redis__url", "x"),
            ("FARCALL_", "x"),
            ("FARCALL_A[9999999999]", "x"),
        ]);
        assert_eq!(
            variables.strange(),
            ["FARCALL_", "FARCALL_A[9999999999]", "FARCALL_redis__url"]
        );
        assert_eq!(variables.keys().count(), 0);
    }
}
