use std::borrow::Cow;

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Texts {
    async fn result(&self) -> &str;
    async fn result_list(&self) -> &'static [u16];
    async fn result_inside(&self) -> Result<Option<&String>, String>;
    async fn result_cow(&self) -> Cow<'_, str>;
    async fn exclusive(&self, text: &mut Vec<u8>);
    async fn lifetime(&self, text: &'static str);
    async fn inside(&self, text: Option<&str>);
    async fn cow(&self, text: Cow<'_, [u8]>);
    async fn text(&self, text: str);
    async fn list(&self, list: [u8]);
}

fn main() {}
