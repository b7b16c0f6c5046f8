//! `cargo xtask audit-surface`: every call and page of the programs that others reach, with what it needs and how much of a
//! body it reads.
//!
//! The programs say it themselves (`taxdisk-broker surface`, `taxdisk-portal surface`), out of the tables that their doors ask;
//! tests of theirs hold the tables against the routers and the OpenAPI document.

use std::process::Command;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// How it is shown.
#[derive(Debug, Args)]
pub(crate) struct SurfaceArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The programs are built already.
    #[arg(long)]
    built: bool,
}

/// A line as the programs write it.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(default)]
    program: String,
    method: String,
    path: String,
    needs: String,
    body_bytes: usize,
}

/// Prints the list.
///
/// # Errors
/// A program cannot be built, or does not say it.
pub(crate) fn run(args: &SurfaceArgs) -> Result<(), String> {
    let programs = ["taxdisk-broker", "taxdisk-portal"];
    if !args.built {
        workspace::run(workspace::cargo(&["build", "--quiet", "--bin", programs[0], "--bin", programs[1]]))?;
    }
    let mut lines = Vec::new();
    for program in programs {
        let mut ask = Command::new(workspace::binary(program));
        ask.arg("surface");
        let text = workspace::output(ask)?;
        let said: Vec<Line> = serde_json::from_str(&text).map_err(|error| format!("{program} surface: {error}"))?;
        lines.extend(said.into_iter().map(|line| Line { program: program.to_owned(), ..line }));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&lines).map_err(|error| error.to_string())?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["program", "method", "path", "needs", "body bytes"]);
    for line in &lines {
        table.add_row([&line.program, &line.method, &line.path, &line.needs, &line.body_bytes.to_string()]);
    }
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let open = lines.iter().filter(|line| line.needs == "nothing").count();
    println!("{table}\n\n{} calls and pages; {open} of them need nothing.", lines.len());
    Ok(())
}
