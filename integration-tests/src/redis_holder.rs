//! Holds a Redis server for a test that kills this process: says where it is, and waits.

use farcall_integration_tests::RedisServer;

fn main() -> std::io::Result<()> {
    let server = RedisServer::start();
    println!("{}", server.url());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
