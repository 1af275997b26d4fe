//! A plot as SVG: a few lines over logarithmic axes, in colours that hold on a light and on a dark page.

use std::fmt::Write as _;
use std::path::Path;

use crate::Result;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 40.0;
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

/// A logarithmic axis: over whole decades, or, if that is little, over steps of 1, 2 and 5.
struct Axis {
    steps: Vec<f64>,
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
        let (least, greatest) = if greatest > 0.0 {
            (least, greatest)
        } else {
            (1.0, 10.0)
        };
        let within: &[f64] = if greatest / least < 200.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let all: Vec<f64> = (-6..12)
            .flat_map(|power| within.iter().map(move |step| step * 10_f64.powi(power)))
            .collect();
        // A hair's breadth for what floating point makes of 0.2.
        let first = all.iter().rposition(|step| *step <= least * 1.000_001);
        let last = all.iter().position(|step| *step >= greatest * 0.999_999);
        let (first, last) = (first.unwrap_or(0), last.unwrap_or(all.len() - 1));
        let last = last.max(first + 1).min(all.len() - 1);
        Self {
            steps: all[first.min(last - 1)..=last].to_vec(),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let (first, last) = (
            self.steps[0].log10(),
            self.steps[self.steps.len() - 1].log10(),
        );
        self.from + (value.log10() - first) / (last - first) * (self.to - self.from)
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
        for step in &x.steps {
            let at = x.at(*step);
            svg += &format!(
                "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{:.1}\"/>\n\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 17.0,
                number(*step),
            );
        }
        for step in &y.steps {
            let at = y.at(*step);
            svg += &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(*step),
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
        let mut legend = 24.0;
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
pub fn number(value: f64) -> String {
    if value < 1.0 {
        format!("{value:.6}").trim_end_matches('0').to_owned()
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
        let axis = Axis::over([20.0, 9_000.0].into_iter(), 0.0, 300.0);
        assert!((axis.at(100.0) - 100.0).abs() < 1e-9);
        assert!((axis.at(1_000.0) - 200.0).abs() < 1e-9);
        let told = |axis: &Axis| {
            axis.steps
                .iter()
                .map(|step| number(*step))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&axis), ["10", "100", "1,000", "10,000"]);
        let fine = Axis::over([0.2, 3.0].into_iter(), 0.0, 300.0);
        assert_eq!(told(&fine), ["0.2", "0.5", "1", "2", "5"]);
    }
}
