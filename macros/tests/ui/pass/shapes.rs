//! Parameters and results of all shapes.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, unused)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use farcall_core::{Config, Context, Memory, Node};
use farcall_macros as farcall;

/// A point of the plane.
#[farcall::data(crate = "farcall_core")]
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Upwards.
    #[serde(default)]
    pub y: f64,
}

/// What may go wrong.
#[farcall::data(crate = "farcall_core")]
#[derive(Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ShapeError {
    /// There is nothing.
    Empty,
    /// It has a name that is not wanted.
    Named(String),
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Parameters and results of all shapes.
#[farcall::service(crate = "farcall_core")]
pub trait Shapes {
    /// Nothing in, nothing out.
    async fn nothing(&self);
    /// Owned values.
    async fn owned(&self, number: i64, text: String, point: Point) -> (i64, String, Point);
    /// Lent values.
    async fn lent(&self, text: &str, point: &Point, list: &[Point], pair: &(u8, String)) -> String;
    /// Bytes.
    async fn bytes(&self, owned: Vec<u8>, slice: &[u8], vec: &Vec<u8>) -> Vec<u8>;
    /// Bytes or an error.
    async fn bytes_or(&self, bytes: &[u8]) -> Result<Vec<u8>, ShapeError>;
    /// A value or an error.
    async fn value_or(&self, name: &str) -> std::result::Result<Point, ShapeError>;
    /// Nothing or an error.
    async fn nothing_or(&self, fail: bool) -> Result<(), ShapeError>;
    /// The context first.
    async fn context_first(&self, ctx: &Context, a: i64) -> i64;
    /// The context in between.
    async fn context_between(&self, a: i64, _ctx: &farcall_core::Context, b: i64) -> i64;
    /// The context alone.
    async fn context_alone(&self, ctx: &Context) -> String;
    /// Types with types in them.
    async fn nested(
        &self,
        map: BTreeMap<String, Vec<Option<u8>>>,
        option: Option<Point>,
        array: [u8; 4],
        text: Cow<'static, str>,
    ) -> Option<BTreeMap<String, (u8, u8)>>;
    /// A `Result` inside of another type is data.
    async fn results(&self, list: Vec<Result<i64, String>>) -> Vec<Result<i64, String>>;
    /// Words of Rust as names.
    async fn r#type(&self, r#match: i64) -> i64;
}

struct Plane;

impl Shapes for Plane {
    async fn nothing(&self) {}
    async fn owned(&self, number: i64, text: String, point: Point) -> (i64, String, Point) {
        (number, text, point)
    }
    async fn lent(&self, text: &str, point: &Point, list: &[Point], pair: &(u8, String)) -> String {
        tick().await;
        format!("{text} {} {} {}", point.x, list.len(), pair.1)
    }
    async fn bytes(&self, owned: Vec<u8>, slice: &[u8], vec: &Vec<u8>) -> Vec<u8> {
        [&owned, slice, vec].concat()
    }
    async fn bytes_or(&self, bytes: &[u8]) -> Result<Vec<u8>, ShapeError> {
        if bytes.is_empty() { Err(ShapeError::Empty) } else { Ok(bytes.to_vec()) }
    }
    async fn value_or(&self, name: &str) -> Result<Point, ShapeError> {
        tick().await;
        Err(ShapeError::Named(name.to_owned()))
    }
    async fn nothing_or(&self, fail: bool) -> Result<(), ShapeError> {
        if fail { Err(ShapeError::Empty) } else { Ok(()) }
    }
    async fn context_first(&self, ctx: &Context, a: i64) -> i64 {
        tick().await;
        a + ctx.method().len() as i64
    }
    async fn context_between(&self, a: i64, _ctx: &Context, b: i64) -> i64 {
        a - b
    }
    async fn context_alone(&self, ctx: &Context) -> String {
        ctx.method().to_owned()
    }
    async fn nested(
        &self,
        map: BTreeMap<String, Vec<Option<u8>>>,
        option: Option<Point>,
        array: [u8; 4],
        text: Cow<'static, str>,
    ) -> Option<BTreeMap<String, (u8, u8)>> {
        option.map(|_| BTreeMap::from([(text.into_owned(), (map.len() as u8, array[3]))]))
    }
    async fn results(&self, list: Vec<Result<i64, String>>) -> Vec<Result<i64, String>> {
        list
    }
    async fn r#type(&self, r#match: i64) -> i64 {
        r#match
    }
}

async fn tick() {}

fn main() -> farcall_core::Result<()> {
    farcall_core::block_on(async {
        let node = Node::open_with(Config::default(), Memory::new().transport()).await?;
        node.serve(ShapesServer::new(Plane)).await?;
        let shapes = ShapesClient::new(&node);
        let point = Point { x: 1.0, y: 2.0 };

        shapes.nothing().await?;
        let owned = shapes.owned(1, "a".into(), point.clone()).await?;
        assert_eq!(owned, (1, "a".into(), point.clone()));
        let list = [point.clone(), point.clone()];
        assert_eq!(shapes.lent("a", &point, &list, &(1, "z".into())).await?, "a 1 2 z");
        assert_eq!(shapes.bytes(vec![1], &[2], &vec![3]).await?, [1, 2, 3]);

        assert_eq!(shapes.bytes_or(&[7]).await?, [7]);
        let error = shapes.bytes_or(&[]).await.unwrap_err();
        assert_eq!(error.returned(), Some(ShapeError::Empty));
        let error = shapes.value_or("n").await.unwrap_err();
        assert_eq!(error.returned(), Some(ShapeError::Named("n".into())));
        shapes.nothing_or(false).await?;
        assert_eq!(shapes.nothing_or(true).await.unwrap_err().to_string(), "Empty");

        assert_eq!(shapes.context_first(2).await?, 2 + "context_first".len() as i64);
        assert_eq!(shapes.context_between(2, 1).await?, 1);
        assert_eq!(shapes.context_alone().await?, "context_alone");

        let nested = shapes.nested(BTreeMap::new(), Some(point), [1, 2, 3, 4], "x".into()).await?;
        assert_eq!(nested, Some(BTreeMap::from([("x".into(), (0, 4))])));
        let results = vec![Ok(1), Err("x".into())];
        assert_eq!(shapes.results(results.clone()).await?, results);
        assert_eq!(shapes.r#type(3).await?, 3);
        assert_eq!(
            shapes
                .client()
                .call::<i64>("type", [("match", 4)].iter().copied().collect::<BTreeMap<_, _>>())
                .await?,
            4
        );
        Ok(())
    })
}
