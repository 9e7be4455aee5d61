//! Generates the C header from `src/ffi`: `chttpcore-header ROOT [OUTPUT]`, to standard output without OUTPUT.
//!
//! cbindgen is given `src/ffi/mod.rs` and not the crate: every public constant of the engine would otherwise
//! become a `#define`. It follows the `mod` lines, whose order is therefore that of the sections in the header.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

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
    let source = root.join("src/ffi/mod.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(&source).generate()?;
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
