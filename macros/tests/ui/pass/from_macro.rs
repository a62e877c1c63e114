//! A trait that a `macro_rules!` macro writes.
#![deny(warnings)]

use farcall_macros as farcall;

macro_rules! store {
    ($name:ident, $method:ident, $item:ty, $($param:ident),*) => {
        #[farcall::service(crate = "farcall_core")]
        trait $name {
            async fn $method(&self, $($param: $item,)* lent: &$item) -> $item;
            async fn fixed(&self, bytes: &[u8]) -> Result<$item, String>;
        }
    };
}

store!(Bytes, put, Vec<u8>, a, b);
store!(Texts, set, String, c);

struct Both;

impl Bytes for Both {
    async fn put(&self, a: Vec<u8>, b: Vec<u8>, lent: &Vec<u8>) -> Vec<u8> {
        [a, b, lent.clone()].concat()
    }
    async fn fixed(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }
}

impl Texts for Both {
    async fn set(&self, c: String, lent: &String) -> String {
        c + lent
    }
    async fn fixed(&self, _: &[u8]) -> Result<String, String> {
        Err(String::new())
    }
}

fn main() {
    drop(BytesServer::new(Both));
    drop(TextsServer::new(Both));
    let _ = |client: BytesClient| client.put(vec![], vec![], &vec![]);
    let _ = |client: TextsClient| client.set(String::new(), &String::new());
}
