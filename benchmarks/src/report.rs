//! `RESULTS.md`: a head that says what was measured where, the goals, a table for each shape of calls
//! and of streams, and notes.

use std::fmt::{self, Display, Formatter};

use crate::goals::{self, Bound};
use crate::machine::{self, Machine};
use crate::memory::IDLE_CONNECTIONS;
use crate::peers::{ALL, Peer};
use crate::results::{Figure, Results, Spread};
use crate::rounds::Plan;
use crate::shape::{Shape, Work};

/// The peers that every other is compared with.
const REFERENCES: &[&str] = &["raw-mux", "tarpc-bincode", "tonic"];

/// The same for streams, which tarpc has not.
const STREAM_REFERENCES: &[&str] = &["raw-mux", "tonic"];

/// The results of a run as Markdown. The notes, written by hand, come last and as they are.
pub(crate) fn markdown(
    plan: &Plan,
    machine: &Machine,
    results: &Results,
    notes: Option<&str>,
) -> String {
    Report { plan, machine, results, notes }.to_string()
}

struct Report<'a> {
    plan: &'a Plan,
    machine: &'a Machine,
    results: &'a Results,
    notes: Option<&'a str>,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.goals(f)?;
        for shape in self.plan.shapes(Work::Calls) {
            self.table(f, shape)?;
        }
        self.idle_memory(f)?;
        self.streams(f)?;
        self.failures(f)?;
        match self.notes {
            Some(notes) => write!(f, "\n{notes}"),
            None => Ok(()),
        }
    }
}

impl Report<'_> {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report { plan, machine, .. } = self;
        writeln!(f, "# Results\n")?;
        writeln!(
            f,
            "Written by `farcall-benchmarks`; what is added by hand belongs in `NOTES.md`.\n"
        )?;
        if cfg!(debug_assertions) {
            writeln!(f, "**This was a debug build: its figures mean nothing.**\n")?;
        }
        writeln!(f, "| | |\n|---|---|")?;
        writeln!(f, "| Date | {} |", machine.date)?;
        writeln!(f, "| Processor | {}, {} cores |", machine.processor, machine.cores)?;
        writeln!(f, "| Kernel | {} |", machine.kernel)?;
        writeln!(f, "| Load average before the run | {} |", machine.load_before)?;
        writeln!(f, "| Compiler | {} |", machine::COMPILER)?;
        let versions: Vec<_> =
            machine::versions().iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "| Libraries | {} |", versions.join(", "))?;
        writeln!(
            f,
            "| Rounds | {} of {} s per measurement, after a warm-up |",
            plan.rounds,
            plan.seconds.as_secs_f64()
        )?;
        writeln!(f, "\nTo rerun, in `benchmarks/`:\n\n```sh\n{}\n```\n", self.command())?;
        f.write_str(
            "Client and server are separate processes, started anew for every measurement, that \
             talk over a Unix socket; the server echoes the payload. One client holds one \
             connection and keeps the given number of calls in flight. In each round, for each \
             shape, the peers take turns. Figures are medians over the rounds; ratios are medians \
             of the ratios within a round. Compare figures of one run only: the same machine \
             differs by twice between hours.\n\n\
             All asynchronous peers run on tokio's runtime of one thread (`current_thread`), \
             client and server alike, with the system's allocator. Processor time is what the \
             scheduler accounts to all threads of a process within the measured window, kernel \
             time included. Latency is timed on every call when one is in flight, on one in 16 \
             when many are; for the two peers that send batches it is the time of a whole batch.\n\n",
        )?;
        writeln!(f, "| Peer | What it does |\n|---|---|")?;
        for peer in &plan.peers {
            writeln!(f, "| `{}` | {} |", peer.name(), peer.about())?;
        }
        Ok(())
    }

    fn command(&self) -> String {
        let Plan { rounds, seconds, peers, works, sizes, in_flight, item_sizes, streams } =
            self.plan;
        let seconds = seconds.as_secs_f64();
        let mut command =
            format!("cargo run --release -- run --rounds {rounds} --seconds {seconds}");
        if works.len() <= Work::STREAMS.len() {
            command += &format!(" --work {}", listed(works.iter().map(|work| work.name())));
        }
        if works.contains(&Work::Calls) {
            command += &format!(" --sizes {} --in-flight {}", listed(sizes), listed(in_flight));
        }
        if works.iter().any(|work| Work::STREAMS.contains(work)) {
            command +=
                &format!(" --item-sizes {} --streams {}", listed(item_sizes), listed(streams));
        }
        if peers.len() < ALL.len() {
            command += &format!(" --only {}", listed(peers.iter().map(|peer| peer.name())));
        }
        command
    }

    fn goals(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Goals\n")?;
        if !self.plan.works.contains(&Work::Calls) {
            return writeln!(f, "They are of calls, which were not measured in this run.");
        }
        if !self.plan.peers.iter().any(|peer| peer.name() == goals::OURS) {
            return writeln!(f, "`{}` took no part in this run.", goals::OURS);
        }
        writeln!(f, "Ratios of `{}`; least and most of the rounds in parentheses.\n", goals::OURS)?;
        writeln!(f, "| Goal | Wanted | Measured | Reached |\n|---|---|---|---|")?;
        for outcome in goals::ratios(self.results) {
            let wanted = match outcome.bound {
                Bound::AtMost(bound) => format!("≤ {bound:.2}"),
                Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
            };
            let measured = match outcome.measured {
                Some(Spread { least, median, most }) => {
                    format!("{median:.2} ({least:.2}–{most:.2})")
                }
                None => "not measured".to_owned(),
            };
            writeln!(
                f,
                "| {} | {wanted} | {measured} | {} |",
                outcome.claim,
                verdict(outcome.reached())
            )?;
        }
        let idle = goals::idle_memory(self.results);
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
        writeln!(f, "\n## {shape}\n")?;
        writeln!(
            f,
            "| Peer | calls/s | p50 µs | p99 µs | client CPU µs/call | server CPU µs/call | both |\n\
             |---|--:|--:|--:|--:|--:|--:|"
        )?;
        for peer in &self.plan.peers {
            let figure = |figure| {
                self.results.figure(figure, shape, peer.name()).map(|spread| spread.median)
            };
            write!(f, "| `{}` | {} |", peer.name(), Whole(figure(Figure::Rate)))?;
            for latency in [Figure::P50, Figure::P99] {
                write!(f, " {} |", Decimals(figure(latency), 1))?;
            }
            for processor in [Figure::ClientProcessor, Figure::ServerProcessor, Figure::Processor] {
                write!(f, " {} |", Decimals(figure(processor), 2))?;
            }
            writeln!(f)?;
        }

        self.ratios(f, shape, REFERENCES)
    }

    fn ratios(&self, f: &mut Formatter<'_>, shape: Shape, references: &[&str]) -> fmt::Result {
        let references: Vec<_> =
            references.iter().copied().filter(|name| self.took_part(name)).collect();
        if references.is_empty() {
            return Ok(());
        }
        let units = shape.work.unit();
        let unit = units.trim_end_matches('s');
        writeln!(f, "\nRatios, {units}/s and CPU of both sides per {unit}:\n")?;
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
        writeln!(f, "\n## Streams\n")?;
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
        writeln!(f, "\n### {shape}\n")?;
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
            for processor in [Figure::ClientProcessor, Figure::ServerProcessor, Figure::Processor] {
                write!(f, " {} |", Decimals(figure(processor), 3))?;
            }
            writeln!(f)?;
        }
        self.ratios(f, shape, STREAM_REFERENCES)
    }

    fn idle_memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.plan.works.contains(&Work::Calls) {
            return Ok(());
        }
        writeln!(f, "\n## Idle connections\n")?;
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
        writeln!(f, "\n## Failed measurements\n")?;
        for failure in self.results.failures() {
            writeln!(f, "- {}", failure.replace('\n', " "))?;
        }
        Ok(())
    }

    fn took_part(&self, name: &str) -> bool {
        self.plan.peers.iter().any(|peer: &&dyn Peer| peer.name() == name)
    }
}

/// A figure with digits behind the point, or a dash.
struct Decimals(Option<f64>, usize);

impl Display for Decimals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(figure) => write!(f, "{figure:.*}", self.1),
            None => f.write_str("–"),
        }
    }
}

/// A whole number with its thousands set apart, or a dash.
struct Whole(Option<f64>);

impl Display for Whole {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(figure) = self.0 else {
            return f.write_str("–");
        };
        let digits = format!("{figure:.0}");
        for (position, digit) in digits.char_indices() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
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

    #[test]
    fn thousands_are_set_apart() {
        for (figure, text) in [(7.0, "7"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(Whole(Some(figure)).to_string(), text);
        }
    }

    #[test]
    fn notes_end_the_report_as_they_were_written() {
        let plan = Plan {
            rounds: 1,
            seconds: std::time::Duration::from_secs(1),
            peers: ALL.to_vec(),
            works: vec![Work::Calls, Work::ServerStream],
            sizes: vec![32],
            in_flight: vec![1],
            item_sizes: vec![64],
            streams: vec![16],
        };
        let machine = Machine {
            cores: 2,
            processor: "Any".to_owned(),
            kernel: "6".to_owned(),
            load_before: "0.00".to_owned(),
            date: "2026-01-01".to_owned(),
        };
        let notes = "## Notes\n\nBy hand.\n";
        let report = markdown(&plan, &machine, &Results::default(), Some(notes));
        assert!(report.ends_with(notes));
        assert!(report.contains("## 32 B, 1 in flight"));
        assert!(report.contains("### 64 B items from the server, 16 streams"));
    }
}
