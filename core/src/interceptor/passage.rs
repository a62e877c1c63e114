//! A served call's way through the interceptors to its handler.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{CallInfo, Chain, Check, End, Incoming, Refusal, Side};
use crate::context::Context;
use crate::node::Node;
use crate::observe::Ended;
use crate::params::Params;
use crate::service::{Descriptor, IntoService, Invocation, Service};
use crate::wire::{Failure, Headers};

/// A service that is to be served through interceptors.
pub(crate) struct Intercepting {
    pub(crate) service: Box<dyn IntoService>,
    pub(crate) chain: Chain,
}

impl IntoService for Intercepting {
    fn into_service(self: Box<Self>) -> Result<Rc<dyn Service>, String> {
        let service = self.service.into_service()?;
        let way = Rc::new(Way { chain: self.chain, node: OnceCell::new() });
        Ok(Rc::new(Intercepted { service, way }))
    }
}

/// What all calls of one service go through.
struct Way {
    chain: Chain,
    /// The node as handlers get it.
    node: OnceCell<Node>,
}

/// How far one call has come.
pub(crate) struct Passage {
    way: Rc<Way>,
    arguments: usize,
    /// Those that let it pass so far.
    passed: Cell<usize>,
    since: Instant,
}

impl Passage {
    pub(crate) fn node(&self) -> &Node {
        self.way.node.get().expect("set before there is a passage")
    }

    /// When the call came to the first interceptor.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Tells those that let the call pass how it ended.
    pub(crate) fn ended(
        &self,
        context: &Context,
        one_way: bool,
        ended: Ended,
        message: &str,
        result: usize,
        took: Duration,
    ) {
        let call = CallInfo {
            side: Side::Server(context),
            service: context.service(),
            method: context.method(),
            arguments: self.arguments,
            one_way,
        };
        self.way.chain.ended(self.passed.get(), &call, &End { ended, message, result, took });
    }
}

/// A service behind interceptors.
struct Intercepted {
    service: Rc<dyn Service>,
    way: Rc<Way>,
}

impl Service for Intercepted {
    fn descriptor(&self) -> Descriptor {
        self.service.descriptor()
    }

    fn call(
        &self,
        method: usize,
        params: Params,
        context: &Context,
    ) -> Result<Invocation, Failure> {
        let chain = &self.way.chain;
        self.way.node.get_or_init(|| context.node().with_chain(chain.clone()));
        let arguments = params.len();
        let (way, passed) = (Rc::clone(&self.way), Cell::new(0));
        context.pass(Passage { way, arguments, passed, since: Instant::now() });
        let mut incoming =
            Incoming { context: context.clone(), arguments, given: Headers::new(), check: None };
        let check = advance(chain, &mut incoming)?;
        let (service, context) = (Rc::clone(&self.service), context.clone());
        let way = Rc::clone(&self.way);
        Ok(Box::pin(async move {
            if let Some(check) = check {
                checked(&way.chain, check, &mut incoming).await?;
            }
            context.passed(incoming.given);
            let mut invocation = context.enter_span(|| service.call(method, params, &context))?;
            poll_fn(|cx| context.enter_span(|| invocation.as_mut().poll(cx))).await
        }))
    }

    fn __intercepted(&self) -> bool {
        true
    }
}

/// Takes a call on to the next check, if there is one.
fn advance(chain: &Chain, call: &mut Incoming) -> Result<Option<Check>, Failure> {
    // Apart, since interceptors have all of the call.
    let context = call.context.clone();
    let passage = context.passage().expect("set before the first interceptor sees the call");
    chain.incoming(call, &passage.passed)
}

/// Waits for checks, each before what is further in, until all have let the call pass.
async fn checked(chain: &Chain, first: Check, call: &mut Incoming) -> Result<(), Failure> {
    let mut next = Some(first);
    while let Some(check) = next {
        let given = check.await.map_err(Refusal::at_server)?;
        for (name, value) in given {
            call.set_header(name, value);
        }
        next = advance(chain, call)?;
    }
    Ok(())
}
