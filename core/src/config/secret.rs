//! What must not be printed: passwords, tokens, and the passwords inside URLs.

/// What stands where a secret was.
pub(super) const HIDDEN: &str = "***";

/// Whether values of this key are secret, by a word of its last part: `redis.password`,
/// `auth_token`.
pub(super) fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    last.split(['_', '-']).any(|word| {
        matches!(
            word.to_ascii_lowercase().as_str(),
            "password"
                | "passwords"
                | "passwd"
                | "passphrase"
                | "pass"
                | "token"
                | "tokens"
                | "secret"
                | "secrets"
        )
    })
}

/// Hides the passwords inside a text: `redis://me:***@host`,
/// `redis+unix:///run/redis.sock?pass=***`.
///
/// It hides too much rather than too little. A password may hold an `@` or a `/` that nobody
/// escaped, so everything from the first `:` after the scheme to the last `@` goes; and a URL whose
/// scheme was forgotten is still one.
///
/// ```
/// use farcall_core::config::hide_passwords;
///
/// assert_eq!(hide_passwords("redis://me:pw@host/1"), "redis://me:***@host/1");
/// ```
#[must_use]
pub fn hide(text: &str) -> String {
    hide_parameters(&hide_userinfo(text))
}

fn hide_userinfo(text: &str) -> String {
    let scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let start = match text.split_once("://") {
        Some((before, _)) if before.chars().all(scheme) => before.len() + "://".len(),
        _ => 0,
    };
    let Some(end) = text.rfind('@').filter(|end| *end >= start) else {
        return text.to_owned();
    };
    match text[start..end].find(':') {
        Some(colon) => format!("{}{HIDDEN}{}", &text[..=start + colon], &text[end..]),
        None => text.to_owned(),
    }
}

fn hide_parameters(text: &str) -> String {
    let Some(query) = text.find('?') else {
        return text.to_owned();
    };
    let mut shown = text[..query].to_owned();
    for parameter in text[query..].split_inclusive(['?', '&', ';', '#']) {
        let end = parameter.trim_end_matches(['?', '&', ';', '#']).len();
        match parameter[..end].split_once('=') {
            Some((key, _)) if is_secret(key) => {
                shown.push_str(&format!("{key}={HIDDEN}{}", &parameter[end..]));
            }
            _ => shown.push_str(parameter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_named_password_token_or_secret_are_secret() {
        for key in ["redis.password", "token", "zmq.auth_token", "x.client-secret", "PASSWORD"] {
            assert!(is_secret(key), "{key}");
        }
    }

    #[test]
    fn other_keys_are_not() {
        for key in ["redis.url", "token.url", "tokenizer", "passes"] {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn the_password_of_a_url_is_hidden() {
        assert_eq!(hide("redis://me:pw@host:6379/0"), "redis://me:***@host:6379/0");
        assert_eq!(hide("redis://:pw@host"), "redis://:***@host");
    }

    #[test]
    fn a_password_with_an_at_sign_or_a_slash_is_hidden_whole() {
        assert_eq!(hide("redis://:p@s/w:d@host"), "redis://:***@host");
    }

    #[test]
    fn a_url_without_its_scheme_is_hidden_too() {
        assert_eq!(hide(":pw@host"), ":***@host");
        assert_eq!(hide(":p://w@host"), ":***@host");
    }

    #[test]
    fn several_urls_in_one_text_are_hidden_as_one() {
        assert_eq!(hide("redis://:a@one,redis://:b@two"), "redis://:***@two");
    }

    #[test]
    fn secret_parameters_are_hidden() {
        assert_eq!(
            hide("redis+unix:///r.sock?db=1&pass=pw&user=me"),
            "redis+unix:///r.sock?db=1&pass=***&user=me"
        );
    }

    #[test]
    fn text_without_a_secret_is_left_as_it_is() {
        for text in [
            "tcp://127.0.0.1:5555",
            "redis://me@host",
            "/run/farcall",
            "a?b=c&d",
            "",
            "é?ü",
            "x@y://z",
        ] {
            assert_eq!(hide(text), text);
        }
    }
}
