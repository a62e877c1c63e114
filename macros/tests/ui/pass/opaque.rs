//! Types of other crates, which serde can write and read, and which have no JSON Schema.
#![deny(warnings)]

use farcall_core::schema::Schema;
use farcall_core::service::IntoService;
use farcall_core::{Config, Memory, Node};
use farcall_macros as farcall;

/// As another crate has it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Foreign(u8);

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[farcall::data(crate = "farcall_core")]
#[derive(Clone, Debug, PartialEq)]
struct Own {
    #[farcall(opaque)]
    foreign: Foreign,
    list: Either,
}

#[farcall::data(crate = "farcall_core")]
#[derive(Clone, Debug, PartialEq)]
enum Either {
    One(#[farcall(opaque)] Foreign),
    Many {
        #[farcall(opaque)]
        all: Vec<Foreign>,
    },
}

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn params(
        &self,
        #[farcall(opaque)] owned: Foreign,
        #[farcall(opaque)] lent: &Foreign,
        #[farcall(opaque)] list: &[Foreign],
        own: Own,
    ) -> Own;
    #[farcall(opaque)]
    async fn result(&self) -> Foreign;
    #[farcall(opaque, idempotent)]
    async fn error(&self, own: &Own) -> Result<Option<Foreign>, Foreign>;
}

struct Same;

impl Calc for Same {
    async fn params(&self, owned: Foreign, lent: &Foreign, list: &[Foreign], own: Own) -> Own {
        assert!(owned == *lent && list[0] == owned && own.foreign == owned);
        own
    }
    async fn result(&self) -> Foreign {
        Foreign(2)
    }
    async fn error(&self, own: &Own) -> Result<Option<Foreign>, Foreign> {
        Err(own.foreign.clone())
    }
}

fn main() -> farcall_core::Result<()> {
    let service = Box::new(CalcServer::new(Same)).into_service().unwrap();
    let descriptor = service.descriptor();
    let [params, result, error] = &descriptor.methods[..] else { panic!("three methods") };
    assert!(params.params[..2].iter().all(|param| param.schema.is_anything()));
    assert_eq!(params.params[2].schema.as_json()["items"], true);
    assert!(result.result_schema.is_anything());
    assert_eq!(error.error_schema, Some(Schema::default()));
    let own = &descriptor.definitions.read["Own"].as_json()["properties"];
    assert_eq!(own["foreign"], true);

    farcall_core::block_on(async {
        let node = Node::open_with(Config::default(), Memory::new().transport()).await?;
        node.serve(CalcServer::new(Same)).await?;
        let calc = CalcClient::new(&node);
        let (one, all) = (Foreign(1), vec![Foreign(1)]);
        let own = Own { foreign: one.clone(), list: Either::One(one.clone()) };
        assert_eq!(calc.params(one.clone(), &one, &all, own.clone()).await?, own);
        let own = Own { foreign: one.clone(), list: Either::Many { all } };
        assert_eq!(calc.result().await?, Foreign(2));
        assert_eq!(calc.error(&own).await.unwrap_err().returned(), Some(one));
        Ok(())
    })
}
