//! Two versions of a service, which fit together where they can.
#![deny(warnings)]

use farcall_core::{Config, Memory, Node, Reason};

mod old {
    use farcall_macros as farcall;

    #[farcall::data(crate = "farcall_core")]
    pub struct Point {
        pub x: f64,
    }

    #[farcall::service(crate = "farcall_core")]
    pub trait Plane {
        async fn length(&self, point: &Point) -> f64;
        async fn name(&self, number: i64) -> String;
    }
}

mod new {
    use farcall_macros as farcall;

    /// A point, of which more is known.
    #[farcall::data(crate = "farcall_core")]
    #[derive(Default)]
    pub struct Point {
        pub x: f64,
        #[serde(default)]
        pub y: f64,
    }

    #[farcall::service(crate = "farcall_core")]
    pub trait Plane {
        /// How far it is.
        #[farcall(idempotent)]
        async fn length(&self, it: Point, scale: Option<f64>) -> f64;
        async fn name(&self, number: String) -> String;
    }
}

struct Same;

impl new::Plane for Same {
    async fn length(&self, it: new::Point, scale: Option<f64>) -> f64 {
        it.x.hypot(it.y) * scale.unwrap_or(1.0)
    }
    async fn name(&self, number: String) -> String {
        number
    }
}

fn main() -> farcall_core::Result<()> {
    farcall_core::block_on(async {
        let memory = Memory::new();
        let server = Node::open_with(Config::default(), memory.transport()).await?;
        server.serve(new::PlaneServer::new(Same)).await?;

        let node = Node::open_with(Config::default(), memory.transport()).await?;
        let plane = new::PlaneClient::new(&node);
        assert_eq!(plane.length(new::Point { x: 3.0, y: 4.0 }, Some(2.0)).await?, 10.0);
        assert_eq!(node.counters().await.calls, 1, "nobody was asked what it offers");

        let plane = old::PlaneClient::new(&node);
        assert_eq!(plane.length(&old::Point { x: 3.0 }).await?, 3.0);
        assert_eq!(node.counters().await.calls, 3, "the server was asked, once");
        let error = plane.name(7).await.unwrap_err();
        assert_eq!(error.reason(), Reason::WrongArguments);
        assert!(error.to_string().contains("`number`"), "{error}");
        Ok(())
    })
}
