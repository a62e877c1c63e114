//! Python with redis-py, in an environment of its own beside this program.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// The version of redis-py: the figures are the library's as much as Python's.
const REDIS_PY: &str = "8.1.0";

/// Prints the versions of both.
const VERSIONS: &str = "import platform, redis; print('Python', platform.python_version() + ',', 'redis-py', redis.__version__)";

/// The interpreter, once [`prepare`] has made it.
///
/// # Errors
///
/// When this program's own place is not known.
pub(crate) fn interpreter() -> anyhow::Result<PathBuf> {
    Ok(environment()?.join("bin/python"))
}

/// Makes the environment, unless an earlier run has: what is in it.
///
/// # Errors
///
/// When there is no Python, no `venv`, or no package index in reach: with what to do about it.
pub(crate) async fn prepare() -> anyhow::Result<String> {
    let (environment, interpreter) = (environment()?, interpreter()?);
    if let Ok(versions) = output(&interpreter, ["-c", VERSIONS]).await {
        return Ok(versions);
    }
    eprintln!("making an environment for Python in {}", environment.display());
    let made = async {
        let place = environment.as_os_str();
        output(
            "python3".as_ref(),
            ["-m", "venv", "--clear"].map(OsStr::new).into_iter().chain([place]),
        )
        .await?;
        let library = format!("redis=={REDIS_PY}");
        output(&interpreter, ["-m", "pip", "install", "--quiet", &library]).await?;
        output(&interpreter, ["-c", VERSIONS]).await
    };
    made.await.context(
        "Python's peers need `python3` with `venv` (Debian: `apt-get install python3-venv`), and \
         redis-py from a package index that `pip` reaches",
    )
}

/// A folder that holds this version only.
fn environment() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program's file")?;
    Ok(program.with_file_name(format!("python-redis-{REDIS_PY}")))
}

/// What a program prints.
async fn output(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        program.display(),
        output.status,
        errors.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
