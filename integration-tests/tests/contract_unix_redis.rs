//! The contract on Unix sockets with tasks in a broker, with servers in processes of their own.

use farcall_integration_tests::UnixRedisWorld;
use farcall_testkit::contract;

contract!(UnixRedisWorld::new(env!("CARGO_BIN_EXE_contract-server")));
