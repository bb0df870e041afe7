//! The control tool.

use std::process::ExitCode;

fn main() -> ExitCode {
    vipd::cli::vipctl::main()
}
