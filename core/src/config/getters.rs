//! The getters of a section: one for each type a setting can have.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::expected::{Example, Expected};
use super::given::{self, Given, Refusal};
use super::name::Name;
use super::section::Section;
use super::{duration, secret, size};
use crate::nearest::nearest;

impl Section<'_> {
    /// Text, as it is: `url = "tcp://…"`. No other type is made into text: a number needs quotes in
    /// a file, and in a variable `0012` stays `0012`.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.optional(
            key,
            a_text(),
            |given| given.text().map(str::to_owned),
            |text| given::quoted(text),
        )
    }

    /// Text, or `default`.
    pub fn text_or(&mut self, key: &str, default: &str) -> String {
        let expected = Expected::new("text", Example::Text(default.to_owned()));
        let parse = |given: Given<'_>| given.text().map(str::to_owned);
        self.or_default(key, expected, parse, default.to_owned(), |text| given::quoted(text))
    }

    /// A path, as it is: relative ones are relative to the current folder, and `~` means nothing.
    /// Empty ones are mistakes.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let expected = Expected::new("a path", Example::Text("/var/lib/farcall".to_owned()));
        let parse = |given: Given<'_>| match given.text()? {
            "" => Err(None),
            text => Ok(PathBuf::from(text)),
        };
        self.optional(key, expected, parse, |path| given::quoted(&path.to_string_lossy()))
    }

    /// A [`Name`]: of a namespace, a service, a server or a client.
    pub fn name(&mut self, key: &str) -> Option<Name> {
        self.optional(key, a_name("worker-1"), read_name, |name| given::quoted(name))
    }

    /// A [`Name`], or `default`.
    pub fn name_or(&mut self, key: &str, default: Name) -> Name {
        let expected = a_name(&default);
        self.or_default(key, expected, read_name, default, |name| given::quoted(name))
    }

    /// `true` or `false`; in a variable also `1` or `0`.
    pub fn boolean(&mut self, key: &str, default: bool) -> bool {
        let expected = Expected::new("true or false", Example::Bare(default.to_string()));
        self.or_default(key, expected, |given: Given<'_>| given.boolean(), default, bool::to_string)
    }

    /// An integer in the range. Floats are mistakes, never rounded.
    pub fn integer(&mut self, key: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let expected =
            Expected::range("an integer", &range, |n| n, Example::Bare(default.to_string()));
        let parse = |given: Given<'_>| within(&range, given.integer()?);
        self.or_default(key, expected, parse, default, i64::to_string)
    }

    /// How many of something: an integer in the range.
    pub fn count(&mut self, key: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        let expected =
            Expected::range("an integer", &range, |n| n, Example::Bare(default.to_string()));
        let parse =
            |given: Given<'_>| within(&range, usize::try_from(given.integer()?).map_err(|_| None)?);
        self.or_default(key, expected, parse, default, usize::to_string)
    }

    /// A size in bytes, in the range: an integer, or text with a unit.
    ///
    /// `"64 KiB"`, `"16 MiB"` and `"1 GiB"` are powers of 1024; `"64 kB"` (or `KB`), `"16 MB"` and
    /// `"1 GB"` are powers of 1000. The space may be left out.
    pub fn size(&mut self, key: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        // With its unit it is text, without one a number; either reads back as the same size.
        let written = |size: usize| match size::show(size) {
            shown if shown.contains(' ') => given::quoted(&shown),
            shown => shown,
        };
        // In a shell, a space would end the value.
        let example = Example::Both(written(default), size::show(default).replace(' ', ""));
        let expected = Expected::range("a size", &range, size::show, example);
        let parse = |given: Given<'_>| within(&range, given.size()?);
        self.or_default(key, expected, parse, default, |size| written(*size))
    }

    /// A duration in the range: whole numbers with their units, as `"50ms"`, `"2s"`, `"1m30s"`,
    /// `"250us"`, `"36h"`.
    ///
    /// Units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`, longest first. A number without a unit is
    /// a mistake, and so is a fraction.
    pub fn duration(
        &mut self,
        key: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let expected = a_duration(&range, default);
        let parse = |given: Given<'_>| within(&range, given.duration()?);
        self.or_default(key, expected, parse, default, |duration| {
            given::quoted(&duration::show(*duration))
        })
    }

    /// A [`duration`](Section::duration), if it is set.
    pub fn optional_duration(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let expected = a_duration(&range, *range.end());
        let parse = |given: Given<'_>| within(&range, given.duration()?);
        self.optional(key, expected, parse, |duration| given::quoted(&duration::show(*duration)))
    }

    /// A list of texts: `["a", "b"]`, or `a,b` in a variable, where spaces around the commas do not
    /// count and nothing is the empty list.
    pub fn list(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        let expected = Expected::new(
            "a list of texts",
            Example::Both(r#"["a", "b"]"#.to_owned(), "a,b".to_owned()),
        );
        let parse = |given: Given<'_>| given.list(|item| item.text().map(str::to_owned));
        let default = default.iter().map(|item| (*item).to_owned()).collect();
        self.or_default(key, expected, parse, default, |texts: &Vec<String>| {
            given::quoted_list(texts)
        })
    }

    /// A list of integers from 0 to 4294967295, such as user ids: `[0, 1000]`, or `0,1000` in a
    /// variable.
    pub fn list_of_u32(&mut self, key: &str, default: &[u32]) -> Vec<u32> {
        let expected = Expected::new(
            "a list of integers from 0 to 4294967295",
            Example::Both("[0, 1000]".to_owned(), "0,1000".to_owned()),
        );
        let parse =
            |given: Given<'_>| given.list(|item| u32::try_from(item.integer()?).map_err(|_| None));
        self.or_default(key, expected, parse, default.to_vec(), |items: &Vec<u32>| {
            given::list(items.iter().map(u32::to_string))
        })
    }

    /// One of a few words.
    ///
    /// ```
    /// # let layers = farcall_core::config::Layers::default();
    /// # let mut reading = layers.read();
    /// # let mut section = reading.section("redis");
    /// let fsync = match section.choice("durability", &["memory", "always"], "memory") {
    ///     "always" => true,
    ///     _ => false,
    /// };
    /// # assert!(!fsync);
    /// ```
    pub fn choice<'c>(&mut self, key: &str, choices: &[&'c str], default: &'c str) -> &'c str {
        let what = format!("one of {}", choices.join(", "));
        let expected = Expected::new(what, Example::Text(default.to_owned()));
        let parse = |given: Given<'_>| {
            let text = given.text()?;
            match choices.iter().find(|choice| **choice == text) {
                Some(choice) => Ok(*choice),
                None => Err(nearest(text, choices.iter().copied())
                    .map(|choice| format!("did you mean {choice}?"))),
            }
        };
        self.or_default(key, expected, parse, default, |choice| given::quoted(choice))
    }

    /// Text that a type reads itself, as `"127.0.0.1:80"` for an address. `accepted` says in a few
    /// words, with an example, what that is.
    pub fn parsed<T>(&mut self, key: &str, accepted: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let expected = Expected::new(accepted, Example::None);
        let key_is_secret = secret::is_secret(key);
        let parse = |given: Given<'_>| {
            let text = given.text()?;
            match text.parse() {
                Ok(value) => Ok((value, given::quoted(text))),
                // Other people's messages quote what they could not read.
                Err(_) if key_is_secret || secret::hide(text) != text => Err(None),
                Err(error) => Err(Some(T::Err::to_string(&error))),
            }
        };
        let (value, _) =
            self.optional(key, expected, parse, |(_, text): &(T, String)| text.clone())?;
        Some(value)
    }
}

fn within<T: PartialOrd>(range: &RangeInclusive<T>, value: T) -> Result<T, Refusal> {
    if range.contains(&value) { Ok(value) } else { Err(None) }
}

fn a_text() -> Expected {
    Expected::new("text", Example::None)
}

fn a_name(example: &str) -> Expected {
    Expected::new(
        "a name of 1 to 64 letters, digits, -, _ and ., not starting with .",
        Example::Text(example.to_owned()),
    )
}

fn a_duration(range: &RangeInclusive<Duration>, example: Duration) -> Expected {
    Expected::range("a duration", range, duration::show, Example::Text(duration::show(example)))
}

fn read_name(given: Given<'_>) -> Result<Name, Refusal> {
    Name::new(given.text()?).map_err(|error| Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{ConfigError, Layers, Origin, Settings};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Reads the table `[t]` of a file.
    fn in_file<T>(
        text: &str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> (T, Result<Settings, ConfigError>) {
        let text = format!("[t]\n{text}");
        read_in(Layers::new(Some((Path::new("farcall.toml"), &text)), []).unwrap(), read)
    }

    /// Reads the table `[t]` of variables.
    fn in_variable<T>(
        name: &str,
        value: &str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> (T, Result<Settings, ConfigError>) {
        let variables = [(name.to_owned(), value.to_owned())];
        read_in(Layers::new(None, variables).unwrap(), read)
    }

    fn read_in<T>(
        layers: Layers,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> (T, Result<Settings, ConfigError>) {
        let mut reading = layers.read();
        let value = read(&mut reading.section("t"));
        (value, reading.finish())
    }

    fn only_mistake(result: Result<Settings, ConfigError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.mistakes().len(), 1, "{error}");
        error.mistakes()[0].to_string()
    }

    fn shown(result: Result<Settings, ConfigError>, key: &str) -> (Option<String>, Origin) {
        let setting = result.unwrap().get(key).unwrap().clone();
        (setting.value, setting.origin)
    }

    #[test]
    fn a_password_of_digits_stays_text() {
        let (password, result) = in_variable("FARCALL_T__PASSWORD", "0012", |t| t.text("password"));
        assert_eq!(password.as_deref(), Some("0012"));
        assert_eq!(shown(result, "t.password").0.as_deref(), Some("\"***\""));
    }

    #[test]
    fn a_password_without_quotes_is_a_mistake_that_hides_it() {
        let (_, result) = in_file("password = 4711", |t| t.text("password"));
        assert_eq!(
            only_mistake(result),
            "farcall.toml: t.password: not accepted\n  \
             found     *** (integer)\n  \
             accepted  text\n  \
             help      write it in quotes"
        );
    }

    #[test]
    fn the_password_of_a_url_is_hidden_in_the_report() {
        let (url, result) = in_file("url = 'redis://me:pw@host'", |t| t.text("url"));
        assert_eq!(url.as_deref(), Some("redis://me:pw@host"));
        assert_eq!(shown(result, "t.url").0.as_deref(), Some("\"redis://me:***@host\""));
    }

    #[test]
    fn an_integer_given_as_a_float_is_a_mistake() {
        let (count, result) = in_file("n = 2.7", |t| t.count("n", 256, 1..=65_536));
        assert_eq!(count, 256);
        assert_eq!(
            only_mistake(result),
            "farcall.toml: t.n: not accepted\n  \
             found     2.7 (float)\n  \
             accepted  an integer from 1 to 65536, such as n = 256\n  \
             help      an integer is never rounded"
        );
    }

    #[test]
    fn an_integer_of_a_variable_is_shown_as_the_variable_is_written() {
        let (_, result) = in_variable("FARCALL_T__N", "many", |t| t.count("n", 256, 1..=65_536));
        assert_eq!(
            only_mistake(result),
            "FARCALL_T__N: t.n: not accepted\n  \
             found     many (text)\n  \
             accepted  an integer from 1 to 65536, such as FARCALL_T__N=256"
        );
    }

    #[test]
    fn both_ends_of_a_range_are_in_it() {
        for (text, good) in [
            ("n = 1", true),
            ("n = 9", true),
            ("n = 0", false),
            ("n = 10", false),
            ("n = -1", false),
        ] {
            assert_eq!(in_file(text, |t| t.count("n", 5, 1..=9)).1.is_ok(), good, "{text}");
        }
    }

    #[test]
    fn an_integer_may_be_negative_where_its_range_is() {
        assert_eq!(in_file("n = -3", |t| t.integer("n", 0, -9..=9)).0, -3);
    }

    #[test]
    fn a_duration_is_read_with_its_unit() {
        let read = |t: &mut Section<'_>| t.duration("d", SECOND, Duration::ZERO..=60 * SECOND);
        assert_eq!(in_file("d = '50ms'", read).0, Duration::from_millis(50));
        assert_eq!(in_variable("FARCALL_T__D", "2s", read).0, 2 * SECOND);
    }

    #[test]
    fn a_duration_without_a_unit_says_what_to_write() {
        let read = |t: &mut Section<'_>| t.duration("d", SECOND, Duration::ZERO..=60 * SECOND);
        let mistake = only_mistake(in_file("d = 30", read).1);
        assert!(mistake.ends_with(
            "help      a duration needs a unit: 30s for seconds, 30ms for milliseconds"
        ));
        assert!(mistake.contains("a duration from 0s to 1m, such as d = \"1s\""));
        assert!(
            only_mistake(in_variable("FARCALL_T__D", "30", read).1).contains("30s for seconds")
        );
    }

    #[test]
    fn a_duration_out_of_range_is_a_mistake() {
        let (duration, result) =
            in_file("d = '61s'", |t| t.duration("d", SECOND, Duration::ZERO..=60 * SECOND));
        assert_eq!(duration, SECOND);
        assert!(only_mistake(result).contains("found     \"61s\" (string)"));
    }

    #[test]
    fn an_optional_duration_is_none_until_it_is_set() {
        let read = |t: &mut Section<'_>| t.optional_duration("d", SECOND..=9 * SECOND);
        let (duration, result) = in_file("", read);
        assert_eq!(duration, None);
        assert_eq!(shown(result, "t.d"), (None, Origin::Default));
        assert_eq!(in_file("d = '2s'", read).0, Some(2 * SECOND));
    }

    #[test]
    fn a_size_is_reported_with_its_unit() {
        let (size, result) = in_file("s = 65536", |t| t.size("s", 1, 0..=1 << 20));
        assert_eq!(size, 65_536);
        assert_eq!(shown(result, "t.s").0.as_deref(), Some("\"64 KiB\""));
    }

    #[test]
    fn a_size_says_its_range_in_units() {
        let (_, result) = in_file("s = '2 MiB'", |t| t.size("s", 1 << 16, 1024..=1 << 20));
        assert!(
            only_mistake(result).contains("a size from 1 KiB to 1 MiB, such as s = \"64 KiB\"")
        );
    }

    #[test]
    fn a_boolean_of_a_file_has_no_quotes() {
        assert!(in_file("b = true", |t| t.boolean("b", false)).0);
        let (_, result) = in_file("b = 'true'", |t| t.boolean("b", false));
        assert!(only_mistake(result).ends_with("help      write it without quotes"));
    }

    #[test]
    fn a_list_is_brackets_in_a_file_and_commas_in_a_variable() {
        let read = |t: &mut Section<'_>| t.list("l", &["x"]);
        assert_eq!(in_file("l = ['a', 'b']", read).0, ["a", "b"]);
        assert_eq!(in_variable("FARCALL_T__L", "a,b", read).0, ["a", "b"]);
        assert_eq!(in_variable("FARCALL_T__L", "", read).0, Vec::<String>::new());
        let (list, result) = in_file("", read);
        assert_eq!(list, ["x"]);
        assert_eq!(shown(result, "t.l").0.as_deref(), Some("[\"x\"]"));
    }

    #[test]
    fn a_text_is_no_list_in_a_file() {
        let mistake = only_mistake(in_file("l = 'a'", |t| t.list("l", &[])).1);
        assert!(mistake.contains("such as l = [\"a\", \"b\"]"), "{mistake}");
    }

    #[test]
    fn user_ids_are_integers_of_32_bits() {
        let read = |t: &mut Section<'_>| t.list_of_u32("u", &[0]);
        assert_eq!(in_file("u = [0, 1000]", read).0, [0, 1000]);
        assert_eq!(in_variable("FARCALL_T__U", "0,1000", read).0, [0, 1000]);
        let mistake = only_mistake(in_file("u = [0, -1]", read).1);
        assert!(mistake.contains("item 2"), "{mistake}");
    }

    #[test]
    fn a_choice_out_of_the_list_is_a_mistake_with_the_nearest() {
        let (choice, result) = in_file("c = 'fiel'", |t| t.choice("c", &["auto", "file"], "auto"));
        assert_eq!(choice, "auto");
        assert_eq!(
            only_mistake(result),
            "farcall.toml: t.c: not accepted\n  \
             found     \"fiel\" (string)\n  \
             accepted  one of auto, file, such as c = \"auto\"\n  \
             help      did you mean file?"
        );
    }

    #[test]
    fn a_name_says_which_character_it_cannot_have() {
        assert_eq!(in_file("n = '0'", |t| t.name("n")).0.unwrap(), "0");
        let mistake = only_mistake(in_file("n = 'a/b'", |t| t.name("n")).1);
        assert!(mistake.contains("not '/' (at byte 1)"), "{mistake}");
    }

    #[test]
    fn an_empty_path_is_a_mistake() {
        assert_eq!(in_file("p = 'run'", |t| t.path("p")).0, Some(PathBuf::from("run")));
        assert!(in_variable("FARCALL_T__P", "", |t| t.path("p")).1.is_err());
    }

    #[test]
    fn a_type_may_read_its_own_text() {
        let read = |t: &mut Section<'_>| {
            t.parsed::<std::net::SocketAddr>("a", "an address, such as 127.0.0.1:80")
        };
        assert_eq!(in_file("a = '127.0.0.1:80'", read).0.unwrap().port(), 80);
        let mistake = only_mistake(in_file("a = 'here'", read).1);
        assert!(mistake.contains("accepted  an address, such as 127.0.0.1:80"), "{mistake}");
    }

    #[test]
    fn a_table_in_place_of_a_value_is_a_mistake() {
        assert!(
            only_mistake(in_file("n = { x = 1 }", |t| t.count("n", 1, 1..=9)).1)
                .contains("found     a table")
        );
    }
}
