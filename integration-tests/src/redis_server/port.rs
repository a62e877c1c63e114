//! Ports for servers that want one.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

use super::RedisOptions;

/// Below what the kernel gives to outgoing connections: while a server is down, nobody may be given
/// its port, least of all a client that dials it and would be connected to itself.
const RANGE: Range<u16> = 10_000..32_768;

/// A port of 127.0.0.1 that no other test takes while this lives, also while nothing listens.
#[derive(Debug)]
struct Port {
    number: u16,
    /// The port of the same number for datagrams, which servers do not use: whoever has it, has
    /// the other. It is free again with the process, however that ends.
    _reserved: UdpSocket,
}

impl Port {
    /// One that nothing listens at. Somebody who reserves nothing may still be faster.
    ///
    /// # Panics
    /// A thousand of them were taken.
    fn reserve() -> Self {
        let free = (0..1000).find_map(|_| {
            let number = random();
            let at = (Ipv4Addr::LOCALHOST, number);
            let reserved = UdpSocket::bind(at).ok()?;
            TcpListener::bind(at).ok()?;
            Some(Port { number, _reserved: reserved })
        });
        free.expect("one port of many is free")
    }

    fn number(&self) -> u16 {
        self.number
    }
}

/// Those of one server.
#[derive(Debug, Default)]
pub(super) struct Ports {
    clients: Option<Port>,
    bus: Option<Port>,
}

impl Ports {
    /// Those that a server of this kind has.
    pub(super) fn reserve(options: &RedisOptions) -> Self {
        let wanted = |it: bool| it.then(Port::reserve);
        Ports { clients: wanted(options.tcp), bus: wanted(options.bus) }
    }

    /// Where clients come, or 0.
    pub(super) fn clients(&self) -> u16 {
        self.clients.as_ref().map_or(0, Port::number)
    }

    /// Where other nodes of a cluster come, or 0.
    pub(super) fn bus(&self) -> u16 {
        self.bus.as_ref().map_or(0, Port::number)
    }
}

fn random() -> u16 {
    let number = RandomState::new().build_hasher().finish() % RANGE.len() as u64;
    RANGE.start + u16::try_from(number).expect("it is less than the range has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_once_and_free_afterwards() {
        let port = Port::reserve();
        let at = (Ipv4Addr::LOCALHOST, port.number());
        assert!(RANGE.contains(&port.number()));
        assert!(UdpSocket::bind(at).is_err());
        TcpListener::bind(at).expect("its owner may listen");
        drop(port);
        UdpSocket::bind(at).expect("it was given back");
    }
}
