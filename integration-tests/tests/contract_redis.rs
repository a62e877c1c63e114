//! The contract on Redis, with a broker for each line and servers in processes of their own.

use farcall_integration_tests::RedisWorld;
use farcall_testkit::contract;

contract!(RedisWorld::new(env!("CARGO_BIN_EXE_contract-server")));
