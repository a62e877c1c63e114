use farcall_macros as farcall;

struct NoSerde;

#[derive(serde::Serialize, serde::Deserialize)]
struct NoSchema;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn no_schema(&self, value: NoSchema);
    async fn no_serde(&self, #[farcall(opaque)] value: NoSerde);
    async fn value(&self, #[farcall(opaque = "yes")] value: NoSchema);
    async fn other(&self, #[farcall(idempotent)] value: NoSchema);
    async fn bare(&self, #[farcall] value: NoSchema);
}

#[farcall::data(crate = "farcall_core")]
struct Own {
    #[farcall(opaques)]
    wrong: NoSchema,
}

fn main() {}
