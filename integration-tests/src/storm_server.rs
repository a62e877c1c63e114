//! A server of recoverable methods, for tests that kill it at random. It takes everything from its configuration, and
//! ends with the test that started it.

use std::io::Write;
use std::time::Duration;

use farcall::prelude::*;

#[farcall::main]
async fn main() -> farcall::Result<()> {
    farcall_integration_tests::end_with_parent();
    let mut resolved = farcall::resolve()?;
    // Whoever is killed at random, and often, is not to be taken for a killer.
    resolved.config.ledger.crashes = 100;
    let node = Node::open_with(resolved.config, resolved.transport).await?;
    // Takes its time, then notes its task and attempt, and gives the number of the attempt.
    let work = |ctx: Context, path: String, ms: u64| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let task = ctx.task().ok_or("it is recoverable")?;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        // One write, so that lines of several processes do not mix.
        let line = format!("{} {}\n", task.token(), task.attempt());
        let noted = file.and_then(|mut file| file.write_all(line.as_bytes()));
        noted.map_err(|error| error.to_string())?;
        Ok::<u64, String>(task.attempt())
    };
    node.serve(Functions::new("storm").try_add("work", work).recoverable()).await?;
    node.run().await
}
