//! Remembers the compiler's version: the figures are the compiler's as much as the code's.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC").expect("cargo tells a build script the compiler");
    let version = Command::new(compiler)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    println!("cargo::rustc-env=COMPILER_VERSION={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
