//! The one table: a row for each thing that is measured, a column for each server; medians over the rounds with their
//! spread, and the ratio of Callboard to the floor within the rounds.

use std::collections::BTreeMap;
use std::fmt;

use super::Kind;

/// Figures of one thing, in the order of the rounds.
#[derive(Default)]
pub struct Row {
    section: &'static str,
    what: String,
    unit: &'static str,
    goal: &'static str,
    figures: BTreeMap<Kind, Vec<f64>>,
    /// Words in place of figures.
    words: BTreeMap<Kind, String>,
    ratio_to: Option<Kind>,
    ratios: Vec<f64>,
}

impl Row {
    pub fn new(section: &'static str, what: impl Into<String>, unit: &'static str) -> Self {
        Self {
            section,
            what: what.into(),
            unit,
            ..Self::default()
        }
    }

    pub fn goal(mut self, goal: &'static str) -> Self {
        self.goal = goal;
        self
    }

    /// Give the ratio of Callboard to this one.
    pub fn against(mut self, kind: Kind) -> Self {
        self.ratio_to = Some(kind);
        self
    }

    /// Ratios of another kind, by round.
    pub fn ratios(mut self, ratios: Vec<f64>) -> Self {
        self.ratios = ratios;
        self
    }

    pub fn push(&mut self, kind: Kind, figure: f64) {
        self.figures.entry(kind).or_default().push(figure);
    }

    pub fn say(&mut self, kind: Kind, words: impl Into<String>) {
        self.words.insert(kind, words.into());
    }

    pub fn figures(&self, kind: Kind) -> &[f64] {
        self.figures.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn cell(&self, kind: Kind, present: bool) -> String {
        if let Some(words) = self.words.get(&kind) {
            return words.clone();
        }
        match self.figures.get(&kind) {
            Some(figures) => spread(figures),
            None if present => "–".to_owned(),
            None => "not measured".to_owned(),
        }
    }

    /// The ratio within each round, because the rounds differ more than the servers in one of them.
    fn ratio(&self) -> String {
        if !self.ratios.is_empty() {
            return spread(&self.ratios);
        }
        let Some(base) = self.ratio_to else {
            return String::new();
        };
        let ratios: Vec<f64> = self
            .figures(Kind::Callboard)
            .iter()
            .zip(self.figures(base))
            .map(|(ours, base)| ours / base)
            .collect();
        if ratios.is_empty() {
            String::new()
        } else {
            spread(&ratios)
        }
    }
}

/// Rows and remarks.
pub struct Table {
    present: Vec<Kind>,
    rows: Vec<Row>,
    notes: Vec<String>,
    failures: Vec<String>,
}

impl Table {
    pub fn new(present: Vec<Kind>) -> Self {
        Self {
            present,
            rows: Vec::new(),
            notes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Who is measured.
    pub fn present(&self) -> Vec<Kind> {
        self.present.clone()
    }

    /// In another order in each round, so that nobody always comes after the same.
    pub fn turn(&self, round: usize) -> Vec<Kind> {
        let mut kinds = self.present();
        if !kinds.is_empty() {
            let by = round % kinds.len();
            kinds.rotate_left(by);
        }
        kinds
    }

    pub fn push(&mut self, row: Row) {
        eprintln!("{}", self.line(&row));
        self.rows.push(row);
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A section that broke off: its rows are missing.
    pub fn failed(&mut self, section: &str, why: &str) {
        self.note(format!("**{section} failed**: {why}"));
        self.failures.push(section.to_owned());
    }

    /// `Err` when a section broke off.
    pub fn outcome(&self) -> crate::Result<()> {
        match self.failures.as_slice() {
            [] => Ok(()),
            names => Err(format!("failed: {}", names.join(", "))),
        }
    }

    fn line(&self, row: &Row) -> String {
        let mut cells = vec![
            format!("{}: {}", row.section, row.what),
            row.unit.to_owned(),
        ];
        cells.extend(
            Kind::ALL
                .into_iter()
                .map(|kind| row.cell(kind, self.present.contains(&kind))),
        );
        cells.push(row.ratio());
        cells.push(row.goal.to_owned());
        format!("| {} |", cells.join(" | "))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| | unit |")?;
        for kind in Kind::ALL {
            write!(f, " {} |", kind.title())?;
        }
        writeln!(f, " Callboard's ratio | goal |")?;
        writeln!(f, "|{}", " --- |".repeat(Kind::ALL.len() + 4))?;
        for row in &self.rows {
            writeln!(f, "{}", self.line(row))?;
        }
        for note in &self.notes {
            write!(f, "\n- {note}")?;
        }
        writeln!(f)
    }
}

/// `0.82 (0.80–0.85)`: the median, the least and the greatest.
fn spread(figures: &[f64]) -> String {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => "–".to_owned(),
        [one] => short(*one),
        all => format!(
            "{} ({}–{})",
            short(median(all)),
            short(all[0]),
            short(all[all.len() - 1])
        ),
    }
}

/// Of sorted figures.
pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Three digits that matter.
pub fn short(figure: f64) -> String {
    let size = figure.abs();
    if size >= 1_000.0 {
        let digits = format!("{size:.0}");
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        format!(
            "{}{}",
            if figure < 0.0 { "-" } else { "" },
            groups.join(",")
        )
    } else if size >= 100.0 {
        format!("{figure:.0}")
    } else if size >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_gives_medians_their_spread_and_the_ratio_by_round() {
        let mut row = Row::new("fan-out", "8 under way", "µs").against(Kind::Floor);
        for (ours, base) in [(1.0, 1.0), (2.4, 2.0), (4.4, 4.0)] {
            row.push(Kind::Callboard, ours);
            row.push(Kind::Floor, base);
        }
        assert_eq!(row.cell(Kind::Callboard, true), "2.40 (1.00–4.40)");
        assert_eq!(row.ratio(), "1.10 (1.00–1.20)");
        assert_eq!(row.cell(Kind::Node, false), "not measured");
        assert_eq!(short(26_000.4), "26,000");
        assert_eq!(short(-1_000_026.0), "-1,000,026");
    }
}
