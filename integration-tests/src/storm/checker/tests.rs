use super::*;

fn effect(deed: Deed, process: u32, task: &str, attempt: u64) -> Effect {
    Effect { deed, process, task: task.to_owned(), attempt }
}

fn begun(process: u32, task: &str, attempt: u64) -> Effect {
    effect(Deed::Begun, process, task, attempt)
}

fn done(process: u32, task: &str, attempt: u64) -> Effect {
    effect(Deed::Done, process, task, attempt)
}

fn accepted(task: &str, key: Option<&str>) -> Told {
    let key = key.map(str::to_owned);
    Told::Accepted { task: task.to_owned(), method: "work".to_owned(), key }
}

fn outcome(task: &str, word: Word) -> Told {
    Told::Outcome(task.to_owned(), word)
}

fn record(task: &str, attempts: u64, crashes: u32) -> Record {
    Record {
        task: task.to_owned(),
        method: "work".to_owned(),
        key: None,
        state: "done".to_owned(),
        attempts,
        crashes,
        failures: 0,
        interruptions: 0,
    }
}

fn history(effects: Vec<Effect>, told: Vec<Told>, records: Vec<Record>) -> History {
    let again = records.clone();
    History { effects, told, records, again, ..History::default() }
}

/// The rules that are broken.
fn rules(history: &History) -> Vec<&'static str> {
    history.check().into_iter().map(|it| it.rule).collect()
}

/// One task that died with its server, and was done by the next.
fn good() -> History {
    let effects = vec![begun(1, "t", 1), Effect::death(1), begun(2, "t", 2), done(2, "t", 2)];
    let told = vec![accepted("t", None), outcome("t", Word::Done(2)), outcome("t", Word::Done(2))];
    history(effects, told, vec![record("t", 2, 1)])
}

#[test]
fn a_task_that_survives_its_server_is_in_order() {
    assert_eq!(good().check(), []);
}

#[test]
fn an_attempt_that_begins_while_its_server_is_being_killed_is_in_order() {
    let mut history = good();
    history.effects.swap(0, 1);
    assert_eq!(history.check(), []);
}

#[test]
fn a_task_that_was_accepted_and_that_nobody_knows_is_lost() {
    let history = history(Vec::new(), vec![accepted("t", None)], Vec::new());
    assert_eq!(rules(&history), ["accepted is recorded"]);
}

#[test]
fn two_outcomes_of_one_task_are_found() {
    let mut history = good();
    history.told.push(outcome("t", Word::Done(1)));
    assert!(rules(&history).iter().all(|it| *it == "one outcome") && !rules(&history).is_empty());
    let mut history = good();
    history.told.push(outcome("t", Word::Dead));
    assert!(rules(&history).contains(&"one outcome"));
    let mut history = good();
    history.told = vec![outcome("t", Word::Forgotten)];
    assert_eq!(rules(&history), ["one outcome"]);
}

#[test]
fn an_outcome_of_what_was_never_done_is_found() {
    let mut history = good();
    history.effects.pop();
    assert_eq!(rules(&history), ["one outcome"]);
}

#[test]
fn a_token_that_does_not_grow_is_found() {
    let mut history = good();
    history.effects[2].attempt = 1;
    history.effects[3].attempt = 1;
    assert!(rules(&history).contains(&"tokens grow"));
}

#[test]
fn an_attempt_after_the_last_is_found() {
    let mut history = good();
    history.effects.extend([Effect::death(2), begun(3, "t", 3)]);
    assert!(rules(&history).contains(&"tokens grow"));
}

#[test]
fn a_second_attempt_beside_a_live_one_is_found_where_there_are_no_leases() {
    let mut history = good();
    history.effects.remove(1);
    history.effects.push(Effect::death(1));
    assert_eq!(rules(&history), ["no twin of a live attempt"]);
    history.has_leases = true;
    assert_eq!(history.check(), []);
}

#[test]
fn an_attempt_that_has_failed_or_was_stopped_is_no_twin() {
    for deed in [Deed::Failed, Deed::Stopped] {
        let mut history = good();
        history.effects[1] = effect(deed, 1, "t", 1);
        history.effects.push(Effect::death(1));
        assert_eq!(history.check(), []);
    }
}

#[test]
fn executions_without_a_reason_are_found() {
    let mut history = good();
    history.records[0].crashes = 0;
    history.again = history.records.clone();
    assert_eq!(rules(&history), ["executions are accounted for"]);
    let mut history = good();
    history.records[0].crashes = 2;
    history.again = history.records.clone();
    assert_eq!(rules(&history), ["executions are accounted for"], "nobody died twice");
    let mut history = good();
    history.records[0].failures = 1;
    history.again = history.records.clone();
    assert_eq!(rules(&history), ["executions are accounted for"], "nothing has failed");
}

#[test]
fn a_key_of_two_tasks_is_found() {
    let mut history = good();
    history.told.extend([accepted("t", Some("k")), accepted("t", Some("k"))]);
    assert_eq!(history.check(), []);
    history.records.push(Record { key: Some("k".into()), attempts: 0, ..record("u", 0, 0) });
    history.again = history.records.clone();
    assert_eq!(rules(&history), ["a key is one task"]);
}

#[test]
fn poison_that_lives_and_tasks_that_die_too_early_are_found() {
    let mut history = good();
    history.records[0].method = "poison".into();
    history.again = history.records.clone();
    assert_eq!(rules(&history), ["poison dies"]);
    history.records[0].method = "work".into();
    history.records[0].state = "dead".into();
    history.told.clear();
    history.again = history.records.clone();
    assert_eq!(rules(&history), ["poison dies"]);
}

#[test]
fn two_tasks_may_die_together_once() {
    let round =
        |process| [begun(process, "t", process.into()), begun(process, "u", process.into())];
    let mut effects: Vec<Effect> = round(1).into_iter().chain([Effect::death(1)]).collect();
    let records =
        |times: u32| vec![record("t", times.into(), times), record("u", times.into(), times)];
    assert_eq!(history(effects.clone(), Vec::new(), records(1)).check(), []);
    effects.extend(round(2).into_iter().chain([Effect::death(2), Effect::death(2)]));
    let history = history(effects, Vec::new(), records(2));
    assert_eq!(rules(&history), ["poison dies alone"]);
}

#[test]
fn what_is_left_over_is_found() {
    let mut history = good();
    history.records[0].state = "waiting".into();
    history.again = history.records.clone();
    history.told.clear();
    assert_eq!(rules(&history), ["nothing is left over"]);
    let mut history = good();
    history.again.clear();
    assert_eq!(rules(&history), ["nothing is left over"]);
    let mut history = good();
    history.remains.push("a claim of nobody".into());
    assert_eq!(rules(&history), ["nothing is left over"]);
}
