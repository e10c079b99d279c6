//! `losses`: what may be lost, as runs see it.

use klamm_sim::losses::{Cell, table};
use std::process::ExitCode;

/// Prints the table; fails when a cell is not what the promise says.
pub(crate) fn carry_out(seeds: u64) -> ExitCode {
    println!(
        "{:<6} {:<6} {:<10} {:>13} {:>6}  promise",
        "acks", "flush", "fault", "acknowledged", "lost"
    );
    let mut wrong = 0;
    for Cell {
        acks,
        flush,
        crash,
        answered,
        lost,
        may_lose,
    } in table(seeds)
    {
        let fine = (lost > 0) == may_lose && answered > 0;
        wrong += u32::from(!fine);
        let promise = if may_lose { "may lose" } else { "loses nothing" };
        let verdict = if fine { "" } else { "  \u{2717} not what is promised" };
        println!("{acks:<6} {flush:<6} {crash:<10} {answered:>13} {lost:>6}  {promise}{verdict}");
    }
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
