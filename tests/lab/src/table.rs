//! Figures, their medians and spread, and whether they meet their targets: for the programs that print a table of vipd
//! beside keepalived.

use std::fmt::Write as _;

/// What vipd promises about a figure.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The median is below this.
    Median(f64),
    /// The median is below this and not above keepalived's.
    MedianAndRival(f64),
    /// The median is below the first figure on a machine where keepalived takes the second; where that takes longer,
    /// longer by as much. For what is the kernel's work for the most part.
    MedianAsRival(f64, f64),
    /// Every single value is below this.
    Every(f64),
    /// Every single value is zero: for what is counted.
    Never,
    /// The median is not above keepalived's.
    Rival,
}

/// One figure: what was measured of each agent.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The promise.
    pub target: Target,
    /// The values of each agent, by name.
    pub values: Vec<(&'static str, Vec<f64>)>,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Table {
    figures: Vec<Figure>,
}

impl Table {
    /// Adds a value to a figure, which is made if it is new; whether the value would keep the promise if it were the
    /// only one, and there no rival.
    pub fn add(
        &mut self,
        name: &'static str,
        unit: &'static str,
        target: Target,
        agent: &'static str,
        value: f64,
    ) -> bool {
        println!("  {agent:<11}{name}: {value:.2} {unit}");
        let at = self.figures.iter().position(|figure| figure.name == name).unwrap_or_else(|| {
            self.figures.push(Figure { name, unit, target, values: Vec::new() });
            self.figures.len() - 1
        });
        let values = &mut self.figures[at].values;
        match values.iter_mut().find(|(of, _)| *of == agent) {
            Some((_, values)) => values.push(value),
            None => values.push((agent, vec![value])),
        }
        target.kept_by(value)
    }

    /// Whether any promise is not kept.
    pub fn failed(&self) -> bool {
        self.figures.iter().any(|figure| figure.kept() == Some(false))
    }

    /// The table, with a line about where it was measured.
    pub fn markdown(&self, surroundings: &str) -> String {
        let mut out = format!("{surroundings}\n\n");
        out += "| figure | promise | vipd: median (least - most, n) | keepalived | kept |\n|---|---|---|---|---|\n";
        for figure in &self.figures {
            let kept = match figure.kept() {
                None => "-",
                Some(true) => "yes",
                Some(false) => "**no**",
            };
            let (ours, theirs) = (figure.shown("vipd"), figure.shown("keepalived"));
            writeln!(out, "| {} | {} | {ours} | {theirs} | {kept} |", figure.name, figure.promise())
                .expect("a string takes all");
        }
        out
    }
}

impl Target {
    /// Whether one value keeps the promise by itself.
    fn kept_by(self, value: f64) -> bool {
        match self {
            Self::Median(most)
            | Self::MedianAndRival(most)
            | Self::MedianAsRival(most, _)
            | Self::Every(most) => value < most,
            Self::Never => value <= 0.0,
            Self::Rival => true,
        }
    }
}

impl Figure {
    fn of(&self, agent: &str) -> Option<Vec<f64>> {
        let mut values = self.values.iter().find(|(of, _)| *of == agent)?.1.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }

    fn kept(&self) -> Option<bool> {
        let ours = self.of("vipd")?;
        let rival = self.of("keepalived").map(|values| median(&values));
        let middle = median(&ours);
        Some(match self.target {
            Target::Median(most) => middle < most,
            Target::MedianAndRival(most) => middle < most && rival.is_none_or(|rival| middle <= rival),
            Target::MedianAsRival(most, rivals) => {
                middle < most * rival.map_or(1.0, |rival| (rival / rivals).max(1.0))
            }
            Target::Every(_) | Target::Never => ours.iter().all(|value| self.target.kept_by(*value)),
            Target::Rival => rival.is_none_or(|rival| middle <= rival),
        })
    }

    fn promise(&self) -> String {
        match self.target {
            Target::Median(most) => format!("< {most} {}", self.unit),
            Target::MedianAndRival(most) => format!("< {most} {} and no more than keepalived", self.unit),
            Target::MedianAsRival(most, rivals) => {
                format!("< {most} {0} where keepalived takes {rivals} {0}", self.unit)
            }
            Target::Every(most) => format!("< {most} {}, every time", self.unit),
            Target::Never => "none, every time".to_owned(),
            Target::Rival => "no more than keepalived".to_owned(),
        }
    }

    fn shown(&self, agent: &str) -> String {
        let Some(values) = self.of(agent) else { return "-".to_owned() };
        let (least, most) = (values[0], values[values.len() - 1]);
        let kept = match self.target {
            Target::Every(_) | Target::Never => {
                format!("{} of ", values.iter().filter(|value| self.target.kept_by(**value)).count())
            }
            Target::Median(_) | Target::MedianAndRival(_) | Target::MedianAsRival(..) | Target::Rival => {
                String::new()
            }
        };
        // What is counted is whole.
        let whole = values.iter().all(|value| value.fract().abs() < f64::EPSILON);
        let digits = if whole && matches!(self.target, Target::Never) { 0 } else { 2 };
        let (middle, unit, count) = (median(&values), self.unit, values.len());
        format!("{middle:.digits$} {unit} ({least:.digits$} - {most:.digits$}, {kept}{count})")
    }
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}
