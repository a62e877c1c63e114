//! farcall over Redis: a fleet that shares a broker.
//!
//! Choose it by `transport = "redis"`. Servers of a service share one queue of calls, from which whoever has room takes
//! the next; all else goes from node to node through an inbox of each. Nothing of it is sent by pub/sub alone, so what is
//! said to a node that is just connecting again waits for it.
//!
//! ```toml
//! transport = "redis"
//!
//! [redis]
//! url = "rediss://calls@broker.example:6380/0"   # default: redis://127.0.0.1:6379
//! lease = "15s"                                  # default: a node that is killed is gone after this
//! ```
//!
//! # What it promises
//! - A call that lies in the queue is taken by one server, or taken back, never both.
//! - Whatever one node sends is done once, also when its connection is lost in the middle: it is sent again under the
//!   number it had.
//! - A server's death is known when its lease ends, or when its identity is started again. Who waits for it is told by
//!   whichever node notices first.
//! - A broker that is started anew, fails over, or loses its memory begins with nothing: calls that were under way end as
//!   *outcome unknown*, or are repeated if they are idempotent; later ones go on, without a restart of anything.
//! - Every key has a time to live, or is trimmed as it is used; but tasks that have not ended, which are bounded.
//!
//! Recoverable calls are recorded in the same broker, or in one beside another transport: see [`RedisLedger`].
//!
//! It does not promise more than the broker keeps: what a failover loses was lost.
//!
//! # Where things are
//! - `hub` is what everything of one link shares, `link` is how core reaches it.
//! - `branch` is this node's part in one service: all state of it, and how it meets what happens. `outbox` holds what
//!   waits to be sent, `entries` the calls of this node in the queue, `deliveries` those it has taken, `members` who is
//!   there: pure bookkeeping.
//! - Tasks move things: `keeper` has the connection and the membership, `exchange` sends, `incoming` reads the inbox,
//!   `requests` takes calls, `presence` follows who comes and goes, `audit` looks after old calls, `directory`
//!   after all services, `crowding` after peers that read too slowly. `lease` is a thread, which no handler can block.
//! - `ledger` keeps tasks in the broker, by scripts of its own, whatever carries the calls.
//! - `keys` names every key; `scripts` are the steps in Lua that are done whole or not at all; `message` and `reply` say
//!   how things lie in Redis.
//! - `config` and `connect` find the right server; `fault` says what an error means.

mod audit;
mod branch;
mod clock;
mod config;
mod connect;
mod crowding;
mod deliveries;
mod directory;
mod entries;
mod entry_id;
mod exchange;
mod fault;
mod hub;
mod incoming;
mod keeper;
mod keys;
mod lease;
mod ledger;
mod link;
mod members;
mod message;
mod outbox;
mod presence;
mod reply;
mod requests;
mod scripts;
mod transport;

pub use config::{RedisConfig, SentinelConfig};
pub use ledger::RedisLedger;
pub use transport::{REDIS, Redis, RedisKind};
