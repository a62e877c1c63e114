//! `farcall describe`, and what `farcall call` makes of it.

use crate::program::{Program, has};
use crate::server::Server;

#[test]
fn a_service_is_described_for_people() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let page = program.run(&["describe", "calc"]).answer();
    assert!(page.starts_with("calc  (schema "), "{page}");
    has(&page, "\nadd(a: i64, b: i64) -> i64\n    Adds two numbers.\n");
    has(&page, "\ndiv(a: f64, b: f64) -> Result<f64, CalcError>\n");
    has(&page, "\nsleep(ms: u64) -> u64\n    (idempotent)\n");
    has(
        &page,
        "\nshift(point: Point, steps: Vec<Step>, name: Option<String>) -> Point\n    Moves a point.\n    \
         (timeout 5s; may be left out: `name`)\n",
    );
    has(
        &page,
        "\ntypes\n    CalcError = \"DivisionByZero\"\n    Point (taken) = { x: f64, y?: f64 }\n        \
         A point of the plane.\n    Point (given) = { x: f64, y: f64 }\n",
    );
    has(&page, "\n    Step = \"Back\" | { By: { x: f64, y: f64 } }");
}

#[test]
fn a_service_is_described_for_programs() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let described = program.run(&["describe", "calc", "--json"]).json();
    assert_eq!(described["name"], "calc");
    assert_eq!(described["schema"].as_str().unwrap().len(), 24);
    let shift = &described["methods"][7];
    assert_eq!((&shift["name"], &shift["docs"]), (&"shift".into(), &"Moves a point.".into()));
    assert_eq!(shift["params"][0]["schema"]["$ref"], "#/$defs/read/Point");
    assert_eq!(shift["params"][2]["optional"], true);
    assert_eq!(shift["result_schema"]["$ref"], "#/$defs/written/Point");
    assert_eq!(described["$defs"]["read"]["Point"]["required"], serde_json::json!(["x"]));
    assert_eq!(described["methods"][3]["result_schema"]["format"], "bytes");
}

#[test]
fn a_service_that_nobody_serves_cannot_be_described() {
    let program = Program::new("[client]\nwait_for_server = '1ms'");
    let notes = program.run(&["describe", "calc"]).failure(3);
    has(&notes, "error: calc.describe: not sent: no server of `calc`");
    let notes = program.run(&["describe", "calc", "--json"]).failure(3);
    let told: serde_json::Value = serde_json::from_str(&notes).unwrap();
    assert_eq!(told["reason"], "no_server");
}

#[test]
fn arguments_are_fitted_to_own_types() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let shift = |point: &str, steps: &str| program.run(&["call", "calc", "shift", point, steps]);
    // Integers where floats are wanted, which serde alone would not take.
    let moved = shift(r#"{"x": 1}"#, r#"["Back", {"By": {"x": 2, "y": 3}}]"#).answer();
    assert_eq!(moved, "{\"x\":2.0,\"y\":3.0}\n");
    let notes = shift(r#"{"y": 1}"#, "[]").failure(2);
    has(&notes, "argument `point` of type Point: expected a field `x`");
    let notes = shift(r#"{"x": 1}"#, r#"["Forward"]"#).failure(2);
    has(&notes, "argument `steps` of type Vec<Step>: at [0]: expected `Back`");
    let notes = shift(r#"{"x": 1}"#, r#"[{"By": {"x": true, "y": 0}}]"#).failure(2);
    has(&notes, "at [0].By.x: expected a number");
}
