//! Settings nobody knows.

use ::config::{Map, Value, ValueKind};

use super::error::Mistake;
use super::given;
use super::layers::Layers;
use super::origin::Origin;
use super::variables;
use crate::nearest::nearest;

/// What has been asked for, in the order it was asked: whole keys, and what they are.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Vec<(String, Kind)>,
}

/// What a known name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A setting, that a getter has judged.
    Setting,
    /// A table, whose keys must be known too.
    Table,
    /// A table that others may read: nothing in it is judged.
    Alien,
}

impl Known {
    pub(super) fn add(&mut self, key: &str, kind: Kind) {
        if self.kind(key).is_none() {
            self.entries.push((key.to_owned(), kind));
        }
    }

    fn kind(&self, key: &str) -> Option<Kind> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, kind)| *kind)
    }

    /// The names inside a table (`""` is the top), as they are written there.
    fn names_in(&self, table: &str) -> impl Iterator<Item = (&str, Kind)> {
        self.entries
            .iter()
            .filter_map(move |(key, kind)| (parent(key) == table).then_some((name(key), *kind)))
    }

    fn settings(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, kind)| *kind == Kind::Setting).map(|(key, _)| key.as_str())
    }

    /// Whether a table of others holds this key.
    fn is_alien(&self, key: &str) -> bool {
        self.entries.iter().filter(|(_, kind)| *kind == Kind::Alien).any(|(table, _)| {
            key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// A mistake for each name in the layers that nobody asked for, and for each table that is none.
pub(super) fn mistakes(layers: &Layers, known: &Known) -> Vec<Mistake> {
    let mut found = Vec::new();
    if let Some(document) = layers.document() {
        in_table(document.tables(), "", &document.origin(), known, &mut found);
    }
    for key in layers.variables().keys() {
        let origin = Origin::Variable(variables::name_of(key));
        match known.kind(key) {
            Some(Kind::Setting) => {}
            Some(Kind::Table) => {
                found.push(Mistake::new(origin, "not a table").key(key).accepted(format!(
                    "a variable for each setting: {}",
                    listed_as_variables(known, key)
                )));
            }
            _ if known.is_alien(key) => {}
            _ => found.push(unknown_variable(key, origin, known)),
        }
    }
    for name in layers.variables().strange() {
        let key = name.strip_prefix(variables::PREFIX).unwrap_or(name);
        let meant = nearest(key, known.settings()).map_or_else(
            || "names are upper case, FARCALL_KEY or FARCALL_TABLE__KEY".to_owned(),
            |key| did_you_mean(&variables::name_of(key)),
        );
        found.push(
            Mistake::new(Origin::Variable(name.clone()), "unknown setting").help(Some(meant)),
        );
    }
    found
}

fn in_table(
    table: &Map<String, Value>,
    path: &str,
    origin: &Origin,
    known: &Known,
    found: &mut Vec<Mistake>,
) {
    // The parser does not keep the order of the file.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    for (name, value) in entries {
        let key = join(path, &written(name));
        match (known.kind(&key), &value.kind) {
            (Some(Kind::Setting | Kind::Alien), _) => {}
            (Some(Kind::Table), ValueKind::Table(inner)) => {
                in_table(inner, &key, origin, known, found)
            }
            (Some(Kind::Table), other) => {
                // Without the value: it may hold a secret that no key's name gives away.
                let example = known.names_in(&key).next().map_or("key", |(name, _)| name);
                found.push(
                    Mistake::new(origin.clone(), "not a table")
                        .key(&key)
                        .found(format!("a {}", given::type_name(other)))
                        .accepted(format!(
                            "a table: [{key}] on a line of its own, then {example} = …"
                        )),
                );
            }
            (None, kind) => {
                let what = match kind {
                    ValueKind::Table(_) => "unknown table",
                    _ => "unknown setting",
                };
                found.push(
                    Mistake::new(origin.clone(), what)
                        .key(&key)
                        .accepted(listed(known, path))
                        .help(meant_in_file(name, path, known)),
                );
            }
        }
    }
}

fn unknown_variable(key: &str, origin: Origin, known: &Known) -> Mistake {
    let mistake = Mistake::new(origin, "unknown setting").key(key);
    let table = parent(key);
    let mistake = if table.is_empty() || known.kind(table) == Some(Kind::Table) {
        mistake.accepted(listed_as_variables(known, table))
    } else {
        mistake
    };
    mistake.help(nearest(key, known.settings()).map(|key| did_you_mean(&variables::name_of(key))))
}

/// A neighbour with nearly this name, else a setting of this very name in another table.
fn meant_in_file(name: &str, table: &str, known: &Known) -> Option<String> {
    if let Some(neighbour) = nearest(name, known.names_in(table).map(|(name, _)| name)) {
        return Some(did_you_mean(neighbour));
    }
    let key = known.settings().find(|key| self::name(key) == name)?;
    Some(match parent(key) {
        "" => format!("{key} stands at the top, before the first [table]"),
        _ => did_you_mean(key),
    })
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean {name}?")
}

fn listed(known: &Known, table: &str) -> String {
    let names: Vec<_> = known
        .names_in(table)
        .filter_map(|(name, kind)| match kind {
            Kind::Setting => Some(name.to_owned()),
            Kind::Table => Some(format!("[{name}]")),
            Kind::Alien => None,
        })
        .collect();
    if names.is_empty() {
        "nothing: the table has no settings".to_owned()
    } else {
        names.join(", ")
    }
}

fn listed_as_variables(known: &Known, table: &str) -> String {
    let names: Vec<_> = known
        .names_in(table)
        .filter(|(_, kind)| *kind == Kind::Setting)
        .map(|(name, _)| variables::name_of(&join(table, name)))
        .collect();
    names.join(", ")
}

/// A name as TOML writes it: in quotes unless it is plain.
fn written(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { format!("{name:?}") }
}

/// The whole key of `name` in `table`.
pub(super) fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

fn parent(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(table, _)| table)
}

fn name(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The mistakes with `transport`, `server.id`, `server.drain` and others' `[redis]` known.
    fn found(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let mut known = Known::default();
        known.add("transport", Kind::Setting);
        known.add("server", Kind::Table);
        known.add("server.id", Kind::Setting);
        known.add("server.drain", Kind::Setting);
        known.add("redis", Kind::Alien);
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let layers = Layers::new(Some((Path::new("farcall.toml"), text)), variables).unwrap();
        mistakes(&layers, &known).iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn what_is_known_is_no_mistake() {
        let text = "transport = 'x'\n[server]\nid = 'a'\n[redis]\nanything = 1";
        let variables = [("FARCALL_SERVER__DRAIN", "1s"), ("FARCALL_REDIS__ANY__THING", "1")];
        assert_eq!(found(text, &variables), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_what_was_meant() {
        assert_eq!(
            found("[server]\nDrian = '1s'", &[]),
            [
                "farcall.toml: server.Drian: unknown setting\n  accepted  id, drain\n  help      did you mean drain?"
            ]
        );
    }

    #[test]
    fn an_unknown_table_is_one_mistake() {
        assert_eq!(
            found("[sevrer]\nid = 'a'\ndrain = '1s'", &[]),
            [
                "farcall.toml: sevrer: unknown table\n  accepted  transport, [server]\n  help      did you mean server?"
            ]
        );
    }

    #[test]
    fn a_key_in_the_wrong_table_is_shown_its_place() {
        assert!(found("drain = '1s'", &[])[0].ends_with("did you mean server.drain?"));
        assert!(
            found("[server]\ntransport = 'x'", &[])[0]
                .ends_with("transport stands at the top, before the first [table]")
        );
    }

    #[test]
    fn a_value_in_place_of_a_table_is_not_shown() {
        let mistakes = found("server = 'redis://:pw@host'", &[]);
        assert!(
            mistakes[0].starts_with("farcall.toml: server: not a table\n  found     a string"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn a_list_of_tables_is_no_table() {
        assert!(found("[[server]]\nid = 'a'", &[])[0].contains("not a table"));
    }

    #[test]
    fn a_key_with_a_dot_is_no_whole_key() {
        assert!(
            found("'server.id' = 'a'", &[])[0]
                .starts_with("farcall.toml: \"server.id\": unknown setting")
        );
    }

    #[test]
    fn an_unknown_variable_is_named_with_what_was_meant() {
        assert_eq!(
            found("", &[("FARCALL_SERVR__ID", "a")]),
            [
                "FARCALL_SERVR__ID: servr.id: unknown setting\n  help      did you mean FARCALL_SERVER__ID?"
            ]
        );
    }

    #[test]
    fn one_underscore_instead_of_two_is_understood() {
        assert!(
            found("", &[("FARCALL_SERVER_ID", "a")])[0]
                .ends_with("did you mean FARCALL_SERVER__ID?")
        );
    }

    #[test]
    fn lower_case_in_a_variable_is_understood() {
        assert!(
            found("", &[("FARCALL_server__id", "a")])[0]
                .ends_with("did you mean FARCALL_SERVER__ID?")
        );
    }

    #[test]
    fn a_variable_below_a_setting_is_unknown() {
        assert!(
            found("", &[("FARCALL_TRANSPORT__X", "a")])[0]
                .starts_with("FARCALL_TRANSPORT__X: transport.x: unknown")
        );
    }

    #[test]
    fn a_variable_named_like_a_table_lists_its_settings() {
        let mistakes = found("", &[("FARCALL_SERVER", "a")]);
        assert!(mistakes[0].ends_with("FARCALL_SERVER__ID, FARCALL_SERVER__DRAIN"), "{mistakes:?}");
    }

    #[test]
    fn an_unknown_value_is_never_shown() {
        let mistakes = found("pasword = 'hunter2'", &[("FARCALL_PASWORD", "hunter2")]);
        assert_eq!(mistakes.len(), 2);
        assert!(!mistakes.concat().contains("hunter2"));
    }
}
