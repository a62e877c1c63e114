//! What compiles, and what the compiler says of what does not.
//!
//! Its words are those of one release: after a change of the toolchain run with
//! `TRYBUILD=overwrite` and read the differences as a user would. Every message has to stand at the
//! user's line and say what to write.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
