//! Columns that line up. Cells are padded before they are painted, so colour
//! never moves anything.

use super::{
    console::{Palette, Tint},
    human,
};

/// Between two columns.
const GAP: &str = "  ";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tint: Tint,
}

pub(super) fn cell(text: impl AsRef<str>) -> Cell {
    tinted(Tint::Plain, text)
}

pub(super) fn tinted(tint: Tint, text: impl AsRef<str>) -> Cell {
    let text = human::one_line(text.as_ref());
    Cell { text: if text.is_empty() { "-".to_owned() } else { text }, tint }
}

/// Before a note under a row.
const INDENT: &str = "  ";

/// Rows under headings; every row has as many cells as there are headings.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    /// What stands on a line of its own under a row, whatever its width.
    notes: Vec<(usize, String)>,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|text| tinted(Tint::Bold, text)).collect();
        Self { rows: vec![headings], notes: Vec::new() }
    }

    /// A table of names and values.
    pub(super) fn without_headings() -> Self {
        Self { rows: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Adds a line under the last row.
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push((self.rows.len().saturating_sub(1), human::one_line(text)));
    }

    pub(super) fn print(&self, palette: Palette) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if index > 0 {
                    text.push_str(GAP);
                }
                text.push_str(&palette.paint(cell.tint, &cell.text));
                // No spaces at the end of a line.
                if index + 1 < row.len() {
                    let missing = width - cell.text.chars().count();
                    text.extend(std::iter::repeat_n(' ', missing));
                }
            }
            text.push('\n');
            for (_, note) in self.notes.iter().filter(|(row, _)| *row == number) {
                text.push_str(INDENT);
                text.push_str(note);
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["APP", "PHASE", "MESSAGE"]);
        table.row(vec![cell("shop"), tinted(Tint::Good, "good"), cell("")]);
        table.row(vec![cell("größe"), tinted(Tint::Bad, "rolling back"), cell("a\nb\x1b[2J")]);
        table
    }

    #[test]
    fn columns_line_up_and_cells_stay_on_their_line() {
        assert_snapshot!(table().print(Palette { colour: false }), @"
    APP    PHASE         MESSAGE
    shop   good          -
    größe  rolling back  a b [2J
    ");
    }

    #[test]
    fn colour_moves_nothing() {
        let coloured = table().print(Palette { colour: true });
        let mut plain = String::new();
        let mut inside = false;
        for c in coloured.chars() {
            match c {
                '\x1b' => inside = true,
                'm' if inside => inside = false,
                c if !inside => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, table().print(Palette { colour: false }));
    }
}
