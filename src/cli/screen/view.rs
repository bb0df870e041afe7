//! The frame: a function of the model, the time and whether there is colour.
//!
//! Instances always have their place; what else there is room for depends on the height. Colour says nothing that a
//! word does not.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, Wrap};

use super::model::{Model, Over, SAMPLES};
use crate::agent::report::{Check, Health, Instance, Report, Role, Router};
use crate::agent::stamp::Stamp;
use crate::cli::output::{Colour, Tone, age, millis};
use crate::cli::status::{self, master, tone, words};

/// How wide the last column of a table is at least.
const LEAST: usize = 10;
/// What the last line says.
const KEYS: &str = "arrows select  Enter why  s step down  r resume  ? help  q quit";
const HELP: &str = "\
Up, Down, j, k   select an instance
Enter            why it is where it is, and what would become of it
s                step it down, after a question
r                take a step-down or a drain back, after a question
Esc              back
q, Ctrl-C        quit";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now: Stamp, colour: Colour) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    let pen = Pen { colour, now };
    frame.render_widget(pen.head(model), head);
    match &model.report {
        Some(report) => pen.sections(frame, model, report, body),
        None => frame.render_widget(Paragraph::new("The agent is being asked."), body),
    }
    let last = model.said.as_deref().unwrap_or(KEYS);
    frame.render_widget(Paragraph::new(Span::styled(last, pen.style(Tone::Quiet))), foot);
    match &model.over {
        Over::Nothing => {}
        Over::Help => pen.lay(frame, " Keys ", HELP, body),
        Over::Details { name, text } => {
            let text = text.as_deref().unwrap_or("The agent is being asked.");
            pen.lay(frame, &format!(" {name} "), text, body);
        }
        Over::Confirm(order) => {
            let text = format!("{}\n\ny: yes   any other key: no", model.consequence(order));
            pen.lay(frame, " Are you sure? ", &text, body);
        }
    }
}

/// How everything is written.
struct Pen {
    colour: Colour,
    now: Stamp,
}

impl Pen {
    fn style(&self, tone: Tone) -> Style {
        let plain = Style::new();
        match (self.colour, tone) {
            (_, Tone::Plain) | (Colour::Never, Tone::Quiet) => plain,
            (Colour::Never, Tone::Good | Tone::Bad) => plain.add_modifier(Modifier::BOLD),
            (Colour::Ansi, Tone::Good) => plain.fg(Color::Green).add_modifier(Modifier::BOLD),
            (Colour::Ansi, Tone::Bad) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Colour::Ansi, Tone::Quiet) => plain.add_modifier(Modifier::DIM),
        }
    }

    /// The verdict, or since when it is old.
    fn head(&self, model: &Model) -> Paragraph<'static> {
        let (text, tone) = match (&model.gone, &model.report) {
            (Some((since, why)), _) => {
                (format!("Stale since {} UTC: {why}.", since.time_of_day()), Tone::Bad)
            }
            (None, Some(report)) if report.health == Health::Healthy => (report.verdict(), Tone::Good),
            (None, Some(report)) => (report.verdict(), Tone::Bad),
            (None, None) => (String::new(), Tone::Plain),
        };
        Paragraph::new(Span::styled(text, self.style(tone)))
    }

    fn sections(&self, frame: &mut Frame<'_>, model: &Model, report: &Report, area: Rect) {
        let routers: usize = report.instances.iter().map(|one| one.routers.len()).sum();
        let rows = [report.instances.len(), report.problems.len(), report.checks.len(), routers];
        let heights = heights(area.height, rows);
        let areas: [Rect; 5] = Layout::vertical(heights.map(Constraint::Length)).areas(area);
        let [instances, problems, checks, adverts, events] = areas;
        self.instances(frame, model, report, instances);
        let lines = report
            .problems
            .iter()
            .map(|problem| Line::styled(format!("problem: {problem}"), self.style(Tone::Bad)));
        frame.render_widget(lines.collect::<Text<'_>>(), problems);
        let header = ["CHECK", "VERDICT", "SINCE", "TOOK", "THE LAST RUNS", "RESULT"];
        let rows = report.checks.iter().map(|check| self.check(check, model));
        self.table(frame, header, rows.collect(), checks, None);
        // NEAREST: the longest silence of the last hour, as a share of what would have been taken for death.
        let header =
            ["ADVERTS", "IP", "MASTER", "LAST AGO", "DEAD AFTER", "NEAREST", "SENT", "HEARD", "DISCARDED"];
        let rows =
            report.instances.iter().flat_map(|one| one.routers.iter().map(|it| self.router(one, it, report)));
        self.table(frame, header, rows.collect(), adverts, None);
        self.events(frame, model, events);
    }

    fn instances(&self, frame: &mut Frame<'_>, model: &Model, report: &Report, area: Rect) {
        let header = ["  NAME", "STATE", "SINCE", "MASTER", "PRIORITY", "LEASE", "WHY"];
        let rows = report.instances.iter().enumerate().map(|(nth, one)| {
            let mark = if nth == model.selected() { ">" } else { " " };
            let priority = match (one.priority.effective, one.priority.configured) {
                (effective, configured) if effective == configured => configured.to_string(),
                (effective, configured) => format!("{effective} of {configured}"),
            };
            let lease = if one.lease.enabled { millis(one.lease.extension_ms) } else { "none".to_owned() };
            [
                Span::raw(format!("{mark} {}", one.name)),
                Span::styled(words(one.state), self.style(tone(one.state))),
                Span::raw(age(self.now.since(one.since))),
                Span::raw(master(one)),
                Span::raw(priority),
                Span::raw(lease),
                Span::raw(why(one)),
            ]
        });
        self.table(frame, header, rows.collect(), area, Some(model.selected()));
    }

    fn check<'a>(&self, check: &'a Check, model: &Model) -> [Span<'a>; 6] {
        let (verdict, tone) = match check.up {
            Some(true) => ("up", Tone::Good),
            Some(false) => ("DOWN", Tone::Bad),
            None => ("not yet", Tone::Quiet),
        };
        [
            Span::raw(&check.name),
            Span::styled(verdict, self.style(tone)),
            Span::raw(check.since.map(|since| age(self.now.since(since))).unwrap_or_default()),
            Span::raw(check.latency_ms.map(millis).unwrap_or_default()),
            Span::raw(sparkline(&model.latencies(&check.name).collect::<Vec<_>>())),
            Span::raw(check.last_result.as_deref().unwrap_or_default()),
        ]
    }

    fn router<'a>(&self, one: &'a Instance, router: &'a Router, report: &Report) -> [Span<'a>; 9] {
        let heard =
            router.master.as_ref().map(|master| report.time.since(master.heard).as_secs_f64() * 1000.0);
        let near = &router.near_misses;
        let worst = near.worst_hour.as_ref().map(|gap| gap.percent);
        let is_near = worst.is_some_and(|worst| worst >= f64::from(near.threshold_percent));
        let master = match (router.state, &router.master) {
            (Role::Master, _) => "here".to_owned(),
            (_, Some(master)) => master.address.to_string(),
            (_, None) => "nobody".to_owned(),
        };
        let discarded: u64 = router.counters.discarded.values().sum();
        [
            Span::raw(&one.name),
            Span::raw(&router.family),
            Span::raw(master),
            Span::raw(heard.map(millis).unwrap_or_default()),
            Span::raw(millis(router.master_down_ms)),
            Span::styled(
                worst.map_or_else(|| "-".to_owned(), |worst| format!("{worst:.0} %")),
                self.style(if is_near { Tone::Bad } else { Tone::Plain }),
            ),
            Span::raw(router.counters.adverts_sent.to_string()),
            Span::raw(router.counters.adverts_received.to_string()),
            Span::styled(
                discarded.to_string(),
                self.style(if discarded > 0 { Tone::Bad } else { Tone::Plain }),
            ),
        ]
    }

    /// The newest at the bottom, as in a log.
    fn events(&self, frame: &mut Frame<'_>, model: &Model, area: Rect) {
        if area.height == 0 {
            return;
        }
        let mut lines = vec![Line::styled("EVENTS", self.style(Tone::Quiet))];
        let room = usize::from(area.height.saturating_sub(1));
        let skipped = model.events.len().saturating_sub(room);
        lines.extend(model.events.iter().skip(skipped).map(|event| {
            let instance = event.instance.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            Line::raw(format!("{}  {instance}{}", event.time.time_of_day(), event.text))
        }));
        frame.render_widget(Text::from(lines), area);
    }

    /// A header and rows, each column as wide as what is in it and the last as wide as there is room.
    fn table<const N: usize>(
        &self,
        frame: &mut Frame<'_>,
        header: [&'static str; N],
        rows: Vec<[Span<'_>; N]>,
        area: Rect,
        selected: Option<usize>,
    ) {
        if area.height < 2 {
            return;
        }
        let mut widths = header.map(|name| name.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        // Half a column says less than none; only the last one may be cut.
        let mut end = 0;
        let fits = widths.iter().enumerate().take_while(|(nth, width)| {
            let least = if nth + 1 == N { (**width).min(LEAST) } else { **width };
            let is_there = end + least <= usize::from(area.width) || *nth == 0;
            end += **width + 2;
            is_there
        });
        let shown = fits.count();
        let columns = widths.iter().take(shown).enumerate().map(|(nth, width)| {
            if nth + 1 == N {
                Constraint::Fill(1)
            } else {
                Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX))
            }
        });
        let room = usize::from(area.height - 1);
        // The selected row is on the screen.
        let skipped = selected.map_or(0, |place| (place + 1).saturating_sub(room));
        let rows = rows.into_iter().enumerate().skip(skipped).map(|(nth, cells)| {
            let style = if selected == Some(nth) {
                Style::new().add_modifier(Modifier::REVERSED)
            } else {
                Style::new()
            };
            Row::new(cells.into_iter().take(shown).map(Text::from)).style(style)
        });
        let table = Table::new(rows, columns)
            .header(Row::new(header.into_iter().take(shown)).style(self.style(Tone::Quiet)));
        frame.render_widget(table.column_spacing(2), area);
    }

    /// Text over everything else.
    fn lay(&self, frame: &mut Frame<'_>, title: &str, text: &str, area: Rect) {
        let longest = text.lines().chain([title]).map(|line| line.chars().count()).max().unwrap_or(0);
        let width = u16::try_from(longest + 4).unwrap_or(u16::MAX).min(area.width);
        let inner = usize::from(width.saturating_sub(4)).max(1);
        let lines: usize = text.lines().map(|line| line.chars().count().div_ceil(inner).max(1)).sum();
        // Words that do not fit where a line ends take more.
        let height = u16::try_from(lines + 3).unwrap_or(u16::MAX).min(area.height);
        let x = area.x + (area.width - width) / 2;
        let place = Rect::new(x, area.y + (area.height - height) / 2, width, height);
        let block = Block::bordered().title(title.to_owned()).style(self.style(Tone::Plain));
        frame.render_widget(Clear, place);
        let padded = block.padding(ratatui::widgets::Padding::horizontal(1));
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(padded), place);
    }
}

/// The reason, and what moves the priority.
fn why(one: &Instance) -> String {
    let mut parts = vec![one.reason.clone()];
    if let Some(rival) = &one.duplicate {
        parts.insert(0, format!("ALSO MASTER: {}", rival.who));
    }
    if one.drained.is_some() {
        parts.push("drained".to_owned());
    } else if one.stepped_down && !one.reason.contains("stepped down") {
        parts.push("stepped down".to_owned());
    }
    parts.extend(status::terms(one));
    parts.join("; ")
}

/// How many lines each section gets: instances, problems, checks, adverts, events. What comes first is worth more, and a
/// table of which no row would be seen gets none.
fn heights(room: u16, rows: [usize; 4]) -> [u16; 5] {
    let [instances, problems, checks, adverts] = rows.map(|rows| u16::try_from(rows).unwrap_or(u16::MAX));
    let mut left = room;
    let mut grant = |wanted: u16, least: u16, kept: u16| {
        let given = wanted.min(left.saturating_sub(kept));
        let given = if given < least { 0 } else { given };
        left -= given;
        given
    };
    let half = (room / 2).max(2);
    let instances = grant((instances.saturating_add(1)).min(half), 1, 0);
    let problems = grant(problems.min(3), 1, 0);
    let events = grant(4, 2, 0);
    let checks = grant(checks.saturating_add(1), 2, 0);
    let adverts = grant(adverts.saturating_add(1), 2, 0);
    [instances, problems, checks, adverts, events + left]
}

/// Bars from nothing to the longest of them, one a run.
fn sparkline(milliseconds: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = milliseconds.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let newest = milliseconds.len().saturating_sub(SAMPLES / 2);
    let bar = |took: &f64| {
        let level = BARS.iter().zip(1_u8..).find(|(_, nth)| took * 8.0 <= most * f64::from(*nth));
        level.map_or('█', |(bar, _)| *bar)
    };
    milliseconds.iter().skip(newest).map(bar).collect()
}
