//! Finding the layers of this process: the file it names, and its variables.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Mistake, Position};
use super::layers::Layers;
use super::origin::Origin;
use super::variables;

/// The file that is read if `FARCALL_CONFIG` names no other, in the current folder.
const DEFAULT_FILE: &str = "farcall.toml";

impl Layers {
    /// The layers of this process: the file named by `FARCALL_CONFIG`, else `farcall.toml` in the
    /// current folder if there is one, and the `FARCALL_…` variables over it.
    ///
    /// Variables are read once: what the program sets later is not seen.
    ///
    /// ```no_run
    /// use farcall_core::config::Layers;
    ///
    /// let layers = Layers::from_process()?;
    /// println!("read {:?}", layers.file());
    /// # Ok::<(), farcall_core::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `FARCALL_CONFIG` names a file that cannot be read, or is empty;
    /// - `farcall.toml` is there and cannot be read;
    /// - the file, or a variable of ours, is not UTF-8;
    /// - the file is not TOML.
    pub fn from_process() -> Result<Layers, ConfigError> {
        gather(None, Path::new(DEFAULT_FILE), env::vars_os())
    }

    /// The same with this file instead of one that is found, for a program that takes it as an
    /// argument. `FARCALL_CONFIG` is not looked at; the other variables lie over the file as
    /// always.
    ///
    /// # Errors
    ///
    /// As [`Layers::from_process`]; a file that is not there is an error.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Layers, ConfigError> {
        gather(Some(path.as_ref()), Path::new(DEFAULT_FILE), env::vars_os())
    }
}

fn gather(
    chosen: Option<&Path>,
    default: &Path,
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layers, ConfigError> {
    let mut mistakes = Vec::new();
    let mut variables = Vec::new();
    let mut named = None;
    for (name, value) in all {
        if name == variables::FILE {
            // A path need not be UTF-8.
            named = Some(PathBuf::from(value));
        } else if is_ours(&name) {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => variables.push((name, value)),
                (name, _) => {
                    let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
                    mistakes.push(Mistake::new(Origin::Variable(name), "not UTF-8"));
                }
            }
        }
    }
    let file = find(chosen, named.as_deref(), default);
    let layers = match file.map(|(path, origin)| Ok((path, read(path, origin)?))) {
        Some(Ok((path, text))) => Layers::new(Some((path, &text)), variables),
        Some(Err(error)) => Err(error),
        None => Layers::new(None, variables),
    };
    if let Err(error) = &layers {
        mistakes.extend_from_slice(error.mistakes());
    }
    ConfigError::check(mistakes)?;
    layers
}

fn is_ours(name: &OsStr) -> bool {
    let prefix = variables::PREFIX.as_bytes();
    name.as_encoded_bytes().starts_with(prefix)
}

/// The file to read, and who named it.
fn find<'p>(
    chosen: Option<&'p Path>,
    named: Option<&'p Path>,
    default: &'p Path,
) -> Option<(&'p Path, Origin)> {
    if let Some(path) = chosen {
        return Some((path, Origin::File(path.to_owned())));
    }
    if let Some(path) = named {
        return Some((path, Origin::Variable(variables::FILE.to_owned())));
    }
    // A link that leads nowhere, or a folder we may not look into, is not the same as no file.
    let absent =
        matches!(fs::symlink_metadata(default), Err(error) if error.kind() == ErrorKind::NotFound);
    (!absent).then(|| (default, Origin::File(default.to_owned())))
}

/// The text of the file; `origin` is who named it.
fn read(path: &Path, origin: Origin) -> Result<String, ConfigError> {
    if path.as_os_str().is_empty() {
        let mistake = Mistake::new(origin, "names no file");
        let help = "unset it, or write the path of a file";
        return Err(mistake.help(Some(help.to_owned())).into());
    }
    let bytes = fs::read(path).map_err(|error| {
        let problem = format!("cannot read {}: {error}", path.display());
        Mistake::new(origin, problem)
    })?;
    Ok(String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Mistake::new(Origin::File(path.to_owned()), "not UTF-8").at(Some(end_of(good)))
    })?)
}

/// The place right after `text`, which is UTF-8.
fn end_of(text: &[u8]) -> Position {
    let line_start = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    Position {
        line: text.iter().filter(|b| **b == b'\n').count() + 1,
        column: String::from_utf8_lossy(&text[line_start..]).chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path =
                env::temp_dir().join(format!("farcall-config-{}-{number}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn with(self, name: &str, content: impl AsRef<[u8]>) -> Folder {
            fs::write(self.0.join(name), content).unwrap();
            self
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn gather(&self, variables: &[(&str, OsString)]) -> Result<Layers, ConfigError> {
            let variables =
                variables.iter().map(|(name, value)| (OsString::from(name), value.clone()));
            gather(None, &self.path(DEFAULT_FILE), variables)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn no_file_is_fine() {
        assert_eq!(Folder::new().gather(&[]).unwrap().file(), None);
    }

    #[test]
    fn the_file_of_the_folder_is_found() {
        let folder = Folder::new().with(DEFAULT_FILE, "a = 1");
        let layers = folder.gather(&[]).unwrap();
        assert_eq!(layers.file(), Some(folder.path(DEFAULT_FILE).as_path()));
    }

    #[test]
    fn the_named_file_is_read_instead() {
        let folder = Folder::new().with(DEFAULT_FILE, "not toml").with("other.toml", "a = 1");
        let named = folder.path("other.toml");
        let layers = folder.gather(&[("FARCALL_CONFIG", named.clone().into())]).unwrap();
        assert_eq!(layers.file(), Some(named.as_path()));
    }

    #[test]
    fn a_named_file_that_is_not_there_is_a_mistake_of_the_variable() {
        let folder = Folder::new();
        let error =
            folder.gather(&[("FARCALL_CONFIG", folder.path("none.toml").into())]).unwrap_err();
        assert_eq!(error.mistakes()[0].origin, Origin::Variable("FARCALL_CONFIG".into()));
        assert!(error.to_string().contains("none.toml"), "{error}");
    }

    #[test]
    fn an_empty_name_of_the_file_is_a_mistake() {
        let error = Folder::new().gather(&[("FARCALL_CONFIG", "".into())]).unwrap_err();
        assert!(error.to_string().contains("names no file"), "{error}");
    }

    #[test]
    fn a_chosen_file_goes_before_the_named_one() {
        let folder = Folder::new().with("chosen.toml", "a = 1");
        let chosen = folder.path("chosen.toml");
        let named = [(OsString::from("FARCALL_CONFIG"), OsString::from("/nowhere"))];
        let layers = gather(Some(&chosen), &folder.path(DEFAULT_FILE), named).unwrap();
        assert_eq!(layers.file(), Some(chosen.as_path()));
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_a_mistake() {
        let folder = Folder::new();
        fs::create_dir(folder.path(DEFAULT_FILE)).unwrap();
        assert!(folder.gather(&[]).unwrap_err().to_string().contains("cannot read"));
    }

    #[test]
    fn a_file_that_is_not_utf8_is_a_mistake_with_its_place() {
        let folder = Folder::new().with(DEFAULT_FILE, b"a = 1\nb = '\xc3\xa9\xff'");
        let error = folder.gather(&[]).unwrap_err();
        assert_eq!(error.mistakes()[0].position, Some(Position { line: 2, column: 7 }));
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_utf8_is_a_mistake_only_if_it_is_ours() {
        use std::os::unix::ffi::OsStringExt;

        let bad = OsString::from_vec(vec![0xff]);
        let folder = Folder::new();
        assert!(folder.gather(&[("OTHER", bad.clone())]).is_ok());
        let error = folder.gather(&[("FARCALL_SERVER__ID", bad)]).unwrap_err();
        assert_eq!(error.mistakes()[0].to_string(), "FARCALL_SERVER__ID: not UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn a_bad_file_and_a_bad_variable_are_reported_together() {
        use std::os::unix::ffi::OsStringExt;

        let folder = Folder::new().with(DEFAULT_FILE, "a =");
        let error = folder.gather(&[("FARCALL_A", OsString::from_vec(vec![0xff]))]).unwrap_err();
        assert_eq!(error.mistakes().len(), 2);
    }
}
