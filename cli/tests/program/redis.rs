//! The program on Redis: what it lists is spread over a cluster.

use farcall_integration_tests::RedisCluster;

use crate::program::{Program, has};
use crate::server::Server;

#[test]
fn services_are_listed_wherever_in_a_cluster_they_lie() {
    let cluster = RedisCluster::start();
    let urls = cluster.urls().join(",");
    let program = Program::new("transport = 'redis'").variable("FARCALL_REDIS__CLUSTER", &urls);
    let settings = [("FARCALL_TRANSPORT", "redis"), ("FARCALL_REDIS__CLUSTER", &*urls)];
    let mut ann = settings.to_vec();
    ann.push(("FARCALL_SERVER__ID", "ann"));
    let _calc = Server::start(&program.sockets(), &ann);
    let mut bob = settings.to_vec();
    bob.push(("FARCALL_SERVER__ID", "bob"));
    let _line = Server::start_line_with(&program.sockets(), &bob);

    assert_eq!(program.run(&["call", "calc", "add", "1", "2"]).answer(), "3\n");
    let listed = program.run(&["list"]).answer();
    for part in ["calc", "ann", "line", "bob"] {
        has(&listed, part);
    }
    has(&program.run(&["ping", "calc"]).answer(), "ann");
}
