//! How calls were divided between two servers.

use std::fmt::{self, Formatter};

use super::Report;
use super::numbers::{Decimals, Whole};
use crate::division;
use crate::results::Figure;
use crate::rounds::Plan;

impl Report<'_> {
    /// A table for each pace, if the run has any.
    pub(super) fn divisions(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Plan { contest, paces, .. } = self.plan;
        if !contest.brokered || paces.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### Two servers\n")?;
        writeln!(
            f,
            "How the calls of one client are divided between two servers: which part of them the busier \
             one has served, 0.50 being half. Payloads of {} B; so many in flight at any time, or so \
             many begun in a second, evenly, whatever became of those before. Median of the rounds, \
             and their largest. Processor time is that of all per call: at a low rate it says what \
             waking up costs.\n",
            division::SIZE
        )?;
        for pace in paces {
            writeln!(f, "#### {pace}\n")?;
            writeln!(
                f,
                "| Peer | busier server | at most | calls/s | p50 µs | CPU µs/call |\n\
                 |---|--:|--:|--:|--:|--:|"
            )?;
            for peer in self.plan.sharing_peers() {
                let busier = self.results.busier(*pace, peer.name());
                let figure = |figure| {
                    let spread = self.results.divided(figure, *pace, peer.name());
                    spread.map(|spread| spread.median)
                };
                writeln!(
                    f,
                    "| `{}` | {} | {} | {} | {} | {} |",
                    peer.name(),
                    Decimals(busier.map(|spread| spread.median), 2),
                    Decimals(busier.map(|spread| spread.most), 2),
                    Whole(figure(Figure::Rate)),
                    Decimals(figure(Figure::P50), 1),
                    Decimals(figure(Figure::Processor), 2),
                )?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
