use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn type_parameter<T: Clone>(&self, value: T);
    async fn lifetime<'a>(&self, text: &'a str);
    async fn anonymous(&self, text: impl Into<String>);
    async fn clause(&self)
    where
        Self: Sized;
}

fn main() {}
