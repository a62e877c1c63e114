//! `farcall check`: is this configuration good, and what would be used.

use std::path::Path;

use farcall::Config;
use farcall::config::{ConfigError, Layers, Mistake, Origin, Resolved, Setting};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::CheckArgs;
use crate::exit::{Exit, Status};
use crate::terminal::Terminal;

/// Runs the command.
///
/// # Errors
/// The configuration has mistakes.
pub(crate) fn run(args: &CheckArgs, terminal: &mut Terminal<'_>) -> Result<Status, Exit> {
    let layers = match &args.file {
        Some(file) => Layers::from_file(file),
        None => Layers::from_process(),
    };
    let file = layers.as_ref().ok().and_then(|layers| layers.file().map(Path::to_owned));
    let resolved = layers.and_then(|layers| Config::resolve(&layers, farcall::transports()));
    if args.json {
        let status = if resolved.is_ok() { Status::Done } else { Status::Usage };
        terminal.answer(json(file.as_deref(), &resolved))?;
        return Ok(status);
    }
    terminal.answer(report(file.as_deref(), &resolved?))?;
    Ok(Status::Done)
}

/// TOML, like the settings themselves.
fn report(file: Option<&Path>, resolved: &Resolved) -> String {
    let read = match file {
        Some(file) => format!("{} is good", file.display()),
        None => "there is no file: defaults and variables".to_owned(),
    };
    let transports = transports().join(", ");
    format!("# {read}\n{}# transports compiled in: {transports}", resolved.settings)
}

/// The names of the transports that this program was built with.
fn transports() -> Vec<&'static str> {
    farcall::transports().iter().map(|kind| kind.name()).collect()
}

/// What `--json` prints; these names stay as they are.
#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    file: Option<String>,
    transports: Vec<&'static str>,
    settings: Vec<JsonSetting<'a>>,
    mistakes: Vec<JsonMistake<'a>>,
}

#[derive(Serialize)]
struct JsonSetting<'a> {
    key: &'a str,
    value: Option<Box<RawValue>>,
    #[serde(flatten)]
    origin: JsonOrigin,
}

#[derive(Serialize)]
struct JsonMistake<'a> {
    #[serde(flatten)]
    origin: JsonOrigin,
    line: Option<usize>,
    column: Option<usize>,
    key: Option<&'a str>,
    problem: &'a str,
    found: Option<&'a str>,
    accepted: Option<&'a str>,
    help: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonOrigin {
    /// `default`, `file` or `variable`.
    origin: &'static str,
    /// Which file or variable.
    name: Option<String>,
}

fn json(file: Option<&Path>, resolved: &Result<Resolved, ConfigError>) -> String {
    let (settings, mistakes) = match resolved {
        Ok(resolved) => (resolved.settings.iter().map(setting).collect(), Vec::new()),
        Err(error) => (Vec::new(), error.mistakes().iter().map(mistake).collect()),
    };
    let checked = Checked {
        ok: resolved.is_ok(),
        file: file.map(|file| file.display().to_string()),
        transports: transports(),
        settings,
        mistakes,
    };
    serde_json::to_string_pretty(&checked).expect("keys are text, and writing to memory works")
}

fn setting(setting: &Setting) -> JsonSetting<'_> {
    // Settings are written in the part of TOML that is JSON as well; should one not be, it is text.
    let json = |toml: &String| {
        let raw = RawValue::from_string(toml.clone());
        raw.or_else(|_| serde_json::value::to_raw_value(toml)).ok()
    };
    JsonSetting {
        key: &setting.key,
        value: setting.value.as_ref().and_then(json),
        origin: origin(&setting.origin),
    }
}

fn mistake(mistake: &Mistake) -> JsonMistake<'_> {
    JsonMistake {
        origin: origin(&mistake.origin),
        line: mistake.position.map(|position| position.line),
        column: mistake.position.map(|position| position.column),
        key: mistake.key.as_deref(),
        problem: &mistake.problem,
        found: mistake.found.as_deref(),
        accepted: mistake.accepted.as_deref(),
        help: mistake.help.as_deref(),
    }
}

fn origin(origin: &Origin) -> JsonOrigin {
    let (origin, name) = match origin {
        Origin::Default => ("default", None),
        Origin::File(path) => ("file", Some(path.display().to_string())),
        Origin::Variable(name) => ("variable", Some(name.clone())),
    };
    JsonOrigin { origin, name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Resolved, ConfigError> {
        let layers = Layers::new(Some((Path::new("farcall.toml"), text)), [])?;
        Config::resolve(&layers, farcall::transports())
    }

    fn read(file: Option<&Path>, resolved: &Result<Resolved, ConfigError>) -> serde_json::Value {
        serde_json::from_str(&json(file, resolved)).unwrap()
    }

    #[test]
    fn settings_have_json_values_and_their_origin() {
        let resolved = resolve("transport = 'memory'\n[server]\nconcurrency = 8");
        let checked = read(Some(Path::new("farcall.toml")), &resolved);
        assert_eq!(checked["ok"], true);
        assert_eq!(checked["file"], "farcall.toml");
        let of = |key: &str| {
            let settings = checked["settings"].as_array().unwrap();
            settings.iter().find(|setting| setting["key"] == key).unwrap().clone()
        };
        assert_eq!(of("server.concurrency")["value"], 8);
        assert_eq!(of("server.concurrency")["origin"], "file");
        assert_eq!(of("client.timeout")["value"], "30s");
        assert_eq!(of("client.timeout")["name"], serde_json::Value::Null);
        assert_eq!(of("server.id")["value"], serde_json::Value::Null);
    }

    #[test]
    fn mistakes_are_listed_whole() {
        let checked = read(None, &resolve("transport = 'memory'\n[server]\nconcurrency = 2.7"));
        assert_eq!(checked["ok"], false);
        assert_eq!(checked["mistakes"][0]["key"], "server.concurrency");
        assert_eq!(checked["mistakes"][0]["found"], "2.7 (float)");
        assert_eq!(read(None, &resolve("a ="))["mistakes"][0]["line"], 1);
    }

    #[test]
    fn the_report_is_a_configuration() {
        let resolved = resolve("transport = 'memory'\n[server]\nconcurrency = 8").unwrap();
        let report = report(None, &resolved);
        assert!(report.ends_with("memory"), "{report}");
        assert_eq!(resolve(&report).unwrap().config, resolved.config);
    }
}
