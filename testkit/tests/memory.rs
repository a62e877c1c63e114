//! The contract on the memory transport.

use farcall_testkit::{MemoryWorld, contract};

contract!(MemoryWorld::default());
