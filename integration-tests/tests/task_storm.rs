//! Three servers are killed fifty times, at random and at named points, while two clients start tasks: nothing that was
//! accepted is lost, has two outcomes, or is left over.

use farcall_integration_tests::storm::{Ground, Programs, Storm};

#[test]
fn what_is_accepted_survives_a_storm_of_kills() {
    let given = std::env::var("STORM_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let programs = Programs {
        server: env!("CARGO_BIN_EXE_storm-server").into(),
        client: env!("CARGO_BIN_EXE_storm-client").into(),
    };
    for (transport, store) in Ground::ALL {
        let seed = given.unwrap_or(7);
        let storm = Storm { transport: transport.into(), store: store.into(), seed, kills: 50 };
        let report = storm.play(&programs).expect("it is on the list of grounds");
        println!("{transport} x {store}, STORM_SEED={seed}: {report}");
        assert!(report.violations.is_empty(), "{transport} x {store}, STORM_SEED={seed}: {report}");
        assert!(report.count("tasks accepted") > 50, "{report}");
    }
}
