//! A cluster: the keys are spread over several masters, each with a replica.

use crate::{RedisOptions, RedisServer, wait_until};

/// The slots of the masters at first, all 16,384 of them, as words of commands.
const SLOTS: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10921"], ["10922", "16383"]];

/// Three masters, and a replica of each, which takes over a few seconds after its master's death.
///
/// ```no_run
/// use farcall_integration_tests::RedisCluster;
///
/// let cluster = RedisCluster::start();
/// let slot = cluster.slot_of("key");
/// let old = cluster.kill_master_of(slot);
/// let new = cluster.wait_for_another(slot, old);
/// assert_ne!(new.url(), old.url());
/// ```
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes, makes a cluster of them, and waits until all of them say that it is whole.
    ///
    /// # Panics
    /// A node does not come up, or they do not find each other.
    #[must_use = "they are killed when they are dropped"]
    pub fn start() -> Self {
        RedisCluster::start_with(&RedisOptions::new())
    }

    /// Starts the nodes with these options.
    ///
    /// # Panics
    /// As [`start`](RedisCluster::start) does.
    #[must_use = "they are killed when they are dropped"]
    pub fn start_with(options: &RedisOptions) -> Self {
        let options = options
            .clone()
            .cluster_node()
            .config("cluster-node-timeout 1500")
            // However long a replica has not heard of its master, it may follow it.
            .config("cluster-replica-validity-factor 0");
        let nodes = (0..2 * SLOTS.len()).map(|_| options.clone().start()).collect();
        let cluster = RedisCluster { nodes };
        cluster.form();
        cluster
    }

    fn form(&self) {
        let (masters, replicas) = self.nodes.split_at(SLOTS.len());
        for (number, master) in masters.iter().enumerate() {
            let [first, last] = SLOTS[number];
            master.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            // Two of one epoch would first have to find out which of them is to change it.
            master.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for node in &self.nodes[1..] {
            let (port, bus) = (node.port().to_string(), node.bus().to_string());
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for node in &self.nodes {
            wait_until("the nodes know each other", || {
                let others = view(node);
                others.len() == self.nodes.len() && others.iter().all(|it| it.is_known)
            });
        }
        for (master, replica) in masters.iter().zip(replicas) {
            let id: String = master.ask(&["CLUSTER", "MYID"]);
            replica.command(&["CLUSTER", "REPLICATE", &id]);
        }
        wait_until("the cluster is whole", || self.is_whole());
    }

    /// All nodes; which of them are masters changes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// How clients reach the nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The slot of a key.
    ///
    /// # Panics
    /// No node runs.
    #[must_use]
    pub fn slot_of(&self, key: &str) -> u16 {
        let node = self.running().next().expect("a node that runs");
        node.ask(&["CLUSTER", "KEYSLOT", key])
    }

    /// The master of a slot, dead or alive.
    ///
    /// # Panics
    /// The nodes do not agree within [`PATIENCE`](crate::PATIENCE).
    #[must_use]
    pub fn master_of(&self, slot: u16) -> &RedisServer {
        let mut master = None;
        wait_until("the nodes agree", || {
            master = self.agreed(slot);
            master.is_some()
        });
        master.expect("it was just found")
    }

    /// Kills the master of a slot (SIGKILL), and says which it was.
    ///
    /// # Panics
    /// As [`master_of`](RedisCluster::master_of) does.
    pub fn kill_master_of(&self, slot: u16) -> &RedisServer {
        let master = self.master_of(slot);
        master.kill();
        master
    }

    /// Waits until the nodes that run agree on another master of a slot, and the cluster is whole.
    ///
    /// # Panics
    /// That is not so within [`PATIENCE`](crate::PATIENCE).
    pub fn wait_for_another(&self, slot: u16, old: &RedisServer) -> &RedisServer {
        let mut master = None;
        wait_until("the slot has another master", || {
            master = self.agreed(slot).filter(|it| it.port() != old.port() && self.is_whole());
            master.is_some()
        });
        master.expect("it was just found")
    }

    fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|it| it.runs())
    }

    fn agreed(&self, slot: u16) -> Option<&RedisServer> {
        let mut owners = self.running().map(|node| {
            let owner = view(node).into_iter().find(|it| it.owns(slot));
            owner.map(|it| it.port)
        });
        let first = owners.next()??;
        let agreed = owners.all(|owner| owner == Some(first));
        self.nodes.iter().find(|it| agreed && it.port() == first)
    }

    /// Whether all that run say so, and those that are replicas follow their masters.
    fn is_whole(&self) -> bool {
        self.running().all(|node| {
            let info: String = node.ask(&["CLUSTER", "INFO"]);
            let is_master = node.is_master();
            info.contains("cluster_state:ok\r\n")
                && (is_master == owns_slots(node))
                && (is_master || node.is_in_step())
        })
    }
}

fn owns_slots(node: &RedisServer) -> bool {
    view(node).iter().any(|it| it.port == node.port() && !it.slots.is_empty())
}

/// Who is in the cluster, as a node sees it.
fn view(node: &RedisServer) -> Vec<Member> {
    let text: String = node.ask(&["CLUSTER", "NODES"]);
    text.lines().map(|line| Member::parse(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// A line of `CLUSTER NODES`.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    port: u16,
    /// It has answered.
    is_known: bool,
    slots: Vec<(u16, u16)>,
}

impl Member {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (_, address, flags) = (words.next()?, words.next()?, words.next()?);
        let (_, port) = address.split_once('@')?.0.rsplit_once(':')?;
        let is_known = !flags.split(',').any(|it| it == "handshake" || it == "noaddr");
        // After its master, two times, its epoch and its link; slots on the move are in brackets.
        let slots = words.skip(5).filter(|it| !it.starts_with('[')).map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Some(Member { port: port.parse().ok()?, is_known, slots: slots.collect::<Option<_>>()? })
    }

    fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_a_member_and_its_slots() {
        let line = "e7d1 127.0.0.1:30002@31002,host master - 0 1426238316232 2 connected \
                    5461-10922 3 [93-<-292f]";
        let member = Member::parse(line).unwrap();
        assert_eq!((member.port, member.is_known), (30_002, true));
        assert_eq!(member.slots, [(5461, 10_922), (3, 3)]);
        assert!(member.owns(3) && member.owns(10_922) && !member.owns(4));
        let line = "07c3 127.0.0.1:30004@31004 handshake - 0 0 0 disconnected";
        let member = Member { port: 30_004, is_known: false, slots: Vec::new() };
        assert_eq!(Member::parse(line), Some(member));
        assert_eq!(Member::parse("nonsense"), None);
    }
}
