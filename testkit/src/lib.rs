//! The contract suite: what farcall promises of a call, proved for a transport.
//!
//! The contract has numbered lines (`docs/SEMANTICS.md` explains them); each is one test body in [`lines`], run
//! against every transport through a [`World`], which knows how to start and kill servers there.
//! With `CONTRACT_RESULTS` set to a folder, the outcomes are noted in it as `<transport>/<line>`.
//! A transport crate of your own is proved by the same bodies:
//!
//! ```
//! use farcall_testkit::{MemoryWorld, contract};
//!
//! contract!(MemoryWorld::default());
//! ```

mod memory_world;
mod outcome;
mod service;
mod tasks;
mod world;

pub mod lines;

pub use memory_world::MemoryWorld;
pub use service::{SERVICE, contract_service};
pub use tasks::{TASKS, task_service};
pub use world::{Options, Remote, TASKS_TOO, World};

#[doc(hidden)]
pub use farcall_core::block_on;

/// One `#[test]` per line of the contract, against the world that the expression makes anew for each.
#[macro_export]
macro_rules! contract {
    ($world:expr) => {
        $crate::contract! { @lines $world;
            line_01_a_call_ends_exactly_once_and_says_how
            line_02_a_plain_call_starts_at_most_once_an_idempotent_one_again
            line_03_concurrent_calls_get_their_own_answers
            line_04_late_answers_are_dropped_and_counted
            line_05_the_deadline_travels_and_is_inherited
            line_06_dropping_a_call_cancels_its_handler
            line_07_streams_flow_as_fast_as_they_are_read
            line_08_what_is_wrong_with_one_call_is_its_callers_alone
            line_09_a_second_server_shares_the_load_and_leaves_without_loss
            line_10_without_a_server_calls_wait_and_are_then_not_sent
            line_11_a_killed_server_leaves_no_call_hanging
            line_12_clients_survive_restarts_and_say_so
            line_13_a_full_server_says_busy_shares_its_places_and_lets_nested_calls_through
            line_14_a_server_that_stops_finishes_what_it_has_and_loses_no_reply
            line_15_peers_are_called_listed_and_seen
            line_16_a_second_server_of_one_identity_is_refused
            line_17_namespaces_never_meet_and_nothing_dead_is_listed
            line_18_an_accepted_task_is_recorded_and_has_one_outcome
            line_19_tasks_of_a_dead_server_resume_when_it_is_back_or_at_another
            line_20_one_key_is_one_task_with_one_outcome
            line_21_a_task_that_kills_its_servers_dies_alone
        }
    };
    (@lines $world:expr; $($line:ident)+) => {
        $(#[test]
        fn $line() {
            $crate::lines::check(stringify!($line), |world| {
                ::std::boxed::Box::pin($crate::lines::$line(world))
            }, &$world);
        })+
    };
}
