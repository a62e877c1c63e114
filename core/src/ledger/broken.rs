//! Rules that can be broken, so that it can be seen whether anybody notices.
//!
//! In a build with `--cfg farcall_break`, and in no other, the variable `STORM_BREAK` names one rule, and the places
//! that keep it ask [`broken!`]. In a normal build that is the word `false`: neither the names nor the question are there.

/// Whether the rule of this name is to be broken.
#[cfg(farcall_break)]
pub(crate) fn is_broken(rule: &str) -> bool {
    use std::sync::OnceLock;
    static RULE: OnceLock<Option<String>> = OnceLock::new();
    RULE.get_or_init(|| std::env::var("STORM_BREAK").ok()).as_deref() == Some(rule)
}

/// See the module.
macro_rules! broken {
    ($rule:literal) => {{
        #[cfg(farcall_break)]
        {
            $crate::ledger::broken::is_broken($rule)
        }
        #[cfg(not(farcall_break))]
        {
            false
        }
    }};
}

pub(crate) use broken;
