//! Worlds with real processes, for the contract and for scenarios of their own.

mod fleet;
mod memory;
mod process;
mod processor;
mod redis_cluster;
mod redis_sentinels;
mod redis_server;
mod redis_world;
mod scenario;
pub mod storm;
mod unix_redis_world;
mod unix_world;
mod waiting;

pub use fleet::Fleet;
pub use memory::Memory;
pub use process::{Process, end_with_parent};
pub use processor::own_processor;
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use redis_server::{Certificates, RedisOptions, RedisServer};
pub use redis_world::RedisWorld;
pub use scenario::{SCENARIO, scenario_service};
pub use unix_redis_world::UnixRedisWorld;
pub use unix_world::UnixWorld;
pub use waiting::{PATIENCE, until, wait_until};
