//! What may be lost, and what may not.

use klamm_sim::losses::table;

#[test]
fn the_promise_holds_cell_by_cell_and_the_unsafe_cells_do_lose() {
    for cell in table(8) {
        let name = format!("acks {} flush {} {}", cell.acks, cell.flush, cell.crash);
        assert!(cell.answered > 0, "{name}: nothing was at stake");
        assert_eq!(
            cell.lost > 0,
            cell.may_lose,
            "{name}: {} of {} are lost",
            cell.lost,
            cell.answered
        );
    }
}
