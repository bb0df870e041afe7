//! Metrics as text: OpenMetrics 1.0, and the form 0.0.4 that Prometheus and everything like it read before.
//!
//! Written here and not by a library, because the two differ in little, and a library writes the first alone.

use std::fmt::Write as _;

use super::{Family, Kind, Labels};

/// As OpenMetrics.
pub fn open(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Info => "info",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
        };
        head(&mut text, "TYPE", family.name, kind);
        if let Some(unit) = family.unit() {
            head(&mut text, "UNIT", family.name, unit);
        }
        head(&mut text, "HELP", family.name, &escaped(family.help));
        samples(&mut text, family);
    }
    text.push_str("# EOF\n");
    text
}

/// As Prometheus had it before.
pub fn plain(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        let (suffix, kind) = match family.kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "gauge"),
            Kind::Summary => ("", "summary"),
            Kind::Histogram => ("", "histogram"),
        };
        let name = format!("{}{suffix}", family.name);
        head(&mut text, "HELP", &name, &family.help.replace('\\', "\\\\").replace('\n', "\\n"));
        head(&mut text, "TYPE", &name, kind);
        samples(&mut text, family);
    }
    text
}

fn head(text: &mut String, what: &str, name: &str, value: &str) {
    for part in ["# ", what, " ", name, " ", value, "\n"] {
        text.push_str(part);
    }
}

fn samples(text: &mut String, family: &Family) {
    for sample in &family.samples {
        text.push_str(family.name);
        text.push_str(sample.suffix);
        labels(text, &sample.labels);
        text.push(' ');
        // Cannot fail: memory does not refuse a write.
        if writeln!(text, "{}", sample.value).is_err() {
            return;
        }
    }
}

fn labels(text: &mut String, labels: &Labels) {
    for (at, (name, value)) in labels.iter().enumerate() {
        text.push(if at == 0 { '{' } else { ',' });
        for part in [*name, "=\"", &escaped(value), "\""] {
            text.push_str(part);
        }
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        let labels = Labels::from([("name", "a\"b\\c\nd".to_owned()), ("family", "ipv4".to_owned())]);
        vec![
            Family::counter("vipd_adverts_sent", "Adverts sent.", [(labels, 3.0)]),
            Family::gauge("vipd_lag_seconds", "A lag.", [(Labels::new(), 0.000_05)]),
        ]
    }

    #[test]
    fn open_metrics_have_a_type_a_unit_and_an_end() {
        let expected = r#"# TYPE vipd_adverts_sent counter
# HELP vipd_adverts_sent Adverts sent.
vipd_adverts_sent_total{family="ipv4",name="a\"b\\c\nd"} 3
# TYPE vipd_lag_seconds gauge
# UNIT vipd_lag_seconds seconds
# HELP vipd_lag_seconds A lag.
vipd_lag_seconds 0.00005
# EOF
"#;
        assert_eq!(open(&families()), expected);
    }

    #[test]
    fn the_form_before_names_a_counter_as_its_samples() {
        let expected = r#"# HELP vipd_adverts_sent_total Adverts sent.
# TYPE vipd_adverts_sent_total counter
vipd_adverts_sent_total{family="ipv4",name="a\"b\\c\nd"} 3
# HELP vipd_lag_seconds A lag.
# TYPE vipd_lag_seconds gauge
vipd_lag_seconds 0.00005
"#;
        assert_eq!(plain(&families()), expected);
    }

    #[test]
    fn two_numbers_about_the_same_thing_are_added_up() {
        let family = Family::counter("x", "X.", [(Labels::new(), 1.0), (Labels::new(), 2.0)]);
        assert_eq!(family.samples.iter().map(|one| one.value).collect::<Vec<_>>(), [3.0]);
    }
}
