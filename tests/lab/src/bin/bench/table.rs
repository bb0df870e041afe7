//! Figures, their medians and spread, and whether they meet their targets.

use std::fmt::Write as _;

/// What vipd promises about a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The median is below this.
    Median(f64),
    /// The median is below this and not above keepalived's.
    MedianAndRival(f64),
    /// The median is below the first figure on a machine where keepalived takes the second; where that takes longer,
    /// longer by as much. For what is the kernel's work for the most part.
    MedianAsRival(f64, f64),
    /// Every single value is below this.
    Every(f64),
    /// The median is not above keepalived's.
    Rival,
}

/// One figure: what was measured of each agent.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// The promise.
    pub(crate) target: Target,
    /// The values of each agent, by name.
    pub(crate) values: Vec<(&'static str, Vec<f64>)>,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Table {
    figures: Vec<Figure>,
}

impl Table {
    /// Adds a value to a figure, which is made if it is new.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        unit: &'static str,
        target: Target,
        agent: &'static str,
        value: f64,
    ) {
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
    }

    /// Whether any promise is not kept.
    pub(crate) fn failed(&self) -> bool {
        self.figures.iter().any(|figure| figure.kept() == Some(false))
    }

    /// The table, with a line about where it was measured.
    pub(crate) fn markdown(&self, surroundings: &str) -> String {
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
            Target::Every(most) => ours.last().is_some_and(|worst| *worst < most),
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
            Target::Rival => "no more than keepalived".to_owned(),
        }
    }

    fn shown(&self, agent: &str) -> String {
        let Some(values) = self.of(agent) else { return "-".to_owned() };
        let (least, most) = (values[0], values[values.len() - 1]);
        let kept = match self.target {
            Target::Every(limit) => format!("{} of ", values.iter().filter(|value| **value < limit).count()),
            Target::Median(_) | Target::MedianAndRival(_) | Target::MedianAsRival(..) | Target::Rival => {
                String::new()
            }
        };
        format!("{:.2} {} ({least:.2} - {most:.2}, {kept}{})", median(&values), self.unit, values.len())
    }
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}
