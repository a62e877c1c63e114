//! From what was written to what is in force.

use std::fmt;

use crate::transport::{Transport, TransportKind, WithLedger};

use super::error::{ConfigError, Mistake};
use super::layers::Layers;
use super::origin::Origin;
use super::reading::Reading;
use super::section::Section;
use super::settings::Settings;
use super::{ClientConfig, Config, LedgerConfig, Limits, ServerConfig};
use crate::nearest::nearest;

/// The transports of this project; a program may be built without some, or with others.
const OURS: [&str; 4] = ["unix", "zmq", "redis", "memory"];

/// A configuration without mistakes.
pub struct Resolved {
    /// The settings of the node.
    pub config: Config,
    /// The chosen transport with the settings of its table, not yet opened.
    pub transport: Box<dyn Transport>,
    /// What is in force, and who said so.
    pub settings: Settings,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("config", &self.config)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Checks everything that was written, and takes from it what is in force.
    ///
    /// `kinds` are the transports this program was built with. Each reads its table, chosen or not,
    /// so that a mistake comes out before the day the table is needed. A table of `unix`, `zmq`,
    /// `redis` or `memory` stays unread if the program was built without that transport; every
    /// other key, table and variable must be known to somebody.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] with every mistake of every table. For an unknown transport it names those
    /// of `kinds`, and the cargo feature that is missing, if that is why.
    pub fn resolve(layers: &Layers, kinds: &[&dyn TransportKind]) -> Result<Resolved, ConfigError> {
        let mut reading = layers.read();
        let config = Config::read(&mut reading, kinds);
        let mut chosen = None;
        let mut ledger = None;
        for kind in kinds {
            let in_use = kind.name() == config.transport;
            let records = !in_use && config.ledger.store.is_kept_by(kind.name());
            let section = &mut reading.section_in_use(kind.name(), in_use || records);
            let transport = kind.configure(section);
            if in_use {
                chosen = transport;
            } else if records {
                ledger = kind.ledger(section);
            }
        }
        for name in OURS {
            if kinds.iter().all(|kind| kind.name() != name) {
                reading.leave_alone(name);
            }
        }
        let settings = reading.finish()?;
        let Some(transport) = chosen else {
            let problem = "cannot be used with the settings of its table, and did not say why";
            return Err(Mistake::new(Origin::Default, problem).key(&config.transport).into());
        };
        let transport = match ledger {
            Some(ledger) => Box::new(WithLedger::new(transport, ledger)),
            None => transport,
        };
        Ok(Resolved { config, transport, settings })
    }

    fn read(reading: &mut Reading<'_>, kinds: &[&dyn TransportKind]) -> Config {
        let default = Config::default();
        let mut root = reading.root();
        let transport = root.text_or("transport", &default.transport);
        if root.mistakes() == 0 {
            check_transport(&transport, &mut root, kinds);
        }
        let namespace = root.name_or("namespace", default.namespace);
        let spin = root.duration("spin", default.spin, super::SPINS);
        Config {
            transport,
            namespace,
            spin,
            server: ServerConfig::read(&mut reading.section("server")),
            client: ClientConfig::read(&mut reading.section("client")),
            limits: Limits::read(&mut reading.section("limits")),
            ledger: LedgerConfig::read(&mut reading.section("ledger")),
        }
    }
}

/// A transport this program was not built with cannot be chosen.
fn check_transport(name: &str, root: &mut Section<'_>, kinds: &[&dyn TransportKind]) {
    let compiled: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    if compiled.contains(&name) {
        return;
    }
    let accepted = match compiled.as_slice() {
        [] => "nothing: this program was built without any transport".to_owned(),
        names => format!("what this program was built with: {}", names.join(", ")),
    };
    let help = if OURS.contains(&name) {
        Some(format!(
            "this program was built without {name}: enable the feature {name} of farcall, if this \
             version has it"
        ))
    } else {
        nearest(name, compiled).map(|name| format!("did you mean {name}?"))
    };
    root.refuse("transport", &accepted, help);
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use futures::future::LocalBoxFuture;

    use super::super::{Name, StoreChoice};
    use super::*;
    use crate::transport::{Attachment, Link, LinkError};

    /// A transport with two settings.
    struct Pigeon(&'static str);

    impl Transport for Pigeon {
        fn open(
            self: Box<Self>,
            _: Attachment,
        ) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
            Box::pin(async { Err(LinkError::new("pigeons only carry configurations")) })
        }
    }

    impl TransportKind for Pigeon {
        fn name(&self) -> &'static str {
            self.0
        }

        fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Transport>> {
            section.count("flock", 4, 1..=100);
            if section.text("coop").as_deref() == Some("burnt") {
                return None;
            }
            Some(Box::new(Pigeon(self.0)))
        }
    }

    const UNIX: &dyn TransportKind = &Pigeon("unix");
    const ZMQ: &dyn TransportKind = &Pigeon("zmq");

    fn resolve_with(
        kinds: &[&dyn TransportKind],
        text: &str,
        variables: &[(&str, &str)],
    ) -> Result<Resolved, ConfigError> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::resolve(&Layers::new(Some((Path::new("farcall.toml"), text)), variables)?, kinds)
    }

    fn resolve(text: &str, variables: &[(&str, &str)]) -> Result<Resolved, ConfigError> {
        resolve_with(&[UNIX, ZMQ], text, variables)
    }

    fn mistakes(result: Result<Resolved, ConfigError>) -> Vec<String> {
        result.unwrap_err().mistakes().iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn empty_layers_give_the_default() {
        let resolved = Config::resolve(&Layers::default(), &[UNIX]).unwrap();
        assert_eq!(resolved.config, Config::default());
        assert!(resolved.settings.iter().all(|setting| setting.origin == Origin::Default));
    }

    #[test]
    fn a_variable_goes_before_the_file_and_the_file_before_the_default() {
        let text = "namespace = 'file'\n[server]\nconcurrency = 8\nbacklog = 9";
        let resolved = resolve(text, &[("FARCALL_SERVER__CONCURRENCY", "16")]).unwrap();
        assert_eq!(resolved.config.namespace, "file");
        assert_eq!(resolved.config.server.concurrency, 16);
        assert_eq!(resolved.config.server.backlog, 9);
        assert_eq!(resolved.config.server.drain, Duration::from_secs(10));
        let origin = |key: &str| resolved.settings.get(key).unwrap().origin.to_string();
        assert_eq!(origin("server.concurrency"), "FARCALL_SERVER__CONCURRENCY");
        assert_eq!(origin("server.backlog"), "farcall.toml");
        assert_eq!(origin("server.drain"), "default");
    }

    #[test]
    fn one_line_moves_a_deployment() {
        let text = "[unix]\nflock = 1\n[zmq]\nflock = 2";
        for (transport, flock) in [("unix", "1"), ("zmq", "2")] {
            let resolved = resolve(text, &[("FARCALL_TRANSPORT", transport)]).unwrap();
            assert_eq!(resolved.config.transport, transport);
            let key = format!("{transport}.flock");
            assert_eq!(resolved.settings.get(&key).unwrap().value.as_deref(), Some(flock));
        }
    }

    #[test]
    fn the_table_that_is_not_chosen_is_not_in_force() {
        let resolved = resolve("[zmq]\nflock = 2", &[]).unwrap();
        assert!(resolved.settings.get("zmq.flock").is_none());
    }

    #[test]
    fn the_table_that_is_not_chosen_is_checked() {
        assert!(
            mistakes(resolve("[zmq]\nflock = 0", &[]))[0]
                .starts_with("farcall.toml: zmq.flock: not accepted")
        );
        assert!(mistakes(resolve("[zmq]\nflok = 1", &[]))[0].contains("did you mean flock?"));
    }

    #[test]
    fn the_table_of_a_transport_left_out_of_the_build_is_left_alone() {
        let variables = [("FARCALL_REDIS__URL", "redis://:pw@host")];
        assert!(resolve("[redis]\nanything = 1\n[memory]\nx = 1", &variables).is_ok());
    }

    #[test]
    fn a_transport_left_out_of_the_build_names_its_feature() {
        assert_eq!(
            mistakes(resolve("transport = 'redis'", &[])),
            ["farcall.toml: transport: not accepted\n  \
              found     \"redis\" (string)\n  \
              accepted  what this program was built with: unix, zmq\n  \
              help      this program was built without redis: enable the feature redis of farcall, if this version has it"]
        );
    }

    #[test]
    fn an_unknown_transport_names_the_nearest() {
        let mistakes = mistakes(resolve("", &[("FARCALL_TRANSPORT", "zqm")]));
        assert!(
            mistakes[0]
                .starts_with("FARCALL_TRANSPORT: transport: not accepted\n  found     zqm (text)")
        );
        assert!(mistakes[0].ends_with("help      did you mean zmq?"));
    }

    #[test]
    fn the_default_transport_may_be_missing_too() {
        let mistakes = mistakes(resolve_with(&[], "", &[]));
        assert_eq!(
            mistakes,
            ["transport: its default is not accepted here\n  \
              accepted  nothing: this program was built without any transport\n  \
              help      this program was built without unix: enable the feature unix of farcall, if this version has it"]
        );
    }

    #[test]
    fn a_transport_that_is_no_text_is_one_mistake() {
        assert_eq!(mistakes(resolve_with(&[ZMQ], "transport = 5", &[])).len(), 1);
    }

    #[test]
    fn a_transport_of_another_crate_is_one_like_ours() {
        let nats: &dyn TransportKind = &Pigeon("nats");
        let resolved = resolve_with(&[nats], "transport = 'nats'\n[nats]\nflock = 3", &[]).unwrap();
        assert_eq!(resolved.settings.get("nats.flock").unwrap().value.as_deref(), Some("3"));
    }

    #[test]
    fn a_transport_that_gives_nothing_is_a_mistake_only_if_chosen() {
        assert!(resolve("[zmq]\ncoop = 'burnt'", &[]).is_ok());
        let mistakes = mistakes(resolve("transport = 'zmq'\n[zmq]\ncoop = 'burnt'", &[]));
        assert_eq!(mistakes.len(), 1);
    }

    #[test]
    fn an_unknown_table_is_named_with_the_nearest() {
        let mistakes = mistakes(resolve("[cleint]\ntimeout = '1s'", &[]));
        assert!(mistakes[0].starts_with("farcall.toml: cleint: unknown table"));
        assert!(mistakes[0].ends_with("did you mean client?"));
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_nearest() {
        let mistakes = mistakes(resolve("", &[("FARCALL_CLIENT__TIMOUT", "1s")]));
        assert!(mistakes[0].starts_with("FARCALL_CLIENT__TIMOUT: client.timout: unknown setting"));
        assert!(mistakes[0].ends_with("did you mean FARCALL_CLIENT__TIMEOUT?"));
    }

    #[test]
    fn a_ledger_is_chosen_by_its_table() {
        let resolved = resolve("[ledger]\nstore = 'memory'", &[("FARCALL_LEDGER__CRASHES", "7")]);
        let ledger = resolved.unwrap().config.ledger;
        assert_eq!((ledger.store, ledger.crashes), (StoreChoice::Memory, 7));
        let mistakes = mistakes(resolve("[ledger]\nstore = 'tape'", &[]));
        assert!(mistakes[0].contains("accepted  one of auto,"), "{mistakes:?}");
    }

    #[test]
    fn all_mistakes_of_all_tables_come_out_together() {
        let text = "namespace = '.x'\n[server]\nconcurrency = 2.7\n[unix]\nflock = 0\n[zmq]\ncoop = 1\n[other]\n[ledger]";
        let variables = [("FARCALL_CLIENT__TIMEOUT", "30"), ("FARCALL_X", "1")];
        let error = resolve(text, &variables).unwrap_err();
        assert!(error.to_string().starts_with("7 mistakes in the configuration\n"), "{error}");
    }

    #[test]
    fn names_of_servers_and_clients_are_read() {
        let resolved = resolve("[server]\nid = '0'\n[client]\nidentity = 'me'", &[]).unwrap();
        assert_eq!(resolved.config.server.id, Some(Name::new("0").unwrap()));
        assert_eq!(resolved.config.client.identity, Some(Name::new("me").unwrap()));
    }

    #[test]
    fn debug_output_of_what_was_resolved_has_no_secrets() {
        let resolved = resolve("[unix]\ncoop = 'redis://:hunter2@h'", &[]).unwrap();
        assert!(!format!("{resolved:?}").contains("hunter2"));
    }
}
