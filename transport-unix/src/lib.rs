//! farcall over Unix sockets: one machine, no broker, nothing to set up.
//!
//! Choose it by `transport = "unix"`, which is also the default. Every server has a socket at
//! `<socket_dir>/<namespace>/<service>/<server id>.sock`, and a client finds servers by looking
//! into the service's folder, now and whenever something changes there. A client has one
//! connection with each server, whatever the number of calls.
//!
//! ```toml
//! transport = "unix"
//!
//! [unix]
//! socket_dir = "/run/calc"    # default: $XDG_RUNTIME_DIR/farcall, or farcall-<user id> in /tmp
//! allow_uids = [1000]         # default: none but this user
//! ```
//!
//! # What it promises
//! - A server's death is known at once: the operating system closes its connections.
//! - Two live servers with one identity cannot be: each holds the lock beside its socket, and the
//!   second is refused at its start. What a dead one left behind is removed by the next server of
//!   this identity, or by the first client that finds it dead.
//! - Only this user can connect, unless `allow_uids` names others; root always can. The operating
//!   system vouches for who a peer is, and its user is checked before anything is read from it.
//! - A frame comes back as *not written* only if no byte of it was given to the operating system, or
//!   not the last part of it.
//! - A small frame waits for no more of a large one than a part of 128 KiB, and what the socket holds.
//!
//! It does not promise anything between machines: a folder on a network file system carries
//! neither sockets nor reliable locks.
//!
//! # On the wire
//! Either side sends frames, each after its length in four bytes, most significant byte first. Both
//! say hello at once, without waiting for the other; a server announces itself when it has seen the
//! client's hello, before anything else. Whoever ends a session may say goodbye last.
//!
//! # Where things are
//! - `hub` is what everything of one link shares, and `link` is how core reaches it.
//! - `session` is one connection: `framing` and `outgoing` hold what was read and is to be written,
//!   as pure code; `lanes` those that go out in parts; `reader` reads, `stall` finds those that have stopped midway.
//! - `listener` starts a `server` and accepts its connections; `lock` makes it the only one.
//! - `discovery` looks through folders when the `watcher` has news, and starts a `dial` for each
//!   socket, which connects and, after a wait, connects again.
//! - `buffers` is the memory that sessions share; what core has not taken yet lies in its `Inbox`.
//! - `config`, `paths` and `folder` say where sockets lie and whether that place can be trusted.

mod buffers;
mod config;
mod crowding;
mod dial;
mod discovery;
mod folder;
mod framing;
mod hub;
mod lanes;
mod link;
mod listener;
mod lock;
mod outgoing;
mod paths;
mod reader;
mod server;
mod session;
mod stall;
mod tasks;
mod transport;
mod watcher;

pub use config::UnixConfig;
pub use transport::{UNIX, Unix, UnixKind};
