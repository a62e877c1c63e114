//! The lines of the contract, one test body each.

mod backpressure;
mod calls;
mod drain;
mod failures;
mod peers;
mod servers;
mod streams;
mod tasks;

use std::pin::Pin;
use std::time::Duration;

pub use backpressure::line_13_a_full_server_says_busy_shares_its_places_and_lets_nested_calls_through;
pub use calls::{
    line_01_a_call_ends_exactly_once_and_says_how,
    line_02_a_plain_call_starts_at_most_once_an_idempotent_one_again,
    line_03_concurrent_calls_get_their_own_answers, line_04_late_answers_are_dropped_and_counted,
    line_05_the_deadline_travels_and_is_inherited, line_06_dropping_a_call_cancels_its_handler,
};
pub use drain::line_14_a_server_that_stops_finishes_what_it_has_and_loses_no_reply;
pub use failures::line_08_what_is_wrong_with_one_call_is_its_callers_alone;
pub use peers::line_15_peers_are_called_listed_and_seen;
pub use servers::{
    line_09_a_second_server_shares_the_load_and_leaves_without_loss,
    line_10_without_a_server_calls_wait_and_are_then_not_sent,
    line_11_a_killed_server_leaves_no_call_hanging, line_12_clients_survive_restarts_and_say_so,
    line_16_a_second_server_of_one_identity_is_refused,
    line_17_namespaces_never_meet_and_nothing_dead_is_listed,
};
pub use streams::line_07_streams_flow_as_fast_as_they_are_read;
pub use tasks::{
    line_18_an_accepted_task_is_recorded_and_has_one_outcome,
    line_19_tasks_of_a_dead_server_resume_when_it_is_back_or_at_another,
    line_20_one_key_is_one_task_with_one_outcome, line_21_a_task_that_kills_its_servers_dies_alone,
};

use crate::World;
use crate::outcome::Outcome;

/// The most that a line may take on a busy machine; only one that hangs does.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs one line; it fails if it hangs.
///
/// # Panics
/// The line does not hold.
pub fn check(
    line: &str,
    body: impl for<'w> FnOnce(&'w dyn World) -> Pin<Box<dyn Future<Output = ()> + 'w>>,
    world: &dyn World,
) {
    let outcome = Outcome::begin(world.name(), line);
    let of_tasks = tasks::LINES.iter().any(|number| line.starts_with(number));
    let refused = of_tasks && world.tasks().is_none();
    farcall_core::block_on(async {
        let body = if refused { Box::pin(tasks::are_refused(world)) } else { body(world) };
        assert!(tokio::time::timeout(LIMIT, body).await.is_ok(), "{line} hangs");
    });
    if refused { outcome.refused() } else { outcome.passed() }
}
