//! farcall over Redis: a fleet that shares a broker.

#![cfg_attr(test, allow(dead_code, reason = "tests use a part of it"))]
#![cfg_attr(not(test), expect(dead_code, reason = "the transport is what connects"))]

mod config;
mod connect;
mod fault;

pub use config::{RedisConfig, SentinelConfig};
