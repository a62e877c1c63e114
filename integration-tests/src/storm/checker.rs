//! What must hold of a storm, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{CRASHES, Deed, Effect, Told, Word};

/// All that is known of a storm.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What servers did, in the order in which it happened.
    pub effects: Vec<Effect>,
    /// What clients were told, in any order.
    pub told: Vec<Told>,
    /// What the ledger says at rest.
    pub records: Vec<Record>,
    /// The same after all servers were started anew.
    pub again: Vec<Record>,
    /// What else was left behind.
    pub remains: Vec<String>,
    /// Whether tasks of a server that only does not answer may be taken over.
    pub has_leases: bool,
}

/// What the ledger says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its token.
    pub task: String,
    /// Its method.
    pub method: String,
    /// Its key.
    pub key: Option<String>,
    /// Where it stands.
    pub state: String,
    /// How often it was begun.
    pub attempts: u64,
    /// How often its server died.
    pub crashes: u32,
    /// How often it failed, and was to be tried again.
    pub failures: u32,
    /// How often it was let go.
    pub interruptions: u32,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of which rule.
    pub rule: &'static str,
    /// What there is instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// What was found so far.
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, rule: &'static str, what: impl fmt::Display) {
        self.0.push(Violation { rule, what: what.to_string() });
    }
}

impl History {
    /// Everything in it that must not be.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut findings = Findings(Vec::new());
        self.accepted_is_recorded(&mut findings);
        self.one_outcome(&mut findings);
        self.tokens_grow(&mut findings);
        self.executions_are_accounted_for(&mut findings);
        self.a_key_is_one_task(&mut findings);
        self.poison_dies_alone(&mut findings);
        self.nothing_is_left(&mut findings);
        findings.0
    }

    fn accepted_is_recorded(&self, findings: &mut Findings) {
        let records: BTreeSet<&str> = self.records.iter().map(|it| &*it.task).collect();
        for told in &self.told {
            let (Told::Accepted { task, .. } | Told::Outcome(task, _)) = told else { continue };
            if !records.contains(&**task) {
                findings.add("accepted is recorded", format!("nobody knows {task}"));
            }
        }
    }

    /// All who were told an outcome were told the same, which is the recorded one, and is of the last attempt.
    fn one_outcome(&self, findings: &mut Findings) {
        const RULE: &str = "one outcome";
        let mut outcomes: BTreeMap<&str, BTreeSet<&Word>> = BTreeMap::new();
        for told in &self.told {
            if let Told::Outcome(task, word) = told {
                outcomes.entry(task).or_default().insert(word);
            }
        }
        let attempts = self.attempts();
        for record in &self.records {
            let Some(words) = outcomes.get(&*record.task) else { continue };
            if words.len() > 1 {
                findings.add(RULE, format!("{} has several: {words:?}", record.task));
            }
            for word in words {
                if word.state() != record.state {
                    findings.add(RULE, format!("{word:?} was told of {record:?}"));
                }
                let Word::Done(by) = word else { continue };
                let none = Vec::new();
                let deeds = attempts.get(&*record.task).unwrap_or(&none);
                if !deeds.iter().any(|it| it.deed == Deed::Done && it.attempt == *by) {
                    findings.add(RULE, format!("{word:?} was told of {record:?}, and never done"));
                }
                if record.attempts != *by {
                    findings.add(RULE, format!("{word:?} is of no last attempt of {record:?}"));
                }
            }
        }
    }

    /// What happened to each task, with deaths of processes left out.
    fn attempts(&self) -> BTreeMap<&str, Vec<&Effect>> {
        let mut attempts: BTreeMap<&str, Vec<&Effect>> = BTreeMap::new();
        for effect in self.effects.iter().filter(|it| it.deed != Deed::Died) {
            attempts.entry(&effect.task).or_default().push(effect);
        }
        attempts
    }

    /// Each attempt of a task has a higher token than all before, begins when the one before has ended, and none after
    /// the one that has the outcome.
    fn tokens_grow(&self, findings: &mut Findings) {
        // Of each task: its last attempt, whose it is, and whether that is over.
        let mut last: BTreeMap<&str, (u64, u32, bool)> = BTreeMap::new();
        // A death that comes from outside is noted before it happens.
        let mut dying = BTreeSet::new();
        for effect in &self.effects {
            let Effect { deed, process, task, attempt } = effect;
            match deed {
                Deed::Begun => {
                    let is_over = dying.contains(process);
                    let before = last.insert(task, (*attempt, *process, is_over));
                    let Some((token, by, is_over)) = before else { continue };
                    if *attempt <= token {
                        findings.add("tokens grow", format!("{token}, and then: {effect:?}"));
                    }
                    if !is_over && !self.has_leases {
                        let what = format!("{by} runs attempt {token}, and then: {effect:?}");
                        findings.add("no twin of a live attempt", what);
                    }
                }
                Deed::Failed | Deed::Stopped => {
                    if let Some((token, by, is_over)) = last.get_mut(&**task)
                        && (*token, *by) == (*attempt, *process)
                    {
                        *is_over = true;
                    }
                }
                Deed::Died => {
                    dying.insert(process);
                    let of_it = last.values_mut().filter(|(_, by, _)| by == process);
                    of_it.for_each(|(_, _, is_over)| *is_over = true);
                }
                Deed::Done | Deed::Poisoned => {}
            }
        }
        for record in &self.records {
            if let Some((token, _, _)) = last.get(&*record.task)
                && *token > record.attempts
            {
                findings.add("tokens grow", format!("attempt {token} has run of {record:?}"));
            }
        }
    }

    fn executions_are_accounted_for(&self, findings: &mut Findings) {
        const RULE: &str = "executions are accounted for";
        let attempts = self.attempts();
        let deaths = self.deaths().len() as u64;
        for record in &self.records {
            let reruns = [record.crashes, record.failures, record.interruptions];
            let allowed = 1 + reruns.into_iter().map(u64::from).sum::<u64>();
            let begun = attempts
                .get(&*record.task)
                .map_or(0, |deeds| deeds.iter().filter(|it| it.deed == Deed::Begun).count() as u64);
            if begun > allowed || record.attempts > allowed {
                findings.add(RULE, format!("{begun} executions of {record:?}"));
            }
            if u64::from(record.crashes) > deaths {
                findings.add(RULE, format!("{deaths} deaths are no reason for {record:?}"));
            }
            let failed = attempts
                .get(&*record.task)
                .map_or(0, |deeds| deeds.iter().filter(|it| it.deed == Deed::Failed).count());
            if record.failures as usize > failed {
                findings.add(RULE, format!("{failed} failures are no reason for {record:?}"));
            }
        }
    }

    fn a_key_is_one_task(&self, findings: &mut Findings) {
        const RULE: &str = "a key is one task";
        let mut tasks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for told in &self.told {
            if let Told::Accepted { task, key: Some(key), .. } = told {
                tasks.entry(key).or_default().insert(task);
            }
        }
        for record in &self.records {
            if let Some(key) = &record.key {
                tasks.entry(key).or_default().insert(&record.task);
            }
        }
        for (key, tasks) in tasks.iter().filter(|(_, tasks)| tasks.len() > 1) {
            findings.add(RULE, format!("{key} is {tasks:?}"));
        }
    }

    /// A task that kills its servers is dead in the end; and since those with a crash on record run one at a time, no
    /// two die together twice.
    fn poison_dies_alone(&self, findings: &mut Findings) {
        for record in &self.records {
            let is_dead = record.state == "dead";
            if record.method == "poison" && !matches!(&*record.state, "dead" | "cancelled") {
                findings.add("poison dies", format!("{record:?}"));
            }
            if is_dead && record.crashes < CRASHES {
                findings.add("poison dies", format!("too early: {record:?}"));
            }
        }
        let mut together: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for died in self.deaths() {
            let pairs = died.iter().enumerate();
            for pair in pairs.flat_map(|(at, a)| died[at + 1..].iter().map(move |b| (*a, *b))) {
                *together.entry(pair).or_default() += 1;
            }
        }
        for (pair, times) in together.iter().filter(|(_, times)| **times > 1) {
            findings.add("poison dies alone", format!("{pair:?} died together {times} times"));
        }
    }

    /// Of each process that died: the tasks whose handlers surely ran then, in order.
    fn deaths(&self) -> Vec<Vec<&str>> {
        let mut running: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        let mut deaths = Vec::new();
        let mut dead = BTreeSet::new();
        for effect in &self.effects {
            match effect.deed {
                Deed::Begun => {
                    running.entry(effect.process).or_default().insert(&effect.task);
                }
                Deed::Done | Deed::Failed | Deed::Stopped => {
                    running.entry(effect.process).or_default().remove(&*effect.task);
                }
                Deed::Died => {
                    if dead.insert(effect.process) {
                        let ran = running.remove(&effect.process).unwrap_or_default();
                        deaths.push(ran.into_iter().collect());
                    }
                }
                Deed::Poisoned => {}
            }
        }
        deaths
    }

    fn nothing_is_left(&self, findings: &mut Findings) {
        const RULE: &str = "nothing is left over";
        for record in &self.records {
            if matches!(&*record.state, "waiting" | "running") {
                findings.add(RULE, format!("it never ended: {record:?}"));
            }
        }
        for (before, after) in [(&self.records, &self.again), (&self.again, &self.records)] {
            let after: BTreeMap<&str, &Record> = after.iter().map(|it| (&*it.task, it)).collect();
            for record in before {
                if after.get(&*record.task) != Some(&record) {
                    let what = "is another after all servers were started anew";
                    findings
                        .add(RULE, format!("{record:?} {what}: {:?}", after.get(&*record.task)));
                }
            }
        }
        for remains in &self.remains {
            findings.add(RULE, remains);
        }
    }
}

#[cfg(test)]
mod tests;
