//! A server of the contract service, for tests that need one in a process of its own. It takes
//! everything from its configuration, and ends when its standard input does, so that none outlives
//! the test that started it.

use farcall::prelude::*;

#[farcall::main]
async fn main() -> farcall::Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let node = Node::open().await?;
    node.serve(farcall_testkit::contract_service()).await?;
    node.run().await
}
