//! Streams of results, of arguments, and both ways; how they end, and what a slow reader does.
//!
//!     cargo run --example streams
//!
//! Server and client are two nodes of this one program here, so that it is short to read.

use std::time::Duration;

use farcall::prelude::*;
use futures::{future, stream};
use tokio::sync::mpsc;

#[farcall::service]
trait Lab {
    /// Counts from 0, a number every `every_ms` milliseconds.
    async fn ticks(&self, every_ms: u64) -> impl Stream<Item = u64>;
    /// The mean of the first `count` samples of a stream.
    async fn mean(&self, count: usize, samples: impl Stream<Item = f64>) -> f64;
    /// The sum of all numbers so far, for each number.
    async fn sums(&self, numbers: impl Stream<Item = i64>) -> impl Stream<Item = i64>;
    /// Reads a sensor, if there is one, until it breaks.
    async fn sensor(&self, name: &str) -> Result<impl Stream<Item = Result<f64, Fault>>, Fault>;
    /// Blocks of 16 KiB, as many as are wanted.
    async fn blocks(&self) -> impl Stream<Item = Vec<u8>>;
}

#[farcall::data]
#[derive(Debug)]
enum Fault {
    NoSensor(String),
    Broken { at: u32 },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::NoSensor(name) => write!(f, "there is no sensor `{name}`"),
            Fault::Broken { at } => write!(f, "the sensor broke at reading {at}"),
        }
    }
}

struct Laboratory {
    /// Where `blocks` says how many it has made, when nobody wants more.
    made: mpsc::Sender<u32>,
}

impl Lab for Laboratory {
    async fn ticks(&self, every_ms: u64) -> impl Stream<Item = u64> {
        stream::iter(0..).then(move |tick| async move {
            tokio::time::sleep(Duration::from_millis(every_ms)).await;
            tick
        })
    }

    async fn mean(&self, count: usize, samples: impl Stream<Item = f64>) -> f64 {
        // Taking no more drops the stream, which stops whoever sends it.
        let add = |(sum, count), sample| async move { (sum + sample, count + 1.0) };
        let (sum, count) = samples.take(count).fold((0.0, 0.0), add).await;
        sum / count
    }

    async fn sums(&self, numbers: impl Stream<Item = i64>) -> impl Stream<Item = i64> {
        numbers.scan(0, |sum, number| {
            *sum += number;
            future::ready(Some(*sum))
        })
    }

    async fn sensor(&self, name: &str) -> Result<impl Stream<Item = Result<f64, Fault>>, Fault> {
        if name != "roof" {
            return Err(Fault::NoSensor(name.to_owned()));
        }
        let readings = stream::iter([20.5, 21.0, 21.5]).map(Ok);
        Ok(readings.chain(stream::iter([Err(Fault::Broken { at: 4 })])))
    }

    async fn blocks(&self) -> impl Stream<Item = Vec<u8>> {
        let made = Made { blocks: 0, tell: self.made.clone() };
        stream::unfold(made, |mut made| async move {
            made.blocks += 1;
            Some((vec![7; 16 << 10], made))
        })
    }
}

/// Tells how many blocks were made, when their stream is dropped.
struct Made {
    blocks: u32,
    tell: mpsc::Sender<u32>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = self.tell.try_send(self.blocks);
    }
}

/// A node in the namespace of this run, by whatever transport is configured.
async fn open() -> farcall::Result<Node> {
    let mut resolved = farcall::resolve()?;
    let namespace = format!("streams-{}", std::process::id());
    resolved.config.namespace = namespace.parse().map_err(farcall::Error::other)?;
    Node::open_with(resolved.config, resolved.transport).await
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    let (made, mut told) = mpsc::channel(1);
    let server = open().await?;
    server.serve(LabServer::new(Laboratory { made })).await?;
    let client = open().await?;
    let lab = LabClient::new(&client);

    println!("the server streams, as long as its caller likes:");
    let mut ticks = lab.ticks(10).take(3);
    while let Some(tick) = ticks.next().await {
        println!("  tick {}", tick?);
    }

    println!("\nthe client streams without end, and the server takes what it needs:");
    let samples = stream::iter((1..).map(f64::from));
    println!("  mean of the first hundred: {}", lab.mean(100, samples).await?);

    println!("\nboth stream:");
    let mut sums = lab.sums(stream::iter([1, 20, 300]));
    while let Some(sum) = sums.next().await {
        println!("  the sum is {} so far", sum?);
    }

    println!("\nan error is the last item, before any other or after some:");
    for name in ["roof", "moon"] {
        let mut sensor = lab.sensor(name);
        while let Some(reading) = sensor.next().await {
            match reading {
                Ok(celsius) => println!("  {name}: {celsius} °C"),
                Err(MethodError::Returned(fault)) => println!("  {name}: {fault}"),
                Err(MethodError::Call(error)) => return Err(error.into()),
            }
        }
    }

    println!("\na slow reader stops its writer, and dropping a stream ends it at the server:");
    let mut blocks = lab.blocks();
    let first = blocks.next().await.ok_or("blocks have no end")??;
    // Time for the server to make as many as it may.
    for _ in 0..100 {
        lab.mean(1, stream::iter([1.0])).await?;
    }
    drop(blocks);
    let made = told.recv().await.ok_or("the server is right here")?;
    println!("  one block of {} KiB was read, {made} were made", first.len() >> 10);
    Ok(())
}
