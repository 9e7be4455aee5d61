//! Generates the C header from the sources: `chttpcore-header ROOT [OUTPUT]`, to standard output without OUTPUT.
//!
//! cbindgen is given the files in [`SOURCES`] and not the crate: every public constant of the engine would otherwise
//! become a `#define`. It follows their `mod` lines, whose order is therefore that of the sections in the header.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// The error codes stand below every room, so that each can name one; all else of the interface is in `src/ffi`.
const SOURCES: &[&str] = &["src/error.rs", "src/ffi/mod.rs"];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let Some(root) = args.next() else {
        eprintln!("usage: chttpcore-header ROOT [OUTPUT]");
        return ExitCode::from(2);
    };
    match run(Path::new(&root), args.next().as_deref().map(Path::new)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chttpcore-header: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, output: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let builder = cbindgen::Builder::new().with_config(config);
    let bindings = SOURCES.iter().fold(builder, |b, source| b.with_src(root.join(source))).generate()?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    match output {
        // An unchanged header keeps its time stamp, so that nothing is compiled again for it.
        Some(path) if fs::read(path).is_ok_and(|old| old == header) => {}
        Some(path) => fs::write(path, header)?,
        None => std::io::Write::write_all(&mut std::io::stdout(), &header)?,
    }
    Ok(())
}
