//! Plays storms, one after the other, each on a ground of its own, until there were enough kills:
//!
//!     cargo xtask storm --kills 1000 --seed 7 --transport unix --store file

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use farcall_integration_tests::storm::{Programs, Report, Storm};

/// What a storm of its own has, so that everything about it can be remembered and checked.
const KILLS: u64 = 50;

fn main() -> ExitCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = u64::from(now.subsec_micros());
    let mut storm =
        Storm { transport: "unix".to_owned(), store: "file".to_owned(), seed, kills: 1000 };
    if let Err(mistake) = read(&mut storm, std::env::args().skip(1)) {
        eprintln!("storm: {mistake}");
        return ExitCode::from(2);
    }
    match play(&storm) {
        Ok(report) if report.violations.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(mistake) => {
            eprintln!("storm: {mistake}");
            ExitCode::from(2)
        }
    }
}

fn read(storm: &mut Storm, mut words: impl Iterator<Item = String>) -> Result<(), String> {
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{word} is a number, not `{value}`"));
        match &*word {
            "--kills" => storm.kills = number()?,
            "--seed" => storm.seed = number()?,
            "--transport" => storm.transport = value,
            "--store" => storm.store = value,
            _ => return Err(format!("there is no {word}")),
        }
    }
    Ok(())
}

fn play(storm: &Storm) -> Result<Report, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let programs = Programs {
        server: here.with_file_name("storm-server"),
        client: here.with_file_name("storm-client"),
    };
    let began = Instant::now();
    let (mut all, mut left) = (Report::default(), storm.kills);
    for seed in storm.seed.. {
        let part = Storm { seed, kills: left.min(KILLS), ..storm.clone() };
        let report = part.play(&programs)?;
        println!("seed {seed}, {} s: {report}", began.elapsed().as_secs());
        all = all.and(report);
        left -= part.kills;
        if left == 0 || !all.violations.is_empty() {
            break;
        }
    }
    let Storm { transport, store, seed, .. } = storm;
    println!("\n{transport} x {store}, from seed {seed}: {all}");
    Ok(all)
}
