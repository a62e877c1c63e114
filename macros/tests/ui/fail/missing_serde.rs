use farcall_macros as farcall;

struct Plain;

mod other {
    #[derive(serde::Serialize)]
    pub struct OnlyWritten;
}

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn owned(&self, value: Plain);
    async fn lent(&self, value: &Plain, list: &[Plain]);
    async fn inside(&self, value: Vec<Option<Plain>>);
    async fn result(&self) -> Plain;
    async fn result_or(&self) -> Result<Plain, String>;
    async fn half(&self, value: other::OnlyWritten) -> std::rc::Rc<u8>;
}

fn main() {}
