//! The `bellwire` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bellwire::cli::main()
}
