//! The service that the lines about tasks are tried with.

use farcall_core::{Context, Functions};

/// Its name.
pub const TASKS: &str = "contract-tasks";

/// Recoverable methods:
///
/// | method | does |
/// |---|---|
/// | `add(a, b)` | adds |
/// | `who(key)` | gives its task's token, and the number of the attempt |
/// | `refuse(text)` | returns `text` as its own error |
/// | `hang()` | never ends |
/// | `hang_once()` | the first attempt never ends, a later one gives its number |
pub fn task_service() -> Functions {
    Functions::new(TASKS)
        .add("add", |a: i64, b: i64| a + b)
        .recoverable()
        .add("who", |ctx: Context, _: String| {
            ctx.task().map(|task| (task.token().to_string(), task.attempt()))
        })
        .recoverable()
        .try_add("refuse", |text: String| Err::<(), String>(text))
        .recoverable()
        .add("hang", std::future::pending::<()>)
        .recoverable()
        .add("hang_once", |ctx: Context| async move {
            let attempt = ctx.task().map_or(0, |task| task.attempt());
            if attempt == 1 {
                std::future::pending::<()>().await;
            }
            attempt
        })
        .recoverable()
}
