//! A plot as SVG: a few lines over logarithmic axes, in colours that hold on a light and on a dark page.

use std::fmt::Write as _;
use std::path::Path;

use crate::Result;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 52.0;
const COLOURS: [&str; 4] = ["#2f7fd6", "#d1622b", "#2b9a66", "#9a5bc4"];

pub struct Plot {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A logarithmic axis over whole decades.
struct Axis {
    first: i32,
    last: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, greatest) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(least, greatest), value| {
                (least.min(value), greatest.max(value))
            });
        if greatest == 0.0 {
            return Self {
                first: 0,
                last: 1,
                from,
                to,
            };
        }
        let first = least.log10().floor() as i32;
        Self {
            first,
            last: (greatest.log10().ceil() as i32).max(first + 1),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + share * (self.to - self.from)
    }

    /// The decades, and the lines between them.
    fn decades(&self) -> impl Iterator<Item = f64> + use<> {
        (self.first..=self.last).map(|power| 10_f64.powi(power))
    }
}

impl Plot {
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        }
        std::fs::write(path, self.svg()).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::over(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::over(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <title>{title}</title>\n\
             <style>text {{ fill: #333 }} .grid {{ stroke: #8884 }} \
             @media (prefers-color-scheme: dark) {{ text {{ fill: #ccc }} }}</style>\n\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"600\">{title}</text>\n",
            title = self.title,
        );
        for decade in x.decades() {
            let at = x.at(decade);
            svg += &format!(
                "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{:.1}\"/>\n\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 17.0,
                number(decade),
            );
        }
        for decade in y.decades() {
            let at = y.at(decade);
            svg += &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(decade),
            );
        }
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text x=\"16\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {:.1})\">{}</text>\n",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 12.0,
            self.x,
            f64::midpoint(TOP, HEIGHT - BOTTOM),
            f64::midpoint(TOP, HEIGHT - BOTTOM),
            self.y,
        );
        let mut legend = LEFT;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let mut path = String::new();
            for &(px, py) in line.points.iter().filter(|point| point.1 > 0.0) {
                let (px, py) = (x.at(px), y.at(py));
                // Writing to a string does not fail.
                let _ = write!(path, "{px:.1},{py:.1} ");
                svg += &format!(
                    "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n"
                );
            }
            svg += &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
                 <circle cx=\"{legend:.1}\" cy=\"33\" r=\"4\" fill=\"{colour}\"/>\n\
                 <text x=\"{:.1}\" y=\"37\">{}</text>\n",
                path.trim_end(),
                legend + 9.0,
                line.name,
            );
            legend += 28.0 + 6.6 * line.name.chars().count() as f64;
        }
        svg + "</svg>\n"
    }
}

/// `10,000`, `0.01`.
fn number(value: f64) -> String {
    if value < 1.0 {
        format!("{value}")
    } else {
        crate::peers::short(value)
            .trim_end_matches(".00")
            .trim_end_matches(".0")
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_more_is_a_decade_further_on_the_axis() {
        let axis = Axis::over([20.0, 3_000.0].into_iter(), 0.0, 300.0);
        assert_eq!((axis.first, axis.last), (1, 4));
        assert!((axis.at(100.0) - 100.0).abs() < 1e-9);
        assert!((axis.at(1_000.0) - 200.0).abs() < 1e-9);
        assert_eq!(
            axis.decades().map(number).collect::<Vec<_>>(),
            ["10", "100", "1,000", "10,000"]
        );
    }
}
