//! Commands, as the script reads them.

use bytes::Bytes;
use farcall_core::ledger::{Command, DeadBy, Ending, NewTask, Outcome, TaskId};
use farcall_core::value::{self, ValueError};
use uuid::Uuid;

/// Longer than anybody waits, and well within what the script counts exactly.
const LONGEST_MICROS: u128 = 100 * 366 * 24 * 3600 * 1_000_000;

/// The words of a command; `None` for one of another ledger. While `fenced` nothing is begun again.
///
/// # Errors
/// Something of it cannot be encoded.
pub(super) fn words(
    command: &Command,
    ledger: Uuid,
    fenced: bool,
) -> Result<Option<Vec<Bytes>>, ValueError> {
    let number = |id: &TaskId| (id.ledger == ledger).then(|| text(id.number));
    let of_task = |letter, id| number(id).map(|number| vec![word(letter), number]);
    Ok(match command {
        Command::Accept(new) => Some(accept(new)?),
        Command::Claim { limit } => Some(vec![word("C"), text(if fenced { 0 } else { *limit })]),
        Command::Finish { task, token, ending } => match number(task) {
            Some(number) => {
                let mut words = vec![word("F"), number, text(token)];
                words.extend(of_ending(ending)?);
                Some(words)
            }
            None => None,
        },
        Command::Progress { task, token, value } => number(task)
            .map(|number| vec![word("P"), number, text(token), value.clone().into_inner()]),
        Command::Cancel(task) => of_task("X", task),
        Command::Retry(task) => of_task("R", task),
        Command::Purge(task) => of_task("U", task),
        Command::Show(task) => of_task("V", task),
        Command::List { limit } => Some(vec![word("L"), text(limit)]),
        Command::Sweep => Some(vec![word("S")]),
    })
}

/// Whether it makes something new, which needs memory.
pub(super) fn needs_memory(command: &Command) -> bool {
    matches!(command, Command::Accept(_) | Command::Retry(_))
}

fn accept(new: &NewTask) -> Result<Vec<Bytes>, ValueError> {
    let size: usize = new.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let headers: Vec<(&str, &str)> =
        new.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let (key, arguments) = match &new.key {
        Some(key) => (key.key.clone().into(), Bytes::copy_from_slice(&key.arguments.0)),
        None => (Bytes::new(), Bytes::new()),
    };
    let micros = |time: std::time::Duration| text(time.as_micros().min(LONGEST_MICROS));
    Ok(vec![
        word("A"),
        Bytes::copy_from_slice(new.method.as_bytes()),
        new.params.clone(),
        value::encode(&(&new.caller, headers))?.into(),
        text(size),
        key,
        arguments,
        new.expires_in.map(micros).unwrap_or_default(),
        text(u8::from(new.begin)),
    ])
}

fn of_ending(ending: &Ending) -> Result<Vec<Bytes>, ValueError> {
    let outcome = |name, value: Bytes, size: usize| vec![word("o"), word(name), value, text(size)];
    Ok(match ending {
        Ending::Again(problem) => vec![word("a"), problem.clone().into()],
        Ending::Released => vec![word("l")],
        Ending::Outcome(Outcome::Done(value)) => {
            outcome("done", value.clone().into_inner(), value.len())
        }
        Ending::Outcome(Outcome::Failed { code, message, value }) => {
            let size = message.len() + value.as_ref().map_or(0, |value| value.len());
            outcome("failed", value::encode(&(code, message, value))?.into(), size)
        }
        Ending::Outcome(Outcome::Cancelled) => outcome("cancelled", Bytes::new(), 0),
        Ending::Outcome(Outcome::Expired) => outcome("expired", Bytes::new(), 0),
        Ending::Outcome(Outcome::Dead(DeadBy::Crashes)) => outcome("crashes", Bytes::new(), 0),
        Ending::Outcome(Outcome::Dead(DeadBy::Failures)) => outcome("failures", Bytes::new(), 0),
    })
}

fn word(word: &'static str) -> Bytes {
    Bytes::from_static(word.as_bytes())
}

fn text(value: impl ToString) -> Bytes {
    value.to_string().into()
}
