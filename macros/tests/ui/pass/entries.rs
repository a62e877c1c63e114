//! `main` and `test` on functions of several kinds.
#![deny(warnings, missing_docs)]

use farcall_macros as farcall;

#[derive(Debug)]
struct Failed;

impl From<std::num::ParseIntError> for Failed {
    fn from(_: std::num::ParseIntError) -> Self {
        Failed
    }
}

/// Documented.
#[farcall::main(crate = "farcall_core")]
pub async fn with_question_mark() -> Result<(), Failed> {
    let _: i32 = "1".parse()?;
    Ok(())
}

#[farcall::main(crate = "farcall_core")]
async fn anonymous() -> impl std::process::Termination {
    std::process::ExitCode::SUCCESS
}

#[farcall::test(crate = "farcall_core")]
async fn tested() {
    assert_eq!(std::future::ready(1).await, 1);
}

#[farcall::test(crate = "farcall_core")]
#[should_panic(expected = "as it should")]
async fn panics() {
    panic!("as it should");
}

#[farcall::main(crate = "farcall_core")]
async fn main() {
    std::future::ready(()).await;
    let thread = std::thread::spawn(|| {
        with_question_mark().unwrap();
        let _ = anonymous();
    });
    thread.join().unwrap();
}
