//! `RESULTS.md` as a whole: a section for each contest, each of which stays as it is while another is
//! run again, and notes.

use crate::contest::{self, Contest};

const HEAD: &str = "# Results\n\nWritten by `farcall-benchmarks`, a section by each of its commands; \
                    what is added by hand belongs in `NOTES.md`.\n";

/// The document with a contest's new section in the place of the old one, and with these notes. The
/// notes, written by hand, come last and as they are.
pub(crate) fn with(before: &str, contest: &Contest, section: &str, notes: Option<&str>) -> String {
    let mut document = HEAD.to_owned();
    for other in contest::ALL {
        let section = match other.command == contest.command {
            true => Some(section),
            false => section_of(before, other),
        };
        if let Some(section) = section {
            let (begin, end) = (begin(other), end(other));
            document += &format!("\n{begin}\n\n{}\n\n{end}\n", section.trim_end());
        }
    }
    if let Some(notes) = notes {
        document += "\n";
        document += notes;
    }
    document
}

fn section_of<'a>(document: &'a str, contest: &Contest) -> Option<&'a str> {
    let (_, rest) = document.split_once(&begin(contest))?;
    let (section, _) = rest.split_once(&end(contest))?;
    Some(section.trim_start_matches('\n'))
}

fn begin(contest: &Contest) -> String {
    format!("<!-- what `{}` has measured -->", contest.command)
}

fn end(contest: &Contest) -> String {
    format!("<!-- end of `{}` -->", contest.command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::{REDIS, UNIX};

    #[test]
    fn a_section_takes_the_place_of_its_own_and_leaves_others() {
        let first = with("an old file", &REDIS, "## Broker\n\nOld.\n", None);
        let second = with(&first, &UNIX, "## Sockets\n", Some("## Notes\n"));
        let third = with(&second, &REDIS, "## Broker\n\nNew.\n", Some("## Notes\n\nMore.\n"));
        assert_eq!(first.matches("## ").count(), 1);
        assert!(third.starts_with(HEAD) && third.ends_with("## Notes\n\nMore.\n"));
        assert!(third.contains("New.") && !third.contains("Old."));
        let place = |text| third.find(text).unwrap();
        assert!(place("## Sockets") < place("## Broker"), "in their own order");
        assert_eq!(with(&third, &REDIS, "## Broker\n\nNew.\n", Some("## Notes\n\nMore.\n")), third);
    }
}
