//! The agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    vipd::cli::vipd::main()
}
