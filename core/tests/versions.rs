//! Typed clients and servers of other versions of their service, over a transport.

use farcall_core::params::ParamsWriter;
use farcall_core::schema::{Described, Describer, Methods, Part, ServiceSchema, describe};
use farcall_core::service::IntoService;
use farcall_core::{
    Call, CallError, Client, Config, Event, Functions, Memory, Method, Node, Reason, block_on,
    value,
};
use schemars::JsonSchema;

fn of<T: JsonSchema>(describer: &mut Describer) -> Described {
    describer.describe::<T>()
}

/// What the clients of these tests expect: `double(i64) -> i64` and `gone()`.
static CALC: ServiceSchema = ServiceSchema::new(|| {
    describe("calc".into(), "".into(), |methods: &mut Methods| {
        let double = methods.method("double".into(), "".into(), "i64".into(), of::<i64>);
        double.param("it".into(), "i64".into(), of::<i64>).options(false, None);
        methods.method("gone".into(), "".into(), "()".into(), of::<()>).options(false, None);
    })
});

fn client(node: &Node) -> Client {
    Client::new(node, "calc").expecting(&CALC)
}

fn double(client: &Client) -> Call<i64> {
    let mut params = ParamsWriter::positions(1);
    params.push("it", &21_i64);
    client.typed(&Method { name: "double", ..Method::default() }, params, value::decode)
}

fn gone(client: &Client) -> Call<()> {
    let method = Method { name: "gone", ..Method::default() };
    client.typed(&method, ParamsWriter::positions(0), value::decode)
}

async fn node(memory: &Memory, strict: bool) -> Node {
    let mut config = Config::default();
    config.client.strict = strict;
    Node::open_with(config, memory.transport()).await.unwrap()
}

async fn server(memory: &Memory, service: impl IntoService) -> Node {
    let node = node(memory, false).await;
    node.serve(service).await.unwrap();
    node
}

fn doubles() -> Functions {
    Functions::new("calc").add("double", |it: i64| it * 2)
}

/// Takes only some of what the client sends.
fn narrow() -> Functions {
    Functions::new("calc").add("double", |it: i32| it * 2)
}

fn of_text() -> Functions {
    Functions::new("calc").add("double", |it: String| it.repeat(2))
}

#[test]
fn what_cannot_fit_is_refused_and_what_fits_is_called() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, doubles()).await;
        let node = node(&memory, true).await;
        let calc = client(&node);
        assert_eq!(double(&calc).await.unwrap(), 42);
        let error = gone(&calc).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(_)), "{error:?}");
        assert_eq!(error.reason(), Reason::UnknownMethod);
    });
}

#[test]
fn a_refusal_names_the_method_and_the_parameter() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, of_text()).await;
        let node = node(&memory, false).await;
        let error = double(&client(&node)).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(_)), "{error:?}");
        assert_eq!(error.reason(), Reason::WrongArguments);
        assert_eq!(
            error.details().message,
            "the server has another version of the service: parameter `it` of `double`: the client \
             sends `int64`, the server takes text"
        );
        let by_name: String = node.client("calc").call("double", ("a",)).await.unwrap();
        assert_eq!(by_name, "aa", "calls by name are not compared");
    });
}

#[test]
fn what_is_undecided_is_said_once() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, narrow()).await;
        let node = node(&memory, false).await;
        let mut events = node.events();
        for _ in 0..3 {
            assert_eq!(double(&client(&node)).await.unwrap(), 42);
        }
        node.close().await;
        let mut undecided = Vec::new();
        while let Some(event) = events.next().await {
            if let Event::SchemaUndecided { difference, .. } = event {
                undecided.push(difference);
            }
        }
        let [difference] = &undecided[..] else { panic!("{undecided:?}") };
        assert_eq!(difference.part, Part::Parameter("it".into()));
    });
}

#[test]
fn strict_refuses_what_is_undecided() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, narrow()).await;
        let node = node(&memory, true).await;
        let error = double(&client(&node)).await.unwrap_err();
        assert_eq!(error.reason(), Reason::WrongArguments);
    });
}

#[test]
fn a_server_that_fits_gets_the_calls_that_others_cannot_have() {
    block_on(async {
        let memory = Memory::new();
        let _old = server(&memory, of_text()).await;
        let node = node(&memory, false).await;
        let calc = client(&node);
        assert_eq!(double(&calc).await.unwrap_err().reason(), Reason::WrongArguments);

        let mut events = node.events();
        let new = server(&memory, doubles()).await;
        let id = new.server_id().clone();
        let up = |event| match event {
            Event::ServerUp(server) => (server.server == id).then_some(()),
            _ => None,
        };
        events.find(up).await.unwrap();
        for _ in 0..10 {
            assert_eq!(double(&calc).await.unwrap(), 42);
        }
        new.drain(std::time::Duration::from_secs(1)).await;
        new.close().await;
        let down = |event| matches!(event, Event::ServerDown { .. }).then_some(());
        events.find(down).await.unwrap();
        assert_eq!(double(&calc).await.unwrap_err().reason(), Reason::WrongArguments);
    });
}

#[test]
fn a_call_that_is_made_before_there_is_a_server_is_compared_too() {
    block_on(async {
        let memory = Memory::new();
        let node = node(&memory, false).await;
        let mut call = double(&client(&node));
        assert!(futures::poll!(&mut call).is_pending());
        let _server = server(&memory, of_text()).await;
        assert_eq!(call.await.unwrap_err().reason(), Reason::WrongArguments);
    });
}
