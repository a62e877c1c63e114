//! A contest's section of `RESULTS.md`: a head that says what was measured where, the goals, and a table
//! for each shape of calls and of streams.

use std::fmt::{self, Display, Formatter};

use self::numbers::{Decimals, Whole};
use crate::goals::{self, Bound, Outcome};
use crate::machine::{self, Machine};
use crate::memory::IDLE_CONNECTIONS;
use crate::peers::Peer;
use crate::results::{Figure, Results, Spread};
use crate::rounds::Plan;
use crate::shape::{Shape, Work};

mod divisions;
mod numbers;

/// The results of a run as Markdown.
pub(crate) fn markdown(plan: &Plan, machine: &Machine, results: &Results) -> String {
    Report { plan, machine, results }.to_string()
}

struct Report<'a> {
    plan: &'a Plan,
    machine: &'a Machine,
    results: &'a Results,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.goals(f)?;
        for shape in self.plan.shapes(Work::Calls) {
            self.table(f, shape)?;
        }
        self.divisions(f)?;
        self.idle_memory(f)?;
        self.streams(f)?;
        self.failures(f)
    }
}

impl Report<'_> {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report { plan, machine, .. } = self;
        writeln!(f, "## {}\n", plan.contest.title)?;
        if cfg!(debug_assertions) {
            writeln!(f, "**This was a debug build: its figures mean nothing.**\n")?;
        }
        writeln!(f, "| | |\n|---|---|")?;
        writeln!(f, "| Date | {} |", machine.date)?;
        writeln!(f, "| Processor | {}, {} cores |", machine.processor, machine.cores)?;
        writeln!(f, "| Kernel | {} |", machine.kernel)?;
        writeln!(f, "| Load average before the run | {} |", machine.load_before)?;
        writeln!(f, "| Compiler | {} |", machine::COMPILER)?;
        writeln!(f, "| Libraries | {} |", machine::versions(plan.contest.packages).join(", "))?;
        if !machine.programs.is_empty() {
            writeln!(f, "| Programs | {} |", machine.programs.join(", "))?;
        }
        writeln!(
            f,
            "| Rounds | {} of {} s per measurement, after a warm-up |",
            plan.rounds,
            plan.seconds.as_secs_f64()
        )?;
        writeln!(f, "\nTo rerun, in `benchmarks/`:\n\n```sh\n{}\n```\n", self.command())?;
        writeln!(f, "{}\n", plan.contest.about)?;
        writeln!(f, "| Peer | What it does |\n|---|---|")?;
        for peer in &plan.peers {
            writeln!(f, "| `{}` | {} |", peer.name(), peer.about())?;
        }
        Ok(())
    }

    fn command(&self) -> String {
        let Plan { contest, rounds, seconds, peers, works, .. } = self.plan;
        let Plan { sizes, in_flight, item_sizes, streams, paces, .. } = self.plan;
        let (name, seconds) = (contest.command, seconds.as_secs_f64());
        let mut command =
            format!("cargo run --release -- {name} --rounds {rounds} --seconds {seconds}");
        if contest.command == "run" && works.len() <= Work::STREAMS.len() {
            command += &format!(" --work {}", listed(works.iter().map(|work| work.name())));
        }
        if works.contains(&Work::Calls) {
            command += &format!(" --sizes {} --in-flight {}", listed(sizes), listed(in_flight));
        }
        if works.iter().any(|work| Work::STREAMS.contains(work)) {
            command +=
                &format!(" --item-sizes {} --streams {}", listed(item_sizes), listed(streams));
        }
        if contest.brokered {
            command += &format!(" --divide {}", listed(paces.iter().map(|pace| pace.argument())));
        }
        if peers.len() < contest.peers.len() {
            command += &format!(" --only {}", listed(peers.iter().map(|peer| peer.name())));
        }
        command
    }

    fn goals(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let contest = self.plan.contest;
        writeln!(f, "\n### Goals\n")?;
        if !self.plan.works.contains(&Work::Calls) {
            return writeln!(f, "They are of calls, which were not measured in this run.");
        }
        if !self.took_part(contest.ours) {
            return writeln!(f, "`{}` took no part in this run.", contest.ours);
        }
        writeln!(
            f,
            "Ratios of `{}`; least and most of the rounds in parentheses.\n",
            contest.ours
        )?;
        writeln!(f, "| Goal | Wanted | Measured | Reached |\n|---|---|---|---|")?;
        for outcome in goals::ratios(contest, self.results) {
            goal(f, &outcome)?;
        }
        if contest.brokered {
            for outcome in goals::divisions(contest, &self.plan.paces, self.results) {
                goal(f, &outcome)?;
            }
        }
        if !contest.idle {
            return Ok(());
        }
        let idle = goals::idle_memory(contest, self.results);
        let measured = match idle {
            Some((bytes, _)) => format!("{:.1} KiB", bytes / 1024.0),
            None => "not measured".to_owned(),
        };
        let reached = verdict(idle.map(|(_, reached)| reached));
        writeln!(
            f,
            "| Memory of an idle connection at the server | < 64 KiB | {measured} | {reached} |"
        )
    }

    fn table(&self, f: &mut Formatter<'_>, shape: Shape) -> fmt::Result {
        writeln!(f, "\n### {shape}\n")?;
        writeln!(
            f,
            "| Peer | calls/s | p50 µs | p99 µs | client CPU µs/call | server CPU µs/call | {}\n\
             |---|--:|--:|--:|--:|--:|--:|{}",
            if self.plan.contest.brokered {
                "broker CPU µs/call | all | commands/call |"
            } else {
                "both |"
            },
            if self.plan.contest.brokered { "--:|--:|" } else { "" },
        )?;
        for peer in &self.plan.peers {
            let figure = |figure| {
                self.results.figure(figure, shape, peer.name()).map(|spread| spread.median)
            };
            write!(f, "| `{}` | {} |", peer.name(), Whole(figure(Figure::Rate)))?;
            for latency in [Figure::P50, Figure::P99] {
                write!(f, " {} |", Decimals(figure(latency), 1))?;
            }
            for processor in self.processors() {
                write!(f, " {} |", Decimals(figure(*processor), 2))?;
            }
            if self.plan.contest.brokered {
                write!(f, " {} |", Decimals(figure(Figure::Commands), 2))?;
            }
            writeln!(f)?;
        }

        self.ratios(f, shape)
    }

    /// Whose processor time is told apart.
    fn processors(&self) -> &'static [Figure] {
        if self.plan.contest.brokered {
            &[
                Figure::ClientProcessor,
                Figure::ServerProcessor,
                Figure::BrokerProcessor,
                Figure::Processor,
            ]
        } else {
            &[Figure::ClientProcessor, Figure::ServerProcessor, Figure::Processor]
        }
    }

    fn ratios(&self, f: &mut Formatter<'_>, shape: Shape) -> fmt::Result {
        let references = self.plan.contest.references.iter().copied();
        let references: Vec<_> = references
            .filter(|name| self.plan.peers_of(shape.work).any(|peer| peer.name() == *name))
            .collect();
        if references.is_empty() {
            return Ok(());
        }
        let units = shape.work.unit();
        let unit = units.trim_end_matches('s');
        let sides = if self.plan.contest.brokered { "all three" } else { "both" };
        writeln!(f, "\nRatios, {units}/s and CPU of {sides} sides per {unit}:\n")?;
        write!(f, "| Peer |")?;
        for reference in &references {
            write!(f, " {units}/s ÷ `{reference}` | CPU ÷ `{reference}` |")?;
        }
        writeln!(f, "\n|---|{}", "--:|--:|".repeat(references.len()))?;
        for peer in self.plan.peers_of(shape.work) {
            write!(f, "| `{}` |", peer.name())?;
            for reference in &references {
                for figure in [Figure::Rate, Figure::Processor] {
                    let ratio = self.results.ratio(figure, shape, peer.name(), reference);
                    write!(f, " {} |", Decimals(ratio.map(|spread| spread.median), 2))?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn streams(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shapes: Vec<_> =
            Work::STREAMS.iter().flat_map(|&work| self.plan.shapes(work)).collect();
        if shapes.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### Streams\n")?;
        f.write_str(
            "One client holds one connection and keeps the given number of streams open on it, which \
             never end: whoever writes them always has the next item, and whoever reads them takes \
             it, looks at its length and drops it, so that flow control alone sets the pace. Items are \
             handed over as shared bytes on both sides. Items that the client sends are counted when \
             it hands them over, and compared at the end with what the server has got; all others are \
             counted when they arrive, those that come back once.\n\n",
        )?;
        writeln!(f, "| Peer | How it streams |\n|---|---|")?;
        for peer in &self.plan.peers {
            if let Some(streaming) = peer.streaming() {
                writeln!(f, "| `{}` | {} |", peer.name(), streaming.about())?;
            }
        }
        for shape in shapes {
            self.stream_table(f, shape)?;
        }
        Ok(())
    }

    fn stream_table(&self, f: &mut Formatter<'_>, shape: Shape) -> fmt::Result {
        writeln!(f, "\n#### {shape}\n")?;
        writeln!(
            f,
            "| Peer | items/s | MiB/s | client CPU µs/item | server CPU µs/item | both |\n\
             |---|--:|--:|--:|--:|--:|"
        )?;
        for peer in self.plan.peers_of(shape.work) {
            let figure = |figure| {
                self.results.figure(figure, shape, peer.name()).map(|spread| spread.median)
            };
            let rate = figure(Figure::Rate);
            let mebibytes = rate.map(|rate| rate * shape.size as f64 / (1024.0 * 1024.0));
            write!(f, "| `{}` | {} | {} |", peer.name(), Whole(rate), Whole(mebibytes))?;
            for processor in self.processors() {
                write!(f, " {} |", Decimals(figure(*processor), 3))?;
            }
            writeln!(f)?;
        }
        self.ratios(f, shape)
    }

    fn idle_memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.plan.idle_peers().next().is_none() {
            return Ok(());
        }
        writeln!(f, "\n### Idle connections\n")?;
        writeln!(
            f,
            "What the server's resident memory grew by when {IDLE_CONNECTIONS} connections \
             were opened, for each of them. Each had made one call; the kernel's socket \
             buffers are not in it.\n"
        )?;
        writeln!(f, "| Peer | KiB per connection |\n|---|--:|")?;
        for peer in &self.plan.peers {
            let kibibytes = self.results.idle_memory(peer.name()).map(|bytes| bytes / 1024.0);
            writeln!(f, "| `{}` | {} |", peer.name(), Decimals(kibibytes, 1))?;
        }
        Ok(())
    }

    fn failures(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.results.failures().is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### Failed measurements\n")?;
        for failure in self.results.failures() {
            writeln!(f, "- {}", failure.replace('\n', " "))?;
        }
        Ok(())
    }

    fn took_part(&self, name: &str) -> bool {
        self.plan.peers.iter().any(|peer: &&dyn Peer| peer.name() == name)
    }
}

/// A goal's row.
fn goal(f: &mut Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let wanted = match outcome.bound {
        Bound::AtMost(bound) => format!("≤ {bound:.2}"),
        Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
    };
    let measured = match outcome.measured {
        Some(Spread { least, median, most }) => format!("{median:.2} ({least:.2}–{most:.2})"),
        None => "not measured".to_owned(),
    };
    let reached = verdict(outcome.reached());
    writeln!(f, "| {} | {wanted} | {measured} | {reached} |", outcome.claim)
}

fn verdict(reached: Option<bool>) -> &'static str {
    match reached {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "–",
    }
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::{Contest, REDIS, UNIX};
    use crate::division::Pace;

    fn report(contest: &'static Contest, works: Vec<Work>) -> String {
        let plan = Plan {
            contest,
            rounds: 1,
            seconds: std::time::Duration::from_secs(1),
            peers: contest.peers.to_vec(),
            works,
            sizes: vec![32],
            in_flight: vec![1],
            item_sizes: vec![64],
            streams: vec![16],
            paces: vec![Pace::PerSecond(200)],
        };
        let machine = Machine {
            cores: 2,
            processor: "Any".to_owned(),
            kernel: "6".to_owned(),
            load_before: "0.00".to_owned(),
            date: "2026-01-01".to_owned(),
            programs: Vec::new(),
        };
        markdown(&plan, &machine, &Results::default())
    }

    #[test]
    fn every_shape_has_a_table() {
        let report = report(&UNIX, vec![Work::Calls, Work::ServerStream]);
        assert!(report.contains("### 32 B, 1 in flight"));
        assert!(report.contains("#### 64 B items from the server, 16 streams"));
        assert!(report.contains("### Idle connections") && !report.contains("### Two servers"));
    }

    #[test]
    fn with_a_broker_its_time_is_told_and_how_calls_are_divided() {
        let report = report(&REDIS, vec![Work::Calls]);
        assert!(report.contains("broker CPU µs/call | all | commands/call |"));
        assert!(report.contains("#### 200 calls/s") && report.contains("--divide 200/s"));
        assert!(!report.contains("### Idle connections"));
    }
}
