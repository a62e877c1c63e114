//! What something takes of the machine's processors.

use std::time::Duration;

/// The unit of the kernel's account, which Linux fixes for programs.
const TICK: Duration = Duration::from_millis(10);

/// The time that this thread has taken, and with it the nodes that live on it.
#[must_use]
pub fn own_processor() -> Duration {
    of("/proc/thread-self/stat")
}

pub(crate) fn of(path: &str) -> Duration {
    let stat = std::fs::read_to_string(path).expect("it lives, and this is Linux");
    parse(&stat).expect("whatever lives has an account")
}

/// The time in user and kernel mode: the 12th and 13th field after the name, which may hold anything.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u32>);
    let (user, kernel) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(TICK * (user + kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_the_kernel_writes() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 20 30 0 0 20";
        assert_eq!(parse(stat), Some(Duration::from_millis(500)));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn what_is_taken_is_seen() {
        let before = own_processor();
        while own_processor() < before + 2 * TICK {}
    }
}
