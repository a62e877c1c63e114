//! What a service tells of itself.
#![deny(warnings)]

use std::rc::Rc;
use std::time::Duration;

use farcall_core::Context;
use farcall_core::service::{Descriptor, IntoService, Service};
use farcall_macros as farcall;

/// Reckons.
///
/// In several lines:
///
///     indented
#[farcall::service(name = "calc-2.eu", crate = "farcall_core")]
#[doc(alias = "reckoner")]
trait Calc: Send + Sync {
    /// Adds.
    #[farcall(idempotent, timeout = "1m30s", name = "this.is.a.name")]
    #[farcall()]
    async fn add(&self, ctx: &Context, a: i64, r#type: Vec<Option<u8>>) -> Result<i64, String>;
    #[farcall(name = "{old} \"\u{e9}\"")]
    #[doc = "Old."]
    #[deprecated = "use `add`"]
    async fn old(&self);
}

struct Zero;

impl Calc for Zero {
    async fn add(&self, _: &Context, a: i64, _: Vec<Option<u8>>) -> Result<i64, String> {
        Ok(a)
    }
    async fn old(&self) {}
}

#[farcall::service(crate = "farcall_core")]
trait HTTPApiV2 {}

impl HTTPApiV2 for Zero {}

fn descriptor(service: impl IntoService) -> Descriptor {
    let service: Rc<dyn Service> = Box::new(service).into_service().unwrap();
    service.descriptor()
}

fn main() {
    let calc = descriptor(CalcServer::build(|| Zero));
    assert_eq!(calc.name, "calc-2.eu");
    assert_eq!(calc.docs, "Reckons.\n\nIn several lines:\n\n    indented");
    let [add, old] = &calc.methods[..] else { panic!("two methods") };
    assert_eq!(add.name, "this.is.a.name");
    assert_eq!(add.docs, "Adds.");
    assert_eq!(add.result, "i64");
    assert_eq!(add.error.as_deref(), Some("String"));
    assert!(add.idempotent);
    assert_eq!(add.timeout, Some(Duration::from_secs(90)));
    let params: Vec<_> = add.params.iter().map(|param| (&*param.name, &*param.ty)).collect();
    assert_eq!(params, [("a", "i64"), ("type", "Vec<Option<u8>>")]);
    let schemas: Vec<_> = add.params.iter().map(|param| param.schema.as_json()).collect();
    assert_eq!(schemas[0]["format"], "int64");
    assert_eq!(schemas[1]["items"]["type"][0], "integer");
    assert_eq!(add.error_schema.as_ref().unwrap().as_json()["type"], "string");
    assert_eq!(calc.schema.len(), 24);
    assert_eq!(old.name, "{old} \"é\"");
    assert_eq!(old.result, "()");
    assert!(!old.idempotent && old.timeout.is_none() && old.error.is_none());

    let api = descriptor(HTTPApiV2Server::new(Zero));
    assert_eq!(api.name, "http_api_v2");
    assert!(api.methods.is_empty());
}
