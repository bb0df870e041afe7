//! `vipctl check FILE`: whether the agent would run with it. Exactly the agent's own reading.

use std::path::Path;

use serde_json::{Value, json};

use super::Exit;
use super::output::{answer, complain};
use crate::agent::report::SCHEMA;
use crate::config::{self, Problem, Severity};

/// Reads the file and says everything that is wrong with it.
pub(super) fn run(path: &Path, as_json: bool) -> Exit {
    let (problems, verdict) = match config::load(path) {
        Ok(config) => {
            let (instances, checks) = (config.settings.instances.len(), config.settings.checks.len());
            let tally = format!("{}, {}", counted(instances, "instance"), counted(checks, "check"));
            (config.warnings, Ok(tally))
        }
        Err(found) => (found.problems.clone(), Err(found)),
    };
    let exit = if verdict.is_ok() { Exit::Ok } else { Exit::Configuration };
    if as_json {
        let report = json!({
            "schema": SCHEMA,
            "file": path.display().to_string(),
            "usable": verdict.is_ok(),
            "problems": problems.iter().map(value).collect::<Vec<_>>(),
        });
        answer(&format!("{report}\n"), exit)
    } else {
        match &verdict {
            Ok(tally) => {
                for warning in &problems {
                    complain(&format!("{}:{warning}", path.display()));
                }
                answer(&format!("{}: good. {tally}.\n", path.display()), exit)
            }
            Err(found) => {
                complain(&found.to_string());
                exit
            }
        }
    }
}

fn value(problem: &Problem) -> Value {
    json!({
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "code": problem.code.to_string(),
        "text": problem.what,
    })
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
