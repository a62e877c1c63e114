//! Rows for people, in columns.

use crate::terminal::printable;

/// Writes rows under their heads, each column as wide as its widest cell.
pub(crate) fn columns<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_owned))
        .chain(rows.iter().cloned())
        // A line break in a cell would be a row that is none.
        .map(|row| row.map(|cell| printable(&cell).replace(['\n', '\t'], " ")))
        .collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn cells_stand_under_their_heads() {
        let rows = [row(["calc", "é", "1"]), row(["x", "long", ""])];
        assert_eq!(
            columns(["SERVICE", "ID", "N"], &rows),
            "SERVICE  ID    N\n\
             calc     é     1\n\
             x        long"
        );
    }

    #[test]
    fn a_cell_cannot_make_rows() {
        assert_eq!(columns(["A", "B", "C"], &[row(["a\nb", "", ""])]).lines().count(), 2);
    }
}
