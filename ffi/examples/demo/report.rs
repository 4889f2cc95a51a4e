//! What is left of the story: the table, the remarks, and the checks that `ONCE=1` makes.

use crate::paint::{Line, Table, Tone, line, span, thousands, wrap};
use crate::tally::Tally;
use std::time::Duration;

/// One act in the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The policy, or what happened.
    pub(crate) title: &'static str,
    /// What was counted.
    pub(crate) tally: Tally,
    /// In this time.
    pub(crate) time: Duration,
    /// The addresses in the order of the table's columns; `None` where there was no such backend.
    pub(crate) backends: Vec<Option<String>>,
    /// Of the whole act: no less than `tally`.
    pub(crate) whole: Tally,
}

/// Something that had to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What had to hold.
    pub(crate) what: String,
    /// What was seen, where it did not.
    pub(crate) failure: Option<String>,
}

/// The report that the acts fill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Names of the backends, for the table's head.
    pub(crate) names: Vec<&'static str>,
    /// An act each.
    pub(crate) rows: Vec<Row>,
    /// What the table cannot say.
    pub(crate) remarks: Vec<(&'static str, String)>,
    /// In the order in which they were made.
    pub(crate) checks: Vec<Check>,
}

impl Report {
    /// Notes a check.
    pub(crate) fn check(&mut self, what: impl Into<String>, holds: bool, seen: impl Into<String>) {
        self.checks.push(Check { what: what.into(), failure: (!holds).then(|| seen.into()) });
    }

    /// Checks shares against `expected`, to one percentage point.
    pub(crate) fn check_shares(&mut self, row: &Row, expected: &[f64]) {
        let shares = row.shares();
        let close = |(share, want): (&Option<f64>, &f64)| (share.unwrap_or(0.0) - want).abs() <= 0.01;
        let holds = shares.len() >= expected.len() && shares.iter().zip(expected).all(close);
        let list = |shares: &mut dyn Iterator<Item = f64>| {
            shares.map(|share| format!("{:.1}", share * 100.0)).collect::<Vec<_>>().join(" / ")
        };
        let what =
            format!("{}: shares are {} %, each within 1", row.title, list(&mut expected.iter().copied()));
        self.check(what, holds, format!("{} %", list(&mut shares.iter().flatten().copied())));
    }

    /// Checks that no call of the act was lost.
    pub(crate) fn check_none_lost(&mut self, row: &Row) {
        let Tally { calls, failed, .. } = row.whole;
        let first = row.whole.first_failure.clone().unwrap_or_default();
        let seen = format!("{failed} of {calls} calls failed; the first: {first}");
        self.check(format!("{}: no call is lost", row.title), calls > 0 && failed == 0, seen);
    }

    /// The table and the remarks under it.
    pub(crate) fn lines(&self, width: usize, unicode: bool) -> Vec<Line> {
        let mut head = vec!["", "calls", "lost"];
        head.extend(&self.names);
        head.extend(["per s", "p50", "p99"]);
        let mut table = Table::new(&head);
        for row in &self.rows {
            let plain = |text: String| (Tone::Plain, text);
            let Tally { calls, failed, .. } = row.whole;
            let lost = if failed == 0 { Tone::Good } else { Tone::Bad };
            let mut cells = vec![plain(row.title.into()), plain(thousands(calls)), (lost, thousands(failed))];
            let shares = row.shares();
            for n in 0..self.names.len() {
                let share = shares.get(n).copied().flatten();
                cells
                    .push((Tone::Backend(n), share.map_or(String::new(), |s| format!("{:.0} %", s * 100.0))));
            }
            let rate = row.tally.calls as f64 / row.time.as_secs_f64().max(1e-3);
            cells.push(plain(thousands(rate.round() as u64)));
            cells.extend(
                [0.5, 0.99].map(|q| plain(row.tally.times.quantile(q).map_or_else(String::new, span))),
            );
            table.row(cells);
        }
        let mut lines: Vec<Line> = table.lines(unicode);
        lines.push(Line::new());
        let start = self.remarks.iter().map(|(title, _)| title.chars().count()).max().unwrap_or(0) + 2;
        for (title, remark) in &self.remarks {
            let mut title = Some(*title);
            for words in wrap(remark, width.saturating_sub(start + 1)) {
                let begin = line(Tone::Strong, title.take().unwrap_or("")).pad_to(start);
                lines.push(begin.add(Tone::Plain, words));
            }
        }
        lines
    }

    /// A line for each check, and the sum of them.
    pub(crate) fn check_lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for check in &self.checks {
            lines.push(match &check.failure {
                None => line(Tone::Good, "ok      ").add(Tone::Plain, check.what.as_str()),
                Some(seen) => {
                    line(Tone::Bad, "FAILED  ").add(Tone::Plain, format!("{}, but: {seen}", check.what))
                }
            });
        }
        let failed = self.failed();
        let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
        let passed = self.checks.len() - failed;
        lines.push(line(tone, format!("{passed} checks passed, {failed} failed")));
        lines
    }

    /// How many checks did not hold.
    pub(crate) fn failed(&self) -> usize {
        self.checks.iter().filter(|check| check.failure.is_some()).count()
    }
}

impl Row {
    /// The row of an act that counted this at these backends.
    pub(crate) fn new(title: &'static str, backends: Vec<String>, (tally, time): (Tally, Duration)) -> Row {
        let (backends, whole) = (backends.into_iter().map(Some).collect(), tally.clone());
        Row { title, tally, time, backends, whole }
    }

    fn shares(&self) -> Vec<Option<f64>> {
        self.backends
            .iter()
            .map(|address| address.as_deref().map(|address| self.tally.share(address)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn row(title: &'static str, calls: [u64; 2], failed: u64) -> Row {
        let mut tally = Tally::default();
        for (peer, calls) in ["a", "b"].iter().zip(calls) {
            for _ in 0..calls {
                tally.count(Instant::now(), Duration::from_millis(8), Some(peer), None);
            }
        }
        for _ in 0..failed {
            tally.count(Instant::now(), Duration::ZERO, None, Some("UNAVAILABLE: gone".into()));
        }
        let backends = vec!["a".into(), "b".into()];
        let mut row = Row::new(title, backends, (tally, Duration::from_secs(2)));
        row.backends.push(None);
        row
    }

    #[test]
    fn shares_within_one_percent_pass_and_others_fail() {
        let mut report = Report::default();
        report.check_shares(&row("even", [500, 500], 0), &[0.5, 0.5]);
        report.check_shares(&row("near", [509, 491], 0), &[0.5, 0.5]);
        assert_eq!(report.failed(), 0);
        report.check_shares(&row("far", [520, 480], 0), &[0.5, 0.5]);
        report.check_shares(&row("none", [0, 0], 0), &[0.5, 0.5]);
        assert_eq!(report.failed(), 2);
        assert_eq!(report.checks[2].failure.as_deref(), Some("52.0 / 48.0 %"));
        assert_eq!(report.checks[2].what, "far: shares are 50.0 / 50.0 %, each within 1");
    }

    #[test]
    fn lost_calls_fail_and_so_does_an_act_without_calls() {
        let mut report = Report::default();
        report.check_none_lost(&row("good", [1, 1], 0));
        report.check_none_lost(&row("bad", [1, 1], 2));
        report.check_none_lost(&row("idle", [0, 0], 0));
        let outcome: Vec<bool> = report.checks.iter().map(|check| check.failure.is_none()).collect();
        assert_eq!(outcome, [true, false, false]);
        let lines: Vec<String> = report.check_lines().iter().map(Line::text).collect();
        assert_eq!(
            lines[1],
            "FAILED  bad: no call is lost, but: 2 of 4 calls failed; the first: UNAVAILABLE: gone"
        );
        assert_eq!(lines[3], "1 checks passed, 2 failed");
    }

    #[test]
    fn the_table_fits_a_terminal_of_80_columns() {
        let mut report = Report { names: vec!["small", "middle", "large", "late"], ..Report::default() };
        report.rows.push(row("weights 1:2:4", [9_000, 1_800], 3));
        report.remarks.push(("killed", "word ".repeat(40)));
        let lines = report.lines(80, true);
        for line in &lines {
            assert!(line.width() < 80, "{} columns: {:?}", line.width(), line.text());
        }
        assert!(
            lines[2].text().starts_with("weights 1:2:4  10 803     3   83 %    17 %"),
            "{}",
            lines[2].text()
        );
    }
}
