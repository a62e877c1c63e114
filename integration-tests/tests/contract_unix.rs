//! The contract on Unix sockets, with servers in processes of their own.

use farcall_integration_tests::UnixWorld;
use farcall_testkit::contract;

contract!(UnixWorld::new(env!("CARGO_BIN_EXE_contract-server")));
