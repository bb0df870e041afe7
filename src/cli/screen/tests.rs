//! Frames of a terminal that is not there, and every key.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::feed::News;
use super::model::{Model, Order, Over, Verb, Wish};
use super::view::draw;
use crate::agent::history::Line;
use crate::agent::record::Record;
use crate::agent::report::Role;
use crate::agent::stamp::Stamp;
use crate::cli::output::Colour;
use crate::cli::specimen;

fn now() -> Stamp {
    specimen::report().time
}

/// What has been told of the two instances of the specimen.
fn told() -> Model {
    let mut model = Model::default();
    let mut report = specimen::report();
    for (second, took) in (10..).zip([0.2, 0.4, 0.8, 0.1, 1.6]) {
        report.checks[0].latency_ms = Some(took);
        report.checks[0].last_run = Some(format!("2026-11-21T10:24:{second}Z").parse().unwrap());
        model.hear(News::Report(Box::new(report.clone())));
        model.hear(News::Report(Box::new(report.clone())));
    }
    let (from, to, reason) = (Role::Master, Role::Backup, "192.0.2.2 has the better claim".to_owned());
    let record = Record::Transition { from, to, reason, reason_kind: String::new(), silence_ms: None };
    let (time, text) = (report.instances[1].since, record.to_string());
    model.hear(News::Event(Line { sequence: 9, time, instance: Some("mail".to_owned()), record, text }));
    model
}

fn press(model: &mut Model, code: KeyCode) -> Option<Wish> {
    model.press(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn typed(model: &mut Model, key: char) -> Option<Wish> {
    press(model, KeyCode::Char(key))
}

fn terminal(model: &Model, width: u16, height: u16, colour: Colour) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, now(), colour)).unwrap();
    terminal
}

/// The lines of a frame.
fn frame(model: &Model, width: u16, height: u16) -> Vec<String> {
    let terminal = terminal(model, width, height, Colour::Never);
    let cells = terminal.backend().buffer().content();
    let line =
        |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    cells.chunks(usize::from(width)).map(|row| line(row).trim_end().to_owned()).collect()
}

#[test]
fn a_usual_terminal_shows_everything_at_once() {
    let text = frame(&told(), 80, 24).join("\n");
    let expected = "\
lb1: degraded. 1 of 2 instances is master here. There is 1 problem.
  NAME  STATE   SINCE   MASTER     PRIORITY   LEASE    WHY
> web   MASTER  3h 12m  here       100        3000 ms  no master heard for 3609
  mail  BACKUP  14m     192.0.2.2  90 of 150  3000 ms  192.0.2.2 has the better
problem: check nginx is down (connection refused)
CHECK  VERDICT  SINCE  TOOK    THE LAST RUNS  RESULT
nginx  DOWN     14m    1.6 ms  ▁▂▄▁█          connection refused
ADVERTS  IP    MASTER     LAST AGO  DEAD AFTER  NEAREST  SENT  HEARD  DISCARDED
web      ipv4  here       400 ms    365 ms      27 %     120   3      2
mail     ipv4  192.0.2.2  31 ms     365 ms      27 %     120   3      2
EVENTS
10:11:00  mail: MASTER -> BACKUP: 192.0.2.2 has the better claim
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("q quit"), "{text}");
}

#[test]
fn a_tiny_terminal_shows_the_instances_and_breaks_nothing() {
    let lines = frame(&told(), 40, 10);
    assert!(lines[1].starts_with("  NAME  STATE") && lines[2].starts_with("> web   MASTER"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("problem: check nginx is down")), "{lines:#?}");
    let mut model = told();
    for over in
        [Over::Nothing, Over::Help, Over::Confirm(Order { verb: Verb::StepDown, name: "web".to_owned() })]
    {
        model.over = over;
        for (width, height) in [(1, 1), (2, 3), (10, 4), (40, 10), (300, 100)] {
            assert_eq!(frame(&model, width, height).len(), usize::from(height));
        }
    }
}

#[test]
fn the_selected_instance_is_on_the_screen_however_many_there_are() {
    let mut report = specimen::report();
    let one = report.instances[0].clone();
    for number in 0..50 {
        let mut more = one.clone();
        more.name = format!("web{number}");
        report.instances.push(more);
    }
    let mut model = Model::default();
    model.hear(News::Report(Box::new(report)));
    press(&mut model, KeyCode::End);
    assert!(frame(&model, 80, 24).iter().any(|line| line.starts_with("> web49  MASTER")));
    typed(&mut model, 'k');
    assert!(frame(&model, 80, 24).iter().any(|line| line.starts_with("> web48  MASTER")));
    press(&mut model, KeyCode::Home);
    assert!(frame(&model, 80, 24).iter().any(|line| line.starts_with("> web    MASTER")));
}

#[test]
fn an_order_is_given_after_a_question_that_says_what_will_happen() {
    let mut model = told();
    assert_eq!(typed(&mut model, 's'), None);
    let asked = frame(&model, 80, 24).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["Step web down? lb1 hands 192.0.2.10/24 over", "y: yes any other key: no"] {
        assert!(asked.replace("│ │ ", "").contains(part), "{part} is not in\n{asked}");
    }
    let order = Order { verb: Verb::StepDown, name: "web".to_owned() };
    assert_eq!(typed(&mut model, 'y'), Some(Wish::Order(order)));
    assert_eq!(model.over, Over::Nothing);
    for key in ['n', 'q', 's', 'Y'] {
        typed(&mut model, 's');
        assert_eq!((typed(&mut model, key), &model.over), (None, &Over::Nothing), "{key} is no consent");
    }
    typed(&mut model, 'j');
    typed(&mut model, 'r');
    assert!(
        model.consequence(&Order { verb: Verb::Resume, name: "mail".to_owned() }).contains("nothing changes")
    );
    let order = Order { verb: Verb::Resume, name: "mail".to_owned() };
    assert_eq!(typed(&mut model, 'y'), Some(Wish::Order(order)));
    model.hear(News::Said("mail: resume accepted".to_owned()));
    assert_eq!(frame(&model, 80, 24)[23], "mail: resume accepted");
}

#[test]
fn without_an_agent_it_says_since_when_and_takes_no_order() {
    let mut model = told();
    model.hear(News::Gone("no agent is running in /run/vipd".to_owned()));
    model.hear(News::Gone("no agent is running in /run/vipd".to_owned()));
    let since = model.gone.as_ref().unwrap().0.time_of_day();
    let lines = frame(&model, 80, 24);
    assert_eq!(lines[0], format!("Stale since {since} UTC: no agent is running in /run/vipd."));
    assert!(lines[2].starts_with("> web"), "what it said last stays");
    typed(&mut model, 's');
    assert_eq!((&model.over, model.said.is_some()), (&Over::Nothing, true));
    model.hear(News::Report(Box::new(specimen::report())));
    assert!(frame(&model, 80, 24)[0].starts_with("lb1: degraded."));
}

#[test]
fn details_are_asked_for_and_belong_to_the_instance_that_is_shown() {
    let mut model = told();
    assert_eq!(press(&mut model, KeyCode::Enter), Some(Wish::Explain("web".to_owned())));
    assert_eq!(typed(&mut model, 'j'), Some(Wish::Explain("mail".to_owned())));
    model.hear(News::Explained { name: "web".to_owned(), text: "too late".to_owned() });
    model.hear(News::Explained { name: "mail".to_owned(), text: "mail is BACKUP on lb1".to_owned() });
    let text = frame(&model, 80, 24).join("\n");
    assert!(text.contains("mail is BACKUP on lb1") && !text.contains("too late"), "{text}");
    press(&mut model, KeyCode::Esc);
    assert_eq!(typed(&mut model, '?'), None);
    assert!(frame(&model, 80, 24).join("\n").contains("step it down, after a question"));
    assert_eq!(typed(&mut model, 'q'), Some(Wish::Quit));
    let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert_eq!(model.press(&interrupt), Some(Wish::Quit));
}

#[test]
fn colour_is_used_only_if_wanted() {
    let colours = |colour| {
        let terminal = terminal(&told(), 80, 24, colour);
        let cells = terminal.backend().buffer().content();
        cells.iter().filter(|cell| cell.fg != ratatui::style::Color::Reset).count()
    };
    assert_eq!(colours(Colour::Never), 0);
    assert!(colours(Colour::Ansi) > 20);
}
